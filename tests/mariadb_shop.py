"""A MariaDB database with a column of each type, and what comes of it by way of Kafka."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from typer.testing import CliRunner

from connectors.connect import Connect
from connectors.kafka_log import KafkaLog
from connectors.registry import Registry
from connectors.sources import Source, load_sources
from ringup.cli import app
from ringup.config import load_config
from ringup.init import start_project
from ringup.local_connect import LocalConnect
from ringup.local_kafka import LocalKafka
from ringup.local_mariadb import LocalMariaDB
from tests.captured import PATIENCE
from tests.three_formats import Mirrored
from transforms.mirror import Mirror
from transforms.project import Table, load_project
from transforms.warehouse import Warehouse

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
