"""Plain dbt, typed in any shell: before it builds, the lake is folded into its own DuckDB file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from tests.analyst import Analyst


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
