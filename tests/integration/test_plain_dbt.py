"""Plain dbt, typed in any shell: before it builds, the lake is folded into its own DuckDB file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ringup.init import start_project
from tests.shop import batch, change, table
from transforms.lake import Lake
from transforms.lake_cut import Cut, Origin, note

CUSTOMERS = replace(
    table(
        "shop.customers",
        {"customer_id": "bigint", "first_name": "varchar", "email": "varchar"},
        ["customer_id"],
        profile="customer_id",
    ),
    topic="shop.public.customers",
)
ORDERS = replace(
    table(
        "shop.orders",
        {"order_id": "bigint", "customer_id": "bigint", "total": "decimal(12,2)", "ordered_at": "timestamptz"},
        ["order_id"],
        via=("customer_id", "customers"),
    ),
    topic="shop.public.orders",
)


class Analyst:
    """A project made by `ringup init`, whose lake a run fills, and a shell beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lsn, self.came = folder, 100, 0
        self.lake = Lake(folder / ".ringup" / "lake", [CUSTOMERS, ORDERS])
        start_project(folder)

    def customers(self, *ids: int) -> list[tuple[str, str | None]]:
        """Customers who are new."""
        rows = [{"customer_id": n, "first_name": f"Ann {n}", "email": None} for n in ids]
        return [("shop.public.customers", self._created(row)) for row in rows]

    def orders(self, customer: int, *ids: int) -> list[tuple[str, str | None]]:
        """Orders of a customer, a day after one another, ten each."""
        rows = [
            {"order_id": n, "customer_id": customer, "total": "10", "ordered_at": f"2026-03-{n % 28 + 1:02}T10:00:00Z"}
            for n in ids
        ]
        return [("shop.public.orders", self._created(row)) for row in rows]

    def _created(self, row: dict[str, Any]) -> str:
        self.lsn += 8
        return change("c", None, row, self.lsn)

    def run_took(self, records: Sequence[tuple[str, str | None]]) -> None:
        """The live run takes these in, and the lake has them."""
        came = batch(records, start=self.came)
        self.came += len(records)
        self.lake.append(came.records, came.positions)
        note(self.lake.folder, Origin("own", "a state", whole=True), Cut(self.lake.positions(), {}))

    def dbt(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Type `dbt ...` in the dbt project."""
        command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", "--no-use-colors", *words]
        settings = {"DO_NOT_TRACK": "1", "RINGUP_DUCKDB": str(self.folder / "shop.duckdb"), **environ}
        return subprocess.run(
            command,
            cwd=self.folder / "dbt_project",
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """What dbt's file says."""
        with duckdb.connect(self.folder / "shop.duckdb", read_only=True) as con:
            return con.execute(sql).fetchall()


@pytest.fixture
def analyst(tmp_path: Path) -> Iterator[Analyst]:
    made = Analyst(tmp_path / "my-shop")
    with closing(made.lake):
        yield made


def test_each_build_takes_what_came_since(analyst: Analyst) -> None:
    """A segment gets the customer whose fifth order came meanwhile; `dbt test` looks at what was built."""
    regulars = "select profile_id, orders, spend::int from segments.regulars order by all"
    analyst.run_took([*analyst.customers(1, 2), *analyst.orders(1, 1, 2, 3, 4, 5), *analyst.orders(2, 6, 7, 8, 9)])
    built = analyst.dbt("build")
    assert built.returncode == 0, built.stdout
    assert "records of the lake that were folded: 11, from 2 files" in built.stdout
    assert analyst.ask(regulars) == [(1, 5, 50)]
    analyst.run_took(analyst.orders(2, 10))
    tested = analyst.dbt("test")
    assert tested.returncode == 0, tested.stdout
    assert "folded" not in tested.stdout
    assert analyst.ask("select count(*) from shop.shop.orders") == [(9,)]
    built = analyst.dbt("run")
    assert "records of the lake that were folded: 1, from 1 files" in built.stdout
    assert analyst.ask(regulars) == [(1, 5, 50), (2, 5, 50)]


def test_before_there_is_a_lake_the_tables_are_there_and_empty(analyst: Analyst) -> None:
    """So models can be written and tested before anything ran; rows that somebody put there are left alone."""
    built = analyst.dbt("build")
    assert built.returncode == 0, built.stdout
    assert analyst.ask("select count(*) from shop.shop.orders") == [(0,)]
    with duckdb.connect(analyst.folder / "shop.duckdb") as con:
        con.execute("create table mine as select * from shop.shop.orders")
        con.execute("insert into mine (order_id) values (1)")
        con.execute("drop view shop.shop.orders")
        con.execute("create table shop.shop.orders as from mine")
    built = analyst.dbt("run")
    assert "shop.orders is a table with rows of its own in this file, and is left as it is" in built.stdout
    assert analyst.ask("select count(*) from shop.shop.orders") == [(1,)]


def test_the_dev_target_sees_some_customers_whole(analyst: Analyst) -> None:
    """One in twenty or so, with all of their orders."""
    many = range(1, 401)
    orders = [order for n in many for order in analyst.orders(n, n * 2, n * 2 + 1)]
    analyst.run_took([*analyst.customers(*many), *orders])
    built = analyst.dbt("run", "--target", "dev")
    assert built.returncode == 0, built.stdout
    [(customers,)] = analyst.ask("select count(*) from shop.shop.customers")
    assert 5 <= customers <= 50
    assert analyst.ask("select count(*) from shop.shop.orders") == [(2 * customers,)]


def test_the_state_of_the_live_run_is_refused(analyst: Analyst) -> None:
    """dbt would overwrite it."""
    refused = analyst.dbt("build", RINGUP_DUCKDB=str(analyst.folder / ".ringup" / "live.duckdb"))
    assert refused.returncode != 0
    assert "live.duckdb is what ringup run keeps" in refused.stdout
    assert not (analyst.folder / ".ringup" / "live.duckdb").exists()


def test_a_damaged_lake_stops_dbt_before_it_builds(analyst: Analyst) -> None:
    """With the file's name and what to do."""
    analyst.run_took(analyst.customers(1, 2))
    [file] = analyst.lake.files()
    file.path.write_bytes(file.path.read_bytes()[:-20])
    stopped = analyst.dbt("build")
    assert stopped.returncode != 0
    assert file.path.name in stopped.stdout
    assert "the next run writes it again" in stopped.stdout
    (analyst.folder / ".ringup" / "lake" / "committed.json").write_text(json.dumps({"log": 1}))
    assert "committed.json: it cannot be read" in analyst.dbt("build").stdout
