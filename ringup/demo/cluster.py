"""Kafka and Kafka Connect for the demo: a broker and a worker of its own, with the reference connectors applied."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from ringup.errors import CaptureError
from ringup.local_connect import LocalConnect
from ringup.local_kafka import LocalKafka
from ringup.started import Started


class DemoKafka(Started):
    """The two servers in the demo's folder. `environ` has what the connectors refer to."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.broker = LocalKafka(folder / "kafka")
        plugins = ("debezium-postgres", "debezium-mariadb")
        self.worker = LocalConnect(folder / "connect", self.broker.bootstrap, environ, plugins)

    @property
    def settings(self) -> dict[str, str]:
        """The block `kafka` of the demo's ringup.yml."""
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

    def apply(self, project: Path, environ: Mapping[str, str]) -> None:
        """Prepare the databases and create the connectors, as a user would."""
        command = [sys.executable, "-m", "ringup", "connectors", "apply", "--project", str(project)]
        done = subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CaptureError(f"the connectors cannot be applied:\n{done.stderr}", mend="correct what it says")
