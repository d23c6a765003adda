"""One database by way of three connectors: JSON, JSON with schemas, and Avro with a schema registry. All of it real."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient

from connectors.connect import Connect
from connectors.connect_capture import ConnectCapture
from connectors.drift import desired
from connectors.kafka_log import KafkaLog
from connectors.kafka_signals import KafkaSignals
from connectors.log import Batch
from connectors.postgres import prepare
from connectors.registry import Registry
from connectors.sources import Source, load_sources, resolve
from ringup.local_connect import LocalConnect
from ringup.local_kafka import LocalKafka
from ringup.local_postgres import LocalPostgres
from ringup.local_registry import LocalRegistry
from tests.captured import PATIENCE
from tests.fetched import fetch
from tests.starter import eventually
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


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory, kafka_jars: None) -> Iterator[Estate]:
    """Everything runs, and the snapshots of a row of each kind are in."""
    fetch("registry", "avro-converter")
    home = tmp_path_factory.mktemp("formats")
    columns = ", ".join(f"{name} {kind}" for name, (kind, _, _) in TYPES.items())
    with ExitStack() as stack:
        postgres = stack.enter_context(LocalPostgres(home / "postgres"))
        postgres.create_database("shop")
        with psycopg.connect(postgres.dsn("shop")) as con:
            con.execute(b"create schema shop; create type shop.mood as enum ('sad', 'happy')")
            con.execute(f"create table shop.things (id bigint primary key, {columns})".encode())
            con.execute(b"create table shop.parts (id bigint primary key, thing bigint, state text default 'new')")
            con.execute(f"insert into shop.things values (1, {values()}), (2{', null' * len(TYPES)})".encode())
        kafka = stack.enter_context(LocalKafka(home / "kafka"))
        registry = stack.enter_context(LocalRegistry(home / "registry"))
        environ = {"PASSWORD": postgres.password}
        plugins = ("debezium-postgres", "avro-converter")
        worker = stack.enter_context(LocalConnect(home / "connect", kafka.bootstrap, environ, plugins))
        mirrored, connect = {}, Connect(worker.url)
        (home / "sources").mkdir()
        loaded = sources(home / "sources", postgres, registry)
        for source in loaded:
            prepare(resolve(source, environ))
            connect.put(source.name, desired(source, kafka.bootstrap))
            mirrored[source.name] = stack.enter_context(mirror_of(source, kafka, registry, home))
        # A converter fails without its registry, and is started again.
        signals = KafkaSignals({"bootstrap.servers": kafka.bootstrap}, connect)
        capture = ConnectCapture(loaded, connect, signals, environ)
        capture.start()
        stack.callback(capture.stop)
        running = Estate(postgres, kafka, registry, mirrored)
        running.until(lambda mirrored: mirrored.log.bootstrapped)
        yield running


@contextmanager
def mirror_of(source: Source, kafka: LocalKafka, registry: LocalRegistry, home: Path) -> Iterator[Mirrored]:
    """A mirror of a source, from its beginning."""
    declared = tables(source)
    settings = {"bootstrap.servers": kafka.bootstrap, "group.id": source.name}
    known = Registry(registry.url, {}) if source.name == "in-avro" else None
    warehouse = Warehouse(home / f"{source.name}.duckdb")
    topics = [table.topic for table in declared]
    with closing(warehouse), closing(KafkaLog(settings, [source.prefix], topics, WAIT, registry=known)) as log:
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


def test_every_type_gives_the_same_row(estate: Estate) -> None:
    """From the snapshot and afterwards; bytes, floats and all."""
    columns = ", ".join(TYPES)
    estate.execute(
        f"insert into shop.things (id, {columns}) values (3, {values()})", "delete from shop.things where id=2"
    )
    estate.until(lambda mirrored: mirrored.rows().keys() == {1, 3})
    rows = same_rows(estate)
    assert rows[1] == rows[3] | {"id": "1"}
    assert [name for name, value in rows[1].items() if value is None] == ["later"]
    assert (rows[1]["raw"], rows[1]["single"], rows[1]["big"]) == ("AP8Q/g==", "0.1", "9007199254740993")
    assert [mirrored.quarantined for mirrored in estate.mirrored.values()] == [0, 0, 0]


def test_what_is_no_number_is_set_aside_in_every_format(estate: Estate) -> None:
    """With the same reason: it is never taken for null."""
    before = {name: mirrored.quarantined for name, mirrored in estate.mirrored.items()}
    estate.execute("insert into shop.things (id, single) values (4, 'NaN')")
    estate.until(lambda mirrored: mirrored.quarantined > before[mirrored.source.name])
    for mirrored in estate.mirrored.values():
        assert mirrored.reasons()[-1] == "column single cannot be double: NaN"
        assert 4 not in mirrored.rows()


def test_transactions_stay_whole(estate: Estate) -> None:
    """Their marks come in the format of the source, too."""
    estate.execute(
        "insert into shop.things (id, number) values (20, 1)",
        *(f"insert into shop.parts values ({number}, 20, 'sold')" for number in (21, 22)),
    )
    estate.until_row(22, "parts")
    for mirrored in estate.mirrored.values():
        batch = mirrored.batches[-1]
        topics = batch.records.column("topic").to_pylist()
        prefix = mirrored.source.prefix
        assert (topics.count(f"{prefix}.shop.things"), topics.count(f"{prefix}.shop.parts")) == (1, 2)
        assert sum(batch.torn for batch in mirrored.batches) == 0


def test_columns_come_and_go(estate: Estate) -> None:
    """Each record is read by the schema that it was written with."""
    estate.execute("insert into shop.things (id, mood) values (30, 'sad')")
    estate.execute("alter table shop.things add column later text")
    estate.execute("insert into shop.things (id, mood, later) values (31, 'happy', 'now')")
    estate.execute("alter table shop.things drop column mood")
    estate.execute("insert into shop.things (id, later) values (32, 'then')")
    estate.until_row(32)
    rows = same_rows(estate)
    assert [(rows[n]["mood"], rows[n]["later"]) for n in (30, 31, 32)] == [
        ("sad", None),
        ("happy", "now"),
        (None, "then"),
    ]


def test_a_registry_that_is_away_is_waited_for(estate: Estate, caplog: pytest.LogCaptureFixture) -> None:
    """Longer than for a transaction, and nothing is torn or lost; it is said, and the lag shows it."""
    mirrored = estate.mirrored["in-avro"]
    torn = sum(batch.torn for batch in mirrored.batches)
    topic = f"{mirrored.source.prefix}.shop.parts"
    before = estate.written(topic)
    estate.execute(
        "alter table shop.parts add column note text",
        "insert into shop.things (id) values (40)",
        "insert into shop.parts values (41, 40, 'sold', 'x')",
    )
    eventually(lambda: estate.written(topic) > before)
    estate.registry.stop()
    until = time.monotonic() + 2 * WAIT
    while time.monotonic() < until:
        mirrored.read()
    assert 41 not in mirrored.rows("parts")
    assert mirrored.log.lag() > 0
    assert "the schema registry does not answer" in caplog.text
    estate.registry.start()
    estate.until_row(41, "parts")
    assert same_rows(estate, "parts")[41]["thing"] == "40"
    assert 40 in mirrored.rows()
    assert sum(batch.torn for batch in mirrored.batches) == torn


def test_a_schema_that_nobody_knows_is_set_aside(estate: Estate) -> None:
    """The record waits in quarantine with its bytes, and what comes after it goes on."""
    mirrored = estate.mirrored["in-avro"]
    bad, topic = mirrored.quarantined, f"{mirrored.source.prefix}.shop.parts"
    producer = Producer({"bootstrap.servers": estate.kafka.bootstrap})
    producer.produce(topic, b"\0\0\xff\xff\xff\2")
    assert producer.flush(30) == 0
    estate.execute("insert into shop.parts values (50, 1, 'sold')")
    estate.until_row(50, "parts")
    assert mirrored.quarantined == bad + 1
    assert mirrored.reasons()[-1] == "the registry knows no schema 16777215"


def test_null_in_a_column_with_a_default(estate: Estate, caplog: pytest.LogCaptureFixture) -> None:
    """JSON keeps it. This Avro converter writes the default, which nobody can tell from it: so that is said."""
    estate.execute("insert into shop.parts values (60, 1, null)")
    estate.until_row(60, "parts")
    states = {name: mirrored.rows("parts")[60]["state"] for name, mirrored in estate.mirrored.items()}
    assert states == {"plain": None, "schemas": None, "in-avro": "new"}
    with SchemaRegistryClient({"url": estate.registry.url}) as client:
        number = client.get_latest_version("in-avro.shop.parts-value").schema_id
    with closing(Registry(estate.registry.url, {})) as registry:
        registry.avro(number or 0)
    assert "writes a column's default where it is null: state" in caplog.text
