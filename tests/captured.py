"""A source database, its capture and a reader of its log, for the integration tests."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psycopg

from connectors.capture import Capture
from connectors.embedded import EmbeddedLog
from connectors.log import Batch
from connectors.sources import Source
from ringup.local_postgres import LocalPostgres

PATIENCE = 90.0
"""Seconds after which a test gives up: far more than anything takes on a busy machine."""


def source(postgres: LocalPostgres, name: str, settings: Mapping[str, str] | None = None) -> Source:
    """A source that captures the schema `name` of the database `name`."""
    config = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "topic.prefix": name,
        "database.hostname": "127.0.0.1",
        "database.port": str(postgres.port),
        "database.user": postgres.user,
        "database.password": "${env:PASSWORD}",
        "database.dbname": name,
        "schema.include.list": name,
        **(settings or {}),
    }
    return Source(name, config, f"{name}.json")


@dataclass
class Captured:
    """Follows one source, and collects what its log says, per topic and key."""

    postgres: LocalPostgres
    state: Path
    name: str
    batches: list[Batch] = field(default_factory=list)
    _envelopes: defaultdict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    _rows: defaultdict[str, dict[int, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))

    def __post_init__(self) -> None:
        self.capture = self.another()
        self.log = EmbeddedLog(self.state / "log.db", expected=[self.name])

    def another(self, password: str | None = None, settings: Mapping[str, str] | None = None) -> Capture:
        """A capture of the same source; with another password or other settings if need be."""
        given = self.postgres.password if password is None else password
        return Capture([source(self.postgres, self.name, settings)], self.state, {"PASSWORD": given})

    def read_until(self, done: Callable[[], bool]) -> None:
        """Look after the capture and read its log until `done` says so."""
        until = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < until, f"nothing came of it: {self.capture.states()}"
            self.capture.check()
            if (batch := self.log.read(10_000, 0.05)) is not None:
                self._take(batch)

    def bootstrap(self) -> None:
        """Wait for the end of the first snapshot."""
        self.read_until(lambda: self.log.bootstrapped)

    def envelopes(self, table: str) -> list[dict[str, Any]]:
        """Every change of a table, in order."""
        return self._envelopes[f"{self.name}.{self.name}.{table}"]

    def rows(self, table: str) -> dict[int, dict[str, Any]]:
        """The table's rows by `id`, as its changes leave them."""
        return self._rows[f"{self.name}.{self.name}.{table}"]

    def _take(self, batch: Batch) -> None:
        self.batches.append(batch)
        for row in batch.records.to_pylist():
            if row["value"] is None:
                continue
            envelope = orjson.loads(row["value"])
            self._envelopes[row["topic"]].append(envelope)
            if envelope["after"] is None:
                self._rows[row["topic"]].pop(envelope["before"]["id"], None)
            else:
                self._rows[row["topic"]][envelope["after"]["id"]] = envelope["after"]

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement in the source database."""
        with psycopg.connect(self.postgres.dsn(self.name), autocommit=True) as con:
            done = con.execute(statement, values)
            return done.fetchall() if done.description else []

    def stop(self) -> None:
        """End everything but the database."""
        self.capture.stop()
        self.log.close()
