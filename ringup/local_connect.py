"""A Kafka Connect worker of one's own, for the demo, the tests and the benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from connectors.connect import Connect
from ringup.errors import CaptureError
from ringup.kafka_jars import kafka_jars
from ringup.local_kafka import java
from ringup.local_server import HOST, LocalServer, LocalService, free_port

_JSON = "org.apache.kafka.connect.json.JsonConverter"
_SETTINGS: Mapping[str, str] = {
    "group.id": "connect",
    "key.converter": _JSON,
    "value.converter": _JSON,
    "config.storage.topic": "connect.configs",
    "config.storage.replication.factor": "1",
    "offset.storage.topic": "connect.offsets",
    "offset.storage.replication.factor": "1",
    "offset.storage.partitions": "1",
    "status.storage.topic": "connect.status",
    "status.storage.replication.factor": "1",
    "status.storage.partitions": "1",
    "offset.flush.interval.ms": "1000",
    "connector.client.config.override.policy": "All",
    "config.providers": "env",
    "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
    "scheduled.rebalance.max.delay.ms": "0",
}


# Debezium's jars list what is in them; those of the converters do not, and have to be looked through for 5 s.
_LISTED, _UNLISTED = "service_load", "hybrid_warn"


class LocalConnect(LocalService):
    """A Kafka Connect worker in distributed mode, reachable on the loopback interface only.

    Its state is in topics of the broker at `bootstrap`. `environ` is what `${env:NAME}` in a connector's configuration
    refers to, `plugins` are the modules of `ringup/kafka/` that it has besides its own: connectors and converters. It
    stops when the process that started it ends.
    """

    def __init__(
        self,
        folder: Path,
        bootstrap: str,
        environ: Mapping[str, str],
        plugins: Sequence[str] = ("debezium-postgres",),
        port: int | None = None,
    ) -> None:
        self.folder, self._bootstrap, self._environ = folder.absolute(), bootstrap, dict(environ)
        self._plugins = tuple(plugins)
        self._port = port or free_port()
        self._server = LocalServer("Kafka Connect worker", self.folder / "connect.log")

    @property
    def url(self) -> str:
        """The address of its REST API."""
        return f"http://{HOST}:{self._port}"

    def start(self) -> Self:
        """Start the worker and wait until it answers. Raises CaptureError when it will not."""
        file = self.folder / "connect.properties"
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            **_SETTINGS,
            "bootstrap.servers": self._bootstrap,
            "listeners": self.url,
            "plugin.discovery": _LISTED if all(p.startswith("debezium-") for p in self._plugins) else _UNLISTED,
            "plugin.path": ",".join(str(kafka_jars(plugin).parent) for plugin in self._plugins),
        }
        file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
        command = java("connect", "org.apache.kafka.connect.cli.ConnectDistributed", str(file))
        self._server.start(command, self._answers, environ=self._environ)
        return self

    def _answers(self) -> bool:
        try:
            Connect(self.url).names()
        except CaptureError:
            return False
        return True
