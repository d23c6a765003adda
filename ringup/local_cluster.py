"""Kafka and Kafka Connect of one's own, for development, the demo, the tests and the benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from ringup.local_connect import LocalConnect
from ringup.local_kafka import LocalKafka
from ringup.started import Started

CONNECTORS = ("debezium-postgres", "debezium-mariadb")


class LocalCluster(Started):
    """A broker and a Connect worker with Debezium's connectors, in `folder`. `environ` has what connectors refer to.

    The ports are free ones unless they are given, `plugins` what the worker has besides.
    """

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        plugins: Sequence[str] = (),
        ports: tuple[int | None, int | None] = (None, None),
    ) -> None:
        self.broker = LocalKafka(folder / "kafka", port=ports[0])
        bootstrap = self.broker.bootstrap
        self.worker = LocalConnect(folder / "connect", bootstrap, environ, (*CONNECTORS, *plugins), ports[1])

    @property
    def settings(self) -> dict[str, str]:
        """The block `kafka` of a ringup.yml."""
        return {"bootstrap": self.broker.bootstrap, "connect": self.worker.url}

    def start(self) -> Self:
        """Start both."""
        self.broker.start()
        self.worker.start()
        return self

    def stop(self) -> None:
        """Stop both, the worker first."""
        self.worker.stop()
        self.broker.stop()
