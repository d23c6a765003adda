"""A MariaDB database by way of Kafka: server, broker, Connect, Debezium's connector and the mirror are real.

Source and tables are declared by `ringup connectors discover`, and nothing that it wrote was changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pytest
from confluent_kafka import Consumer, TopicPartition
from typer.testing import CliRunner

from connectors.connect import Connect
from connectors.drift import desired
from connectors.kafka_log import KafkaLog
from connectors.kafka_signals import KafkaSignals
from connectors.registry import Registry
from connectors.sources import Source, load_sources
from ringup.cli import app
from ringup.config import load_config
from ringup.init import start_project
from ringup.local_connect import LocalConnect
from ringup.local_kafka import LocalKafka
from ringup.local_mariadb import LocalMariaDB
from ringup.local_registry import LocalRegistry
from tests.captured import PATIENCE
from tests.fetched import fetch
from tests.starter import eventually
from tests.three_formats import Mirrored
from transforms.mirror import Mirror
from transforms.project import Table, load_project
from transforms.warehouse import Warehouse

AVRO = "io.apicurio.registry.utils.converter.AvroConverter"

TYPES = {
    "price": ("decimal(12, 2)", "decimal(12,2)", ("12.50", "-9999999999.99"), "{}"),
    "exact": ("decimal(38, 9)", "decimal(38,9)", ("12345678901234567890123456789.123456789", "-0.000000001"), "{}"),
    "endless": ("decimal(65, 3)", "varchar", ("12345678901234567890123456789012345678901234567890.125", "-1"), "{}"),
    "tiny": ("tinyint", "smallint", ("-128", "127"), "{}"),
    "flag": ("tinyint(1)", "boolean", ("1", "0"), "elt({} + 1, 'false', 'true')"),
    "little": ("tinyint unsigned", "smallint", ("255", "0"), "{}"),
    "short": ("smallint unsigned", "integer", ("65535", "0"), "{}"),
    "medium": ("mediumint", "integer", ("-8388608", "8388607"), "{}"),
    "padded": ("int(5) zerofill", "bigint", ("42", "0"), "{} + 0"),
    "number": ("int unsigned", "bigint", ("4294967295", "0"), "{}"),
    "big": ("bigint unsigned", "ubigint", ("18446744073709551615", "9223372036854775808"), "{}"),
    "twice": ("int as (tiny * 2) virtual", "integer", ("default", "default"), "{}"),
    "single": ("float", "real", ("0.1", "-1234.5"), "{}"),
    "double": ("double", "double", ("0.1", "-1234.5678"), "{}"),
    "bits": ("bit(1)", "boolean", ("b'1'", "b'0'"), "elt({} + 1, 'false', 'true')"),
    "flags": (
        "bit(10)",
        "varchar",
        ("b'1010101010'", "b'11'"),
        "if({0} is null, {0}, to_base64(char({0} & 255, {0} >> 8)))",
    ),
    "words": ("text", "varchar", ("'Grüße, \"x\" \\\\ \\n 😀'", "''"), "{}"),
    "code": ("char(5)", "varchar", ("'ab'", "'ÄÖ'"), "{}"),
    "raw": ("blob", "varchar", ("x'00ff10fe'", "''"), "to_base64({})"),
    "fixed": ("binary(4)", "varchar", ("'ab'", "x'00ff10fe'"), "to_base64({})"),
    "day": ("date", "date", ("'2024-02-29'", "'9999-12-31'"), "{}"),
    "hour": ("time(6)", "time", ("'12:34:56.789012'", "'00:00:00.5'"), "trim(trailing '0' from {})"),
    "local": ("datetime(6)", "timestamp", ("'2024-02-29 12:34:56.123456'", "'1000-01-01 00:00:00.000001'"), "{}"),
    "moment": (
        "timestamp(6) null",
        "timestamptz",
        ("'2024-02-29 12:34:56.123456'", "'1970-01-01 00:00:01.5'"),
        "concat(trim(trailing '0' from {}), '+00')",
    ),
    "document": ("json", "varchar", ("""'{"a": [1, 2.50]}'""", "'null'"), "{}"),
    "mood": ("enum('sad', 'happy')", "varchar", ("'happy'", "'sad'"), "{}"),
    "colours": ("set('red', 'green')", "varchar", ("'red,green'", "''"), "{}"),
    "name": ("uuid", "uuid", ("'11111111-2222-3333-4444-555555555555'",) * 2, "{}"),
    "born": ("year", "smallint", ("2024", "1901"), "{}"),
    "area": (
        "geometry",
        "json",
        ("st_geomfromtext('LINESTRING(0 0, 1 1)')", "st_geomfromtext('LINESTRING(-1.5 2, 0 0)')"),
        """concat('{{"wkb":"', to_base64(st_aswkb({})), '","srid":null}}')""",
    ),
}
"""Columns: the type in MariaDB, the type that is found for it, two values, and the value in the words of the mirror."""


@dataclass
class Shop:
    """The servers, and what comes of the database."""

    mariadb: LocalMariaDB
    kafka: LocalKafka
    worker: LocalConnect
    connect: Connect
    mirrored: Mirrored

    def execute(self, *statements: str) -> None:
        """Each is a transaction of its own, unless they say otherwise."""
        self.mariadb.execute("; ".join(statements), "shop")

    def until(self, done: Callable[[], bool]) -> None:
        """Read until it is so."""
        read_until(self.mirrored, done)

    def until_row(self, number: int, table: str = "things") -> None:
        """Read until the row is there."""
        self.until(lambda: number in self.mirrored.rows(table))

    def torn(self) -> int:
        """Transactions that did not come whole."""
        return sum(batch.torn for batch in self.mirrored.batches)

    def parts(self) -> dict[int, str]:
        """What the server has in the table `parts`."""
        lines = self.mariadb.execute("select id, state from parts", "shop").splitlines()
        return {int(number): state for number, state in (line.split("\t") for line in lines)}

    def mirrored_parts(self) -> dict[int, str]:
        """What the mirror has of it."""
        return {number: row["state"] for number, row in self.mirrored.rows("parts").items()}

    def written(self, topic: str) -> int:
        """How many records a topic has."""
        with closing(Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": "look"})) as look:
            bounds = look.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        return bounds[1] if bounds is not None else 0


def values(which: int) -> str:
    """A row of all types, without its key."""
    return ", ".join(found[which] for _, _, found, _ in TYPES.values())


def discovered(folder: Path, kafka: Mapping[str, str], environ: Mapping[str, str]) -> tuple[Source, tuple[Table, ...]]:
    """A project whose source and tables are as `ringup` wrote them, with its connector applied."""
    start_project(folder, empty=True)
    with (folder / "ringup.yml").open("a") as file:
        file.write(f"kafka: {json.dumps(kafka)}\n")
    for words in (["discover", "tills", "--database", "mariadb"], ["apply"]):
        done = CliRunner().invoke(app, ["connectors", *words, "--project", str(folder)], env=environ)
        assert done.exit_code == 0, (done.output, done.exception)
    config = load_config(folder, {}, channels=False)
    (source,) = load_sources(config.sources_folder)
    return source, tuple(load_project(config.dbt_folder, config.state_folder / "dbt").tables)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, kafka_jars: None) -> Iterator[Shop]:
    """Everything runs, and the snapshot is in: a row with values, and one without."""
    fetch("mariadb", "debezium-mariadb", "avro-converter")
    home = tmp_path_factory.mktemp("tills")
    with ExitStack() as stack:
        mariadb = stack.enter_context(LocalMariaDB(home / "mariadb"))
        columns = ", ".join(f"`{name}` {kind}" for name, (kind, _, _, _) in TYPES.items())
        mariadb.execute(
            "create database shop; use shop;"
            "create table parts (id bigint unsigned auto_increment primary key, state varchar(20));"
            f"create table things (id bigint primary key, {columns});"
            f"insert into things values (1, {values(0)}), (2{', null' * len(TYPES)});"
            "insert into parts values (1, 'old')"
        )
        kafka = stack.enter_context(LocalKafka(home / "kafka"))
        environ = {
            "TILLS_HOST": mariadb.host,
            "TILLS_PORT": str(mariadb.port),
            "TILLS_USER": mariadb.user,
            "TILLS_PASSWORD": mariadb.password,
        }
        plugins = ("debezium-mariadb", "avro-converter")
        worker = stack.enter_context(LocalConnect(home / "connect", kafka.bootstrap, environ, plugins))
        tills, declared = discovered(home / "my-shop", {"bootstrap": kafka.bootstrap, "connect": worker.url}, environ)
        mirrored = stack.enter_context(mirror_of(tills, declared, kafka, home))
        yield Shop(mariadb, kafka, worker, Connect(worker.url), mirrored)


@contextmanager
def mirror_of(
    source: Source, declared: tuple[Table, ...], kafka: LocalKafka, home: Path, registry: Registry | None = None
) -> Iterator[Mirrored]:
    """A mirror of a source, whose snapshot is in."""
    settings = {"bootstrap.servers": kafka.bootstrap, "group.id": source.name}
    topics = [table.topic for table in declared]
    with (
        closing(Warehouse(home / f"{source.name}.duckdb")) as warehouse,
        closing(KafkaLog(settings, [source.prefix], topics, 5.0, name="test", registry=registry)) as log,
    ):
        log.seek({})
        mirrored = Mirrored(source, log, declared, warehouse, Mirror(warehouse, declared))
        read_until(mirrored, lambda: log.bootstrapped)
        yield mirrored


def read_until(mirrored: Mirrored, done: Callable[[], bool]) -> None:
    """Read until it is so."""
    until = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < until
        mirrored.read()


def test_every_type_is_found(shop: Shop) -> None:
    """As the mirror needs it to hold what comes."""
    (things,) = [table for table in shop.mirrored.tables if table.name == "things"]
    assert things.key == ("id",)
    found = {column.name: column.data_type for column in things.columns}
    assert found == {"id": "BIGINT"} | {name: str(duckdb.sqltype(kind)) for name, (_, kind, _, _) in TYPES.items()}


def test_every_type_is_exact(shop: Shop) -> None:
    """From the snapshot and from the log, at both ends of their ranges; as the server itself writes them."""
    shop.execute(f"insert into things values (3, {values(1)})", f"insert into things values (4, {values(0)})")
    shop.until_row(4)
    said = ", ".join(f"hex(concat({words.format(f'`{name}`')}, ''))" for name, (_, _, _, words) in TYPES.items())
    lines = [line.split("\t") for line in shop.mariadb.execute(f"select id, {said} from things", "shop").splitlines()]
    rows = shop.mirrored.rows()
    assert rows.keys() == {int(number) for number, *_ in lines} == {1, 2, 3, 4}
    for number, *written in lines:
        texts = [None if word == "NULL" else bytes.fromhex(word).decode() for word in written]
        assert rows[int(number)] == {"id": number, **dict(zip(TYPES, texts, strict=True))}
    assert shop.mirrored.quarantined == 0


def test_avro_gives_the_same_rows(shop: Shop, tmp_path: Path) -> None:
    """Numbers above what a long holds are bytes in Avro: in the key and elsewhere, one record by itself and many."""
    shop.execute("insert into parts select seq, 'many' from seq_100_to_500")
    shop.until_row(500, "parts")
    with ExitStack() as stack:
        served = stack.enter_context(LocalRegistry(tmp_path / "registry"))
        registry = stack.enter_context(closing(Registry(served.url, {})))
        config = dict(shop.mirrored.source.config)
        for side in ("key.converter", "value.converter"):
            config |= {side: AVRO, f"{side}.apicurio.registry.url": served.converter_url}
        (tmp_path / "avro.json").write_text(json.dumps({"name": "avro", "config": config | {"topic.prefix": "avro"}}))
        (source,) = load_sources(tmp_path)
        shop.connect.put(source.name, desired(source, shop.kafka.bootstrap))
        stack.callback(shop.connect.delete, source.name)
        declared = tuple(replace(table, topic=f"avro.shop.{table.name}") for table in shop.mirrored.tables)
        in_avro = stack.enter_context(mirror_of(source, declared, shop.kafka, tmp_path, registry))
        shop.execute(f"insert into things values (5, {values(1)})", "insert into parts values (501, 'one')")
        shop.until_row(501, "parts")
        read_until(in_avro, lambda: 501 in in_avro.rows("parts"))
        for table in ("things", "parts"):
            assert in_avro.rows(table) == shop.mirrored.rows(table)
        assert in_avro.quarantined == 0
    shop.execute("delete from parts where id >= 100", "delete from things where id = 5")
    shop.until(lambda: shop.mirrored_parts() == shop.parts())


def test_transactions_stay_whole(shop: Shop) -> None:
    """Several statements, several tables, several changes of a row: in one batch, and the last change counts."""
    shop.execute(
        "start transaction",
        "insert into parts values (10, 'new'), (11, 'new'), (12, 'new')",
        "update things set tiny = 7 where id = 1",
        "update parts set state = 'sold' where id in (10, 11)",
        "delete from parts where id = 12",
        "update parts set state = 'paid' where id = 10",
        "commit",
    )
    shop.until_row(10, "parts")
    topics = shop.mirrored.batches[-1].records.column("topic").to_pylist()
    assert (topics.count("tills.shop.parts"), topics.count("tills.shop.things")) == (8, 1)  # and a tombstone
    assert shop.mirrored_parts() == shop.parts()
    assert shop.torn() == 0


def test_a_key_that_changes_is_another_row(shop: Shop) -> None:
    """The row with the old key goes; a rolled back transaction leaves nothing."""
    shop.execute("start transaction", "delete from parts", "rollback")
    shop.execute("update parts set id = 20 where id = 11", "insert into parts values (11, 'again')")
    shop.until_row(11, "parts")
    shop.until(lambda: shop.mirrored_parts() == shop.parts())
    assert shop.mirrored_parts()[20] == "sold"


def test_a_truncate_is_set_aside_and_holds_nothing_up(shop: Shop) -> None:
    """Its transaction has no end; what comes after it does not wait, and nothing is torn."""
    before = shop.mirrored.quarantined
    shop.execute("truncate parts", "insert into parts values (30, 'new')")
    shop.until_row(30, "parts")
    assert shop.mirrored.quarantined == before + 1
    assert shop.mirrored.reasons()[-1] == "TRUNCATE is not applied: delete the rows instead"
    assert shop.torn() == 0
    shop.execute(
        "replace into parts values (1, 'x'), (10, 'x'), (11, 'x'), (20, 'x')", "delete from parts where state = 'x'"
    )
    shop.until(lambda: shop.mirrored_parts() == shop.parts())


def test_a_table_can_be_read_again(shop: Shop) -> None:
    """Rows that came past the log are found by a snapshot, which counts for newer than what is stored."""
    shop.execute(
        "insert into parts values (40, 'right')",
        "set sql_log_bin = 0",
        "update parts set state = 'wrong' where id = 40",
        "insert into parts values (41, 'unseen')",
    )
    shop.until_row(40, "parts")
    KafkaSignals({"bootstrap.servers": shop.kafka.bootstrap}, shop.connect).ask_for_snapshot(
        shop.mirrored.source, ["shop.parts"]
    )
    shop.until_row(41, "parts")
    assert shop.mirrored_parts() == shop.parts() == {30: "new", 40: "wrong", 41: "unseen"}
    shop.execute("update parts set state = 'later' where id = 40")
    shop.until(lambda: shop.mirrored_parts()[40] == "later")


def test_a_connector_that_is_restarted_loses_nothing(shop: Shop) -> None:
    """It goes on where it was."""
    eventually(lambda: shop.connect.placed("tills"))
    shop.connect.restart("tills", only_failed=False)
    shop.execute("insert into parts values (45, 'meanwhile')")
    shop.until_row(45, "parts")
    assert shop.mirrored_parts() == shop.parts()


@pytest.mark.slow
def test_a_worker_that_dies_within_a_transaction_loses_nothing(shop: Shop) -> None:
    """Debezium goes on in the middle, and counts the changes from one again: the last change of each row counts."""
    eventually(lambda: shop.connect.placed("tills"))
    shop.execute("insert into parts select seq, 'first' from seq_1000_to_1100", "delete from parts where id >= 1000")
    rows = "insert into parts select seq, 'first' from seq_1000_to_20000"
    shop.execute("start transaction", rows, "update parts set state = 'last' where id >= 1000", "commit")
    eventually(lambda: shop.written("tills.shop.parts") > 25_000)
    shop.worker.kill()
    shop.execute("insert into parts values (50, 'while it was away')")
    shop.worker.start()
    shop.until_row(50, "parts")
    assert shop.mirrored_parts() == shop.parts()
