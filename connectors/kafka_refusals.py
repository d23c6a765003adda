"""What a Kafka cluster refuses, or its client, in words: which setting is wrong, and what mends it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from confluent_kafka import KafkaError, KafkaException

from ringup.errors import ConfigError, LogError

CLIENT = "ringup.yml: kafka.client"
"""Where the settings of the project's own clients stand."""

Settings = Mapping[str, str | int | bool]

_PROTOCOLS = "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
_MECHANISMS = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER"
_ALL = "librdkafka's CONFIGURATION.md has all settings"
_NAMES = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.scope",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.crl.location",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.sigalgs.list",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
    "https.ca.location",
    "client.id",
    "client.rack",
    "client.dns.lookup",
    "broker.address.family",
    "socket.timeout.ms",
    "socket.keepalive.enable",
    "socket.connection.setup.timeout.ms",
    "metadata.max.age.ms",
    "reconnect.backoff.ms",
    "reconnect.backoff.max.ms",
    "session.timeout.ms",
    "fetch.wait.max.ms",
    "fetch.min.bytes",
    "fetch.max.bytes",
    "max.partition.fetch.bytes",
    "message.max.bytes",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "linger.ms",
    "batch.size",
    "batch.num.messages",
    "compression.type",
    "compression.codec",
    "debug",
    "log_level",
    "statistics.interval.ms",
]
"""The settings that one is likely to mean."""
_MENDS = {
    "security.protocol": f"Known are: {_PROTOCOLS}.",
    **dict.fromkeys(("sasl.mechanism", "sasl.mechanisms"), f"Known are: {_MECHANISMS}."),
    **dict.fromkeys(("sasl.username", "sasl.password"), "Set both `sasl.username` and `sasl.password`."),
    "ssl.ca.location": "Name the PEM file of the CA that signed the brokers' certificates.",
    "ssl.certificate.location": "Name the PEM file of the certificate of this login.",
    "ssl.key.location": "Name the PEM file of the certificate's key, and `ssl.key.password` if it is encrypted.",
}
_NO_TLS = re.compile("PLAINTEXT broker listener|SSL connection closed by peer|wrong version number")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A login, or a way to reach the brokers, that will not do however long one waits."""

    field: str
    """The setting of librdkafka that is likely to be wrong."""
    message: str
    mend: str


def refusal(error: KafkaError, settings: Settings) -> Refusal | None:
    """What a client's `error_cb` says, where it is a refusal rather than brokers that are not there."""
    said = re.sub(r" \(after \d+ms in state \w+\)", "", error.str())
    who, protocol = settings.get("sasl.username", "that"), str(settings.get("security.protocol", "plaintext")).upper()
    if _NO_TLS.search(said):
        mend = f"Set it to what the listener at that port speaks, one of {_PROTOCOLS}, or name the port with TLS."
        return Refusal("security.protocol", f"it is {protocol}, but there is no TLS at that port: {said}", mend)
    if "certificate verify failed" in said:
        mend = f"{_MENDS['ssl.ca.location'].removesuffix('.')}, and in `kafka.bootstrap` the brokers "
        mend += "by a name in them: openssl s_client -connect HOST:PORT shows both."
        return Refusal(
            "ssl.ca.location", f"the brokers' certificates are not of this CA, or not for these names: {said}", mend
        )
    if error.code() == KafkaError._SSL:
        mend = (
            "Set it and `ssl.key.location`, if the brokers ask for a certificate; correct the other settings for TLS."
        )
        return Refusal("ssl.certificate.location", f"TLS does not come about: {said}", mend)
    if error.code() not in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
        return None
    if "current SASL state" in said:
        mend = f"Set it to {protocol.removeprefix('SASL_')}, or name the port of a listener with SASL."
        return Refusal("security.protocol", f"it is {protocol}, but that listener asks for no login: {said}", mend)
    if theirs := re.search(r"supported mechanisms: *([\w,-]+)", said):
        mend = f"Set it to one that they take: {theirs[1].replace(',', ', ')}."
        return Refusal("sasl.mechanism", f"the brokers do not take it: {said}", mend)
    mend = "Correct `sasl.username` and `sasl.password`; see that the brokers know that user with this mechanism: "
    mend += f"kafka-configs {_admin(settings)} --describe --entity-type users --entity-name {shlex.quote(str(who))}"
    return Refusal("sasl.password", f"the brokers refuse the login {who}: {said}", mend)


def refused_in(heard: Sequence[KafkaError], settings: Settings) -> LogError | None:
    """The newest refusal among what a client of the project's `heard` by its `error_cb`, as an error."""
    why = next((found for error in reversed(heard) if (found := refusal(error, settings))), None)
    return LogError(why.message, where=f"{CLIENT}.{why.field}", mend=why.mend) if why else None


def wrong_setting(error: KafkaException, settings: Collection[str], where: str = CLIENT) -> ConfigError:
    """The error for settings that librdkafka does not take, with the field below `where`, if it says which."""
    said = error.args[0].str()
    quoted = re.search(r'property "([^"]+)"', said)
    named = (
        [quoted[1]]
        if quoted
        else [n for n in [*settings, *_NAMES] if re.search(rf"(?<![\w.]){re.escape(n)}(?![\w.])", said)]
    )
    if not named and "SASL mechanism" in said:
        named = ["sasl.mechanism"]
    if not named:
        return ConfigError(f"Kafka's client does not take them: {said}", where=where, mend=f"Correct them: {_ALL}.")
    field = f"{where}.{named[0]}"
    if "No such configuration property" in said:
        close = get_close_matches(named[0], _NAMES, n=1)
        mend = f"Did you mean `{close[0]}`?" if close else f"Leave it out: {_ALL}."
        return ConfigError("Kafka's client knows no such setting", where=field, mend=mend)
    mend = _MENDS.get(named[0], f"Correct it: {_ALL}.")
    return ConfigError(f"Kafka's client does not take it: {said}", where=field, mend=mend)


def grant(settings: Settings, *words: str) -> str:
    """The command with which an administrator lets the login of `settings` do something."""
    return f"kafka-acls {_admin(settings)} --add --allow-principal {principal(settings)} {shlex.join(words)}"


def grant_topics(settings: Settings, topics: Collection[str], *operations: str) -> str:
    """That for operations on topics."""
    wanted = [word for operation in operations for word in ("--operation", operation)]
    return grant(settings, *wanted, *(word for topic in sorted(topics) for word in ("--topic", topic)))


def principal(settings: Settings) -> str:
    """As whom the brokers know the login; a placeholder, where that is said by its certificate or token."""
    if (name := settings.get("sasl.username")) is not None:
        return shlex.quote(f"User:{name}")
    protocol = str(settings.get("security.protocol", "plaintext")).lower()
    certified = any(name.startswith(("ssl.certificate.", "ssl.keystore.")) for name in settings)
    return "User:ANONYMOUS" if not protocol.startswith("sasl") and not certified else "'User:ITS NAME'"


def _admin(settings: Settings) -> str:
    return f"--bootstrap-server {settings.get('bootstrap.servers', '')} --command-config admin.properties"
