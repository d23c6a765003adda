"""How fast changes get from PostgreSQL into the embedded log: snapshot, streaming, age and start-up.

Database, engine and log share the machine. Prints one JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg

from connectors.board import read_board
from connectors.capture import Capture
from connectors.sources import Source
from ringup.local_postgres import LocalPostgres

_TABLE = """
create schema shop;
create table shop.bill_lines (
    bill_id bigint, line_no int, product_id int, quantity int, amount numeric(12, 2), retail_discount numeric(12, 2),
    coupon_discount numeric(12, 2), coupon_match_discount numeric(12, 2), sold_at timestamptz default now(),
    primary key (bill_id, line_no)
);
"""
_LINES = """
insert into shop.bill_lines
select bill, line, 1000 + line, 1, line + 0.49, 0.5, 0, 0
from generate_series(%s::int, %s::int) bill, generate_series(1, 10) line
"""
_LOGGED = (
    "select count(*), min(at), max(at) from records join topics on topics.id = topic where name like '%.bill_lines'"
)


class Shop:
    """A source database with one table, and its capture into a log of its own."""

    def __init__(self, folder: Path, postgres: LocalPostgres) -> None:
        self.state = folder / "state"
        self.dsn = postgres.dsn("shop")
        config = {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "topic.prefix": "shop",
            "database.hostname": "127.0.0.1",
            "database.port": str(postgres.port),
            "database.user": postgres.user,
            "database.password": postgres.password,
            "database.dbname": "shop",
            "schema.include.list": "shop",
        }
        self.capture = Capture([Source("shop", config, "shop.json")], self.state, {})
        self.bills = 0

    def sell(self, bills: int, at_once: int) -> None:
        """Insert bills of ten lines, `at_once` of them a transaction."""
        with psycopg.connect(self.dsn, autocommit=True) as con:
            for first in range(self.bills, self.bills + bills, at_once):
                con.execute(_LINES, [first, first + at_once - 1])
        self.bills += bills

    def logged(self) -> tuple[int, int, int]:
        """How many changes are in the log, and when the first and the last came, in microseconds."""
        with closing(sqlite3.connect(self.state / "log.db")) as con:
            count, first, last = con.execute(_LOGGED).fetchone()
        return int(count), int(first or 0), int(last or 0)

    def wait_for(self, changes: int) -> None:
        """Wait until the log holds so many changes."""
        while self.logged()[0] < changes:
            self.capture.check()
            time.sleep(0.1)

    def wait_for_state(self, state: str) -> None:
        """Wait until the source is in a state."""
        while (said := read_board(self.state / "capture.json").get("shop")) is None or said.state != state:
            self.capture.check()
            time.sleep(0.01)


@contextmanager
def shop() -> Iterator[Shop]:
    """A fresh one, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder, LocalPostgres(Path(folder) / "postgres") as postgres:
        postgres.create_database("shop")
        opened = Shop(Path(folder), postgres)
        with psycopg.connect(opened.dsn, autocommit=True) as con:
            con.execute(_TABLE)
        try:
            yield opened
        finally:
            opened.capture.stop()


def say(what: str, **figures: float) -> None:
    """One line."""
    print(json.dumps({"bench": "capture", "what": what, **{key: round(value, 2) for key, value in figures.items()}}))


def main() -> None:
    """Run all of it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--changes", type=int, default=300_000, help="rows of the snapshot, and changes to stream")
    arguments.add_argument("--bills", type=int, default=500, help="bills of ten lines to measure the age of")
    given = arguments.parse_args()
    with shop() as subject:
        subject.sell(given.changes // 10, at_once=10_000)
        subject.capture.start()
        subject.wait_for_state("streaming")
        count, first, last = subject.logged()
        say("snapshot", rows=count, rows_per_second=count / (last - first) * 1e6)
        subject.capture.stop()

        subject.sell(given.changes // 10, at_once=50)
        begun = time.monotonic()
        subject.capture.start()
        subject.wait_for_state("streaming")
        say("start", seconds=time.monotonic() - begun)
        subject.wait_for(2 * count)
        with closing(sqlite3.connect(subject.state / "log.db")) as con:
            streamed = con.execute(_LOGGED + " and offset >= ?", [count]).fetchone()
        say("streaming", changes=streamed[0], changes_per_second=streamed[0] / (streamed[2] - streamed[1]) * 1e6)

        logged = subject.logged()[0]
        for _ in range(given.bills):
            subject.sell(1, at_once=1)
            time.sleep(0.01)
        subject.wait_for(logged + 10 * given.bills)
        with closing(sqlite3.connect(subject.state / "log.db")) as con:
            rows = con.execute(
                "select at - json_extract(value, '$.source.ts_us') from records join topics on topics.id = topic"
                " where name like '%.bill_lines' and offset >= ?",
                [logged],
            )
            ages = sorted(age / 1000 for (age,) in rows)
        share = statistics.quantiles(ages, n=100)
        say("age_ms", p50=share[49], p95=share[94], p99=share[98])
        child = psutil.Process(subject.capture.pid or 0)
        say("memory", megabytes=child.memory_info().rss / 1e6)


if __name__ == "__main__":
    main()
