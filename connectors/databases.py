"""The kinds of databases that can be sources: all in which they differ, as values."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from connectors import mariadb, mariadb_catalog, postgres, postgres_catalog
from connectors.catalog import Catalog, Needs
from connectors.postgres_session import NUDGE, nudge

LISTED = ("table", "column")
"""What every kind has lists for, of what is included and what is not."""


class Prepare(Protocol):
    """Makes a database ready for capture."""

    def __call__(self, config: Mapping[str, str], declared: Mapping[str, Sequence[str]] | None = None) -> list[str]:
        """Make ready what a resolved configuration captures; what was done. Raises SourceError for what lacks."""


@dataclass(frozen=True, slots=True)
class Database:
    """One kind of database, told by the connector that captures it.

    `needed` are settings that a source must have, `relied_on` those that it cannot change, `defaults` what others are
    unless said, `own` those that are made from its topic.prefix, `brokered` those that are made from it and from the
    brokers of Kafka Connect. `listed` is what there are include lists for. `unheard` are words for lists of what the
    connector leaves out: what `nudge` writes. `least` are settings that must not be smaller. `embedded` says whether
    ringup can run the connector itself, without Kafka. `prepare`, `captured` (the tables that are captured, as
    `schema.table`), `nudge` (write something that changes nothing), `catalog` and `examine` (what `prepare` would find
    and do) take a resolved configuration, log in and raise SourceError.
    """

    name: str
    connector: str
    needed: tuple[str, ...]
    relied_on: Mapping[str, str]
    defaults: Mapping[str, str]
    own: Callable[[str], Mapping[str, str]]
    brokered: Callable[[str, str], Mapping[str, str]]
    listed: tuple[str, ...]
    unheard: Mapping[str, str]
    least: Mapping[str, int]
    embedded: bool
    prepare: Prepare
    captured: Callable[[Mapping[str, str]], list[str]]
    nudge: Callable[[Mapping[str, str]], None]
    catalog: Callable[[Mapping[str, str]], Catalog]
    examine: Callable[[Mapping[str, str]], Needs]

    @property
    def settings(self) -> frozenset[str]:
        """Settings whose misspelling would change what is captured without a word."""
        return frozenset((_CLASS, *self.needed, *self.relied_on, *self.defaults, *_lists(self.listed)))

    @property
    def foreign(self) -> frozenset[str]:
        """Lists of other kinds, which this one would not look at."""
        return frozenset(
            _lists(kind for other in DATABASES.values() for kind in other.listed if kind not in self.listed)
        )


def _lists(kinds: Iterable[str]) -> Iterator[str]:
    return (f"{kind}.{rule}.list" for kind in kinds for rule in ("include", "exclude"))


_CLASS = "connector.class"
_NEEDED = ("topic.prefix", "database.hostname", "database.user", "database.password")
_RELIED_ON: Mapping[str, str] = {
    "provide.transaction.metadata": "true",
    "decimal.handling.mode": "string",
    "time.precision.mode": "isostring",
    "skipped.operations": "none",
    "topic.delimiter": ".",
    "notification.enabled.channels": "sink",
}
_DEFAULTS: Mapping[str, str] = {
    "snapshot.mode": "when_needed",
    "snapshot.fetch.size": "10000",
    "poll.interval.ms": "5",
    "max.batch.size": "2048",
    "max.queue.size": "8192",
    "heartbeat.interval.ms": "10000",
}


def _slot(prefix: str) -> dict[str, str]:
    slug = re.sub(r"[^a-z0-9_]", "_", prefix.lower())
    return {"slot.name": f"ringup_{slug}", "publication.name": f"ringup_{slug}"}


_POSTGRES = "io.debezium.connector.postgresql.PostgresConnector"
POSTGRES = Database(
    name="PostgreSQL",
    connector=_POSTGRES,
    needed=(*_NEEDED, "database.dbname"),
    relied_on={
        **_RELIED_ON,
        _CLASS: _POSTGRES,
        "plugin.name": "pgoutput",
        "publication.autocreate.mode": "disabled",
        "interval.handling.mode": "string",
    },
    defaults={
        **_DEFAULTS,
        "database.port": "5432",
        "slot.max.retries": "60",
        "slot.retry.delay.ms": "500",
    },
    own=_slot,
    brokered=lambda prefix, bootstrap: {},
    listed=("schema", *LISTED),
    unheard={"message.prefix.exclude.list": NUDGE},
    least={},
    embedded=True,
    prepare=postgres.prepare,
    captured=postgres.captured,
    nudge=nudge,
    catalog=postgres_catalog.catalog,
    examine=postgres.examine,
)


def _server_id(prefix: str) -> dict[str, str]:
    """A number that no other server of the replication has: far from those that people give."""
    return {"database.server.id": str((1 << 30) + zlib.crc32(prefix.encode()) % (1 << 30))}


def _history(prefix: str, bootstrap: str) -> dict[str, str]:
    """Where the connector keeps what the tables looked like when a change was written."""
    history = "schema.history.internal.kafka"
    return {f"{history}.bootstrap.servers": bootstrap, f"{history}.topic": f"{prefix}.schema-history"}


_MARIADB = "io.debezium.connector.mariadb.MariaDbConnector"
MARIADB = Database(
    name="MariaDB",
    connector=_MARIADB,
    needed=_NEEDED,
    relied_on={
        **_RELIED_ON,
        _CLASS: _MARIADB,
        "bigint.unsigned.handling.mode": "precise",
        "include.schema.changes": "false",
    },
    defaults={
        **_DEFAULTS,
        "database.port": "3306",
        "connect.keep.alive.interval.ms": "5000",
    },
    own=_server_id,
    brokered=_history,
    listed=("database", *LISTED),
    unheard={},
    least={"connect.keep.alive.interval.ms": 5_000},
    embedded=False,
    prepare=mariadb.prepare,
    captured=mariadb.captured,
    nudge=lambda config: None,
    catalog=mariadb_catalog.catalog,
    examine=mariadb.examine,
)

KINDS: Mapping[str, Database] = {"postgres": POSTGRES, "mariadb": MARIADB}
"""By the name that a person calls one for a new source."""

DATABASES: Mapping[str, Database] = {kind.connector: kind for kind in KINDS.values()}
"""By the class of the connector."""


def database_of(config: Mapping[str, str]) -> Database:
    """The kind of database that a connector with this configuration captures; PostgreSQL unless it says another."""
    return DATABASES.get(config.get(_CLASS, _POSTGRES), POSTGRES)
