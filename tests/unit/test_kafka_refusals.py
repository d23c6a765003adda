"""What is said of settings that Kafka's client does not take, and of rights that a login lacks."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from connectors.kafka_access import check_access
from connectors.kafka_client import KafkaClient
from connectors.kafka_errors import Unanswered
from connectors.kafka_refusals import Settings, grant_topics, principal, refusal
from connectors.kafka_signals import KafkaSignals
from connectors.sources import Source
from ringup.errors import ConfigError

SETTINGS: Settings = {"bootstrap.servers": "127.0.0.1:1", "group.id": "ringup.my-shop", "sasl.username": "ringup"}
WRONG: list[tuple[dict[str, str], str, str]] = [
    ({"security.protocoll": "SSL"}, "security.protocoll", "Did you mean `security.protocol`?"),
    ({"ssl.ca.lokation": "ca.pem"}, "ssl.ca.lokation", "Did you mean `ssl.ca.location`?"),
    ({"sasl.user": "ringup"}, "sasl.user", "Did you mean `sasl.username`?"),
    ({"truststore": "ca.jks"}, "truststore", "CONFIGURATION.md"),
    ({"security.protocol": "TLS"}, "security.protocol", "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
    ({"fetch.wait.max.ms": "soon"}, "fetch.wait.max.ms", "CONFIGURATION.md"),
    ({"security.protocol": "SSL", "ssl.ca.location": "nowhere.pem"}, "ssl.ca.location", "the PEM file of the CA"),
    ({"security.protocol": "SSL", "ssl.key.location": "nowhere.key"}, "ssl.key.location", "the certificate's key"),
    ({"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM"}, "sasl.mechanism", "SCRAM-SHA-512"),
    ({"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"}, "sasl.mechanism", "SCRAM-SHA-512"),
    ({"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}, "sasl.username", "Set both"),
]


@pytest.mark.parametrize(("client", "field", "mend"), WRONG)
def test_a_wrong_setting_is_named_with_what_is_meant(client: dict[str, str], field: str, mend: str) -> None:
    """Whichever of ringup's clients meets it first, the error has the field of ringup.yml and what it should be."""
    settings = {**SETTINGS, **client}
    source = Source("pos", {"topic.prefix": "pos"}, "pos.json")
    for begin in (
        lambda: check_access(settings, ["pos.shop.bills"]),
        lambda: KafkaClient(settings, ["pos.shop.bills"]),
        lambda: KafkaSignals(settings).make_topic(source),
    ):
        with pytest.raises(ConfigError) as caught:
            begin()
        assert caught.value.where == f"ringup.yml: kafka.client.{field}"
        assert mend in caught.value.mend


def test_the_login_is_named_as_the_brokers_know_it() -> None:
    """By its name for SASL; a certificate's name is for the administrator to put in."""
    assert principal(SETTINGS) == "User:ringup"
    assert principal({"sasl.username": "the till"}) == "'User:the till'"
    assert principal({"security.protocol": "ssl"}) == "User:ANONYMOUS"
    assert principal({"security.protocol": "ssl", "ssl.certificate.location": "ringup.pem"}) == "'User:ITS NAME'"
    assert grant_topics(SETTINGS, ["b", "a"], "Read", "Write") == (
        "kafka-acls --bootstrap-server 127.0.0.1:1 --command-config admin.properties --add "
        "--allow-principal User:ringup --operation Read --operation Write --topic a --topic b"
    )


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._ALL_BROKERS_DOWN])
def test_brokers_that_are_not_there_are_no_refusal(code: int) -> None:
    """They may come, and are waited for."""
    assert refusal(KafkaError(code, "Connect to 127.0.0.1:1 failed: Connection refused"), SETTINGS) is None


def test_a_broker_that_is_down_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """With why it is not reached, after it was waited for."""
    monkeypatch.setattr("connectors.kafka_access._ANSWER", 0.5)
    with pytest.raises(Unanswered, match=r"no Kafka broker answers: .*Connection refused") as caught:
        check_access({"bootstrap.servers": "127.0.0.1:1", "group.id": "ringup.my-shop"}, ["pos.shop.bills"])
    assert caught.value.where == "127.0.0.1:1"
