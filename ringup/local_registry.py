"""A schema registry of one's own, for the tests and the benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import requests

from ringup.kafka_jars import kafka_jars
from ringup.local_kafka import jvm
from ringup.local_server import HOST, LocalServer, LocalService, free_port

_PATIENCE = 1.0


class LocalRegistry(LocalService):
    """A schema registry (Apicurio) that keeps its schemas in `folder`, reachable on the loopback interface only.

    Later starts carry on with what is there, on the same port. It stops when the process that started it ends.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self._port, self._management = port or free_port(), free_port()
        self._server = LocalServer("schema registry", self.folder / "registry.log")

    @property
    def url(self) -> str:
        """The address for readers, as a Confluent schema registry has it."""
        return f"http://{HOST}:{self._port}/apis/ccompat/v7"

    @property
    def converter_url(self) -> str:
        """The address for Apicurio's own converter in Kafka Connect."""
        return f"http://{HOST}:{self._port}/apis/registry/v2"

    def start(self) -> Self:
        """Start the registry and wait until it answers. Raises CaptureError when it will not."""
        settings = {
            "quarkus.http.host": HOST,
            "quarkus.http.port": str(self._port),
            "quarkus.management.host": HOST,
            "quarkus.management.port": str(self._management),
            "apicurio.datasource.url": f"jdbc:h2:file:{self.folder / 'schemas'}",
        }
        options = [f"-D{name}={value}" for name, value in settings.items()]
        self._server.start(
            jvm(*options, "-jar", str(kafka_jars("registry") / "quarkus-run.jar")),
            self._answers,
        )
        return self

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/subjects", timeout=_PATIENCE).ok
        except requests.RequestException:
            return False
