"""A broker as an existing cluster has it: TLS, logins, rights; and what docs/kafka.md says to do with it."""

from __future__ import annotations

import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import serialization

from ringup.config import Config, load_config
from ringup.local_kafka import LocalKafka, java
from tests.house import ROOT
from tests.kafka_broker import done

PASSWORD, KEY_PASSWORD = "pass word#1", "of the key"
ENVIRON = {"KAFKA_PASSWORD": PASSWORD, "KAFKA_KEY_PASSWORD": KEY_PASSWORD}
BLOCKS = {"SASL/SCRAM": "SASL_SSL", "SASL/PLAIN": "SASL_SSL", "mutual TLS": "SSL", "TLS only": "SSL"}
"""Each block of ringup.yml in the docs, by its heading, and the listener that it is for."""

_PAGE = (ROOT / "docs" / "kafka.md").read_text()
_ADMIN = re.search(r"```properties\n(.*?)```", _PAGE, re.DOTALL)
_LOGINS = ("admin", "ringup", "connect", "stranger")
_SCRAM, _PLAIN = "listener.name.sasl_ssl.scram-sha-512.", "listener.name.sasl_ssl.plain."
_MODULES = "org.apache.kafka.common.security"


class SecuredKafka:
    """A broker in `home` whose users may do what was granted; its own listener is the administrator's."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._certify()
        users = " ".join(f'user_{name}="{PASSWORD}"' for name in _LOGINS)
        self.kafka = LocalKafka(
            home / "broker",
            {
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS;User:admin",
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(home / "broker.pem"),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": str(home / "kafka-ca.pem"),
                "listener.name.ssl.ssl.client.auth": "requested",
                "ssl.principal.mapping.rules": "RULE:^CN=([^,]*),.*$/$1/,DEFAULT",
                "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
                f"{_SCRAM}sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;",
                f"{_PLAIN}sasl.jaas.config": f"{_MODULES}.plain.PlainLoginModule required {users};",
            },
            ("SSL", "SASL_SSL"),
        )

    def add_users(self) -> None:
        """Give each login a password, while the broker runs."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        upserts: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(name, info, PASSWORD.encode()) for name in _LOGINS
        ]
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap})
        done(admin.alter_user_scram_credentials(upserts))

    def grant(self) -> None:
        """Run all commands of the docs that grant something."""
        shown = [block.replace("\\\n", "") for block in re.findall(r"```console\n(.*?)```", _PAGE, re.DOTALL)]
        lines = [line for block in shown for line in block.splitlines() if line.startswith("kafka-acls")]
        with ThreadPoolExecutor(2) as pool:
            assert len(list(pool.map(self.acls, lines))) == len(lines) == 6

    def acls(self, line: str) -> str:
        """What a command of the docs, or of an error's mend, prints here."""
        assert _ADMIN is not None
        login = self.home / "admin.properties"
        login.write_text(self.here(_ADMIN[1]).replace('password="secret"', f'password="{PASSWORD}"'))
        words = shlex.split(self.here(line).replace("broker-1:9093", self.kafka.address("SASL_SSL")))
        command, words = words[0], [str(login) if word == "admin.properties" else word for word in words[1:]]
        assert command == "kafka-acls"
        java_command = java("broker", "org.apache.kafka.tools.AclCommand", *words)
        environ = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}  # it is over before more were worth it
        ran = subprocess.run(java_command, capture_output=True, text=True, timeout=180, env=environ, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def config(self, block: str, **client: str | None) -> Config:
        """The project whose ringup.yml has this block of the docs, other settings of the client over it."""
        found = re.search(rf"^### ringup\.yml with {block}$.*?```yaml\n(.*?)```", _PAGE, re.DOTALL | re.MULTILINE)
        assert found
        text = self.here(found[1]).replace("broker-1:9093", self.kafka.address(BLOCKS[block]))
        file = self.home / "ringup.yml"
        file.write_text(f"project: my-shop\n{text}")
        config = load_config(file, ENVIRON)
        assert config.kafka is not None
        config.kafka.client.update({name: value for name, value in client.items() if value is not None})
        for name in [name for name, value in client.items() if value is None]:
            del config.kafka.client[name]
        return config

    def login(self, name: str) -> dict[str, Any]:
        """The settings of another login."""
        kafka = self.config("SASL/SCRAM").kafka
        assert kafka is not None
        return {**kafka.access, "sasl.username": name}

    def here(self, text: str) -> str:
        """Words of the docs with the files of this broker."""
        return text.replace("/etc/ssl/", f"{self.home}/")

    def _certify(self) -> None:
        authority, other = trustme.CA(), trustme.CA()
        authority.cert_pem.write_to_path(str(self.home / "kafka-ca.pem"))
        other.cert_pem.write_to_path(str(self.home / "other-ca.pem"))
        server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("ringup@shop", common_name="ringup")
        chain = b"".join(part.bytes() for part in server.cert_chain_pems)
        (self.home / "broker.pem").write_bytes(_pkcs8(server) + chain)
        (self.home / "ringup.pem").write_bytes(b"".join(part.bytes() for part in client.cert_chain_pems))
        (self.home / "ringup.key").write_bytes(_pkcs8(client, KEY_PASSWORD))


def _pkcs8(cert: trustme.LeafCert, password: str | None = None) -> bytes:
    """The private key in the form that Kafka reads; encrypted, if there is a password."""
    key = serialization.load_pem_private_key(cert.private_key_pem.bytes(), None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption(),
    )
