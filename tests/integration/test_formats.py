"""One database by way of three connectors: JSON, JSON with schemas, and Avro with a schema registry. All of it real."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient

from connectors.connect import Connect
from connectors.connect_capture import ConnectCapture
from connectors.drift import desired
from connectors.kafka_signals import KafkaSignals
from connectors.postgres import prepare
from connectors.registry import Registry
from connectors.sources import resolve
from ringup.local_connect import LocalConnect
from ringup.local_kafka import LocalKafka
from ringup.local_postgres import LocalPostgres
from ringup.local_registry import LocalRegistry
from tests.fetched import fetch
from tests.starter import eventually
from tests.three_formats import TYPES, WAIT, Estate, mirror_of, same_rows, sources, values


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
