"""One database by way of three connectors, each with a mirror of its own: the servers, the types and the rows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Consumer, TopicPartition

from connectors.kafka_log import KafkaLog
from connectors.log import Batch
from connectors.registry import Registry
from connectors.sources import Source, load_sources
from ringup.local_kafka import LocalKafka
from ringup.local_postgres import LocalPostgres
from ringup.local_registry import LocalRegistry
from tests.captured import PATIENCE
from transforms.mirror import Mirror
from transforms.parts import rows_sql
from transforms.project import Column, Table
from transforms.warehouse import Warehouse

FORMATS = ("plain", "schemas", "in-avro")
"""Prefixes of the sources, one of which cannot be a name in Avro."""

WAIT = 5.0
"""Seconds that the rest of a transaction is waited for."""

TYPES = {
    "small": ("smallint", "smallint", "-7"),
    "number": ("integer", "integer", "42"),
    "big": ("bigint", "bigint", "9007199254740993"),
    "price": ("numeric(12, 2)", "decimal(12,2)", "'12.50'"),
    "exact": ("numeric", "varchar", "'1234567890123456789012345678.123456789'"),
    "single": ("real", "double", "0.1"),
    "double": ("double precision", "varchar", "1e10"),
    "cash": ("money", "decimal(12,2)", "'1234.56'"),
    "flag": ("boolean", "boolean", "true"),
    "words": ("text", "varchar", r"E'Grüße, \"x\" \\ \n 😀'"),
    "code": ("char(5)", "varchar", "'ab'"),
    "raw": ("bytea", "varchar", r"'\x00ff10fe'"),
    "bits": ("bit(12)", "varchar", "'101010101010'"),
    "day": ("date", "date", "'2024-02-29'"),
    "hour": ("time", "time", "'12:34:56.789012'"),
    "zoned_hour": ("timetz", "varchar", "'12:34:56.7+02'"),
    "local": ("timestamp", "timestamp", "'2024-02-29 12:34:56.123456'"),
    "moment": ("timestamptz", "timestamptz", "'2024-02-29 12:34:56.123456+02'"),
    "span": ("interval", "varchar", "'1 day 2 hours'"),
    "name": ("uuid", "uuid", "'11111111-2222-3333-4444-555555555555'"),
    "document": ("jsonb", "varchar", """'{"a": [1, 2.50]}'"""),
    "address": ("inet", "varchar", "'10.0.0.1'"),
    "range": ("tstzrange", "varchar", "'[2024-01-01 00:00+00,2024-01-02 00:00+00)'"),
    "place": ("point", "varchar", "'(1.5,2)'"),
    "numbers": ("integer[]", "varchar", "'{1,2,null}'"),
    "texts": ("text[]", "varchar", """'{a,"b c"}'"""),
    "moments": ("timestamptz[]", "varchar", "'{2024-02-29 12:34:56+02}'"),
    "mood": ("shop.mood", "varchar", "'happy'"),
}
"""Columns: the type in PostgreSQL, the type that is declared, and a value."""


@dataclass
class Mirrored:
    """What one connector brings, in a mirror of its own."""

    source: Source
    log: KafkaLog
    tables: tuple[Table, ...]
    warehouse: Warehouse
    mirror: Mirror
    batches: list[Batch] = field(default_factory=list)
    quarantined: int = 0

    def read(self, wait: float = 0.1) -> None:
        """Take in what there is."""
        if (batch := self.log.read(10_000, wait)) is not None:
            with self.warehouse.transaction():
                self.quarantined += self.mirror.apply(batch).quarantined
            self.batches.append(batch)

    def reasons(self) -> list[str]:
        """Why changes were set aside, the last one at the end."""
        found = self.warehouse.con.execute("select reason from live.ringup.quarantine order by quarantined_at")
        return [reason for (reason,) in found.fetchall()]

    def rows(self, table: str = "things") -> dict[int, dict[str, Any]]:
        """The rows that are there, by `id`, without what is the mirror's own."""
        (found,) = [known for known in self.tables if known.name == table]
        names = [column.name for column in found.columns]
        columns = ", ".join(f'"{name}"::varchar' for name in names)
        rows = self.warehouse.con.execute(f"select {columns} from ({rows_sql(found)})").fetchall()
        return {int(row[0]): dict(zip(names, row, strict=True)) for row in rows}


@dataclass
class Estate:
    """The servers, and a mirror for each format."""

    postgres: LocalPostgres
    kafka: LocalKafka
    registry: LocalRegistry
    mirrored: dict[str, Mirrored]

    def execute(self, *statements: str) -> None:
        """In one transaction."""
        with psycopg.connect(self.postgres.dsn("shop")) as con:
            for statement in statements:
                con.execute(statement.encode())

    def written(self, topic: str) -> int:
        """How many records a topic has."""
        with closing(Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": "look"})) as look:
            bounds = look.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        return bounds[1] if bounds is not None else 0

    def until(self, done: Callable[[Mirrored], bool]) -> None:
        """Read all of them until `done` says so of each."""
        until = time.monotonic() + PATIENCE
        for mirrored in self.mirrored.values():
            while not done(mirrored):
                assert time.monotonic() < until, f"nothing came of {mirrored.source.name}"
                mirrored.read()

    def until_row(self, number: int, table: str = "things") -> None:
        """Read until all of them have a row."""
        self.until(lambda mirrored: number in mirrored.rows(table))


def converters(registry: LocalRegistry) -> dict[str, dict[str, str]]:
    """What each source says of its converters."""
    avro = "io.apicurio.registry.utils.converter.AvroConverter"
    said: dict[str, dict[str, str]] = {name: {} for name in FORMATS}
    for side in ("key.converter", "value.converter"):
        said["schemas"][f"{side}.schemas.enable"] = "true"
        said["in-avro"] |= {side: avro, f"{side}.apicurio.registry.url": registry.converter_url}
    return said


def sources(folder: Path, postgres: LocalPostgres, registry: LocalRegistry) -> list[Source]:
    """The sources as they are loaded from their files."""
    for name, said in converters(registry).items():
        config = {
            "topic.prefix": name,
            "database.hostname": "127.0.0.1",
            "database.port": str(postgres.port),
            "database.user": postgres.user,
            "database.password": "${env:PASSWORD}",
            "database.dbname": "shop",
            "schema.include.list": "shop",
            **said,
        }
        (folder / f"{name}.json").write_text(json.dumps({"name": name, "config": config}))
    return load_sources(folder)


def tables(source: Source) -> tuple[Table, ...]:
    """The tables as a project would declare them, one of them with a column that comes later."""
    kinds = {"id": "bigint", **{name: declared for name, (_, declared, _) in TYPES.items()}, "later": "varchar"}

    def table(name: str, columns: Mapping[str, str]) -> Table:
        named = tuple(Column(column, kind) for column, kind in columns.items())
        return Table("shop", name, f"{source.prefix}.shop.{name}", named, ("id",), None, {}, None, "test")

    return table("things", kinds), table("parts", {"id": "bigint", "thing": "bigint", "state": "varchar"})


@contextmanager
def mirror_of(source: Source, kafka: LocalKafka, registry: LocalRegistry, home: Path) -> Iterator[Mirrored]:
    """A mirror of a source, from its beginning."""
    declared = tables(source)
    settings = {"bootstrap.servers": kafka.bootstrap, "group.id": source.name}
    known = Registry(registry.url, {}) if source.name == "in-avro" else None
    warehouse = Warehouse(home / f"{source.name}.duckdb")
    topics = [table.topic for table in declared]
    with (
        closing(warehouse),
        closing(KafkaLog(settings, [source.prefix], topics, WAIT, name="test", registry=known)) as log,
    ):
        log.seek({})
        yield Mirrored(source, log, declared, warehouse, Mirror(warehouse, declared))


def values() -> str:
    """A row of all types, without its key."""
    return ", ".join(value for _, _, value in TYPES.values())


def same_rows(estate: Estate, table: str = "things") -> dict[int, dict[str, Any]]:
    """The rows, which are the same whatever the format."""
    plain, *others = (mirrored.rows(table) for mirrored in estate.mirrored.values())
    for other in others:
        assert other == plain
    return plain
