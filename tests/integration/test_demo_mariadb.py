"""The western stores' tills in a real MariaDB: the same past and the same bills as in PostgreSQL."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from typer.testing import CliRunner

from connectors.sources import configured, load_sources
from ringup.cli import app
from ringup.demo.estate import DemoEstate
from ringup.demo.mariadb import WestMariaDB
from ringup.demo.replay import Replay
from ringup.demo.year import Bill
from ringup.errors import ConfigError
from ringup.init import start_project
from tests.house import ROOT

RECEIPTS = "select receipt_no, fiscal_no, branch_no, status, card_no, paid_cents, reduced_cents, points_given"
ITEMS = "select receipt_no, item_no, article_no, units, status, paid_cents, reduced_cents from west.receipt_item"
COUPONS = "select use_no, receipt_no, card_no, upc, campaign_no from west.coupon_use"


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory, kafka_jars: None) -> Iterator[DemoEstate]:
    """A shop with a day of the past, whose western tills have a MariaDB."""
    with DemoEstate(tmp_path_factory.mktemp("estate"), past_days=1, mariadb=True) as estate:
        estate.load()
        yield estate


def west(estate: DemoEstate) -> WestMariaDB:
    """Its western tills' server."""
    assert estate.mariadb is not None
    return estate.mariadb


def rows(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    """What a query says, in a fixed order."""
    with connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return sorted(cursor.fetchall())


def test_the_western_tills_hold_the_same_in_either_database(estate: DemoEstate, tmp_path: Path) -> None:
    """The same past and the same bills after it are the same rows in MariaDB and in PostgreSQL."""
    Replay(estate.tills, estate.year, speed=0).run(bills=60)
    with DemoEstate(tmp_path, past_days=1) as other:
        other.load()
        Replay(other.tills, other.year, speed=0).run(bills=60)
        for sql in (f"{RECEIPTS} from west.receipt", ITEMS, COUPONS, "select branch_no, branch_name from west.branch"):
            there = rows(psycopg.connect(other.dsn("west")), sql)
            assert rows(west(estate).connect(), sql) == there
            assert there
        assert estate.replayed() == other.replayed()


def test_what_is_found_in_the_western_tills_is_what_the_project_declares(estate: DemoEstate, tmp_path: Path) -> None:
    """Tables, keys, types and the way to the customer; the connector is the demo's, but for what ringup sets itself."""
    start_project(tmp_path / "my-shop", empty=True)
    words = ["connectors", "discover", "west", "--database", "mariadb", "--project", str(tmp_path / "my-shop")]
    done = CliRunner().invoke(app, words, env=west(estate).environ("west"))
    assert done.exit_code == 1, "there is no block `kafka` yet"
    models = tmp_path / "my-shop" / "dbt_project" / "models" / "sources"
    (found,) = yaml.safe_load((models / "west.yml").read_text())["sources"]
    theirs = {table["name"]: table for table in found["tables"]}
    (declared,) = [
        source
        for source in yaml.safe_load((ROOT / "dbt_project" / "models" / "sources.yml").read_text())["sources"]
        if source["name"] == "west"
    ]
    for table in declared["tables"]:
        mine = theirs[table["name"]]
        types = {column["name"]: column["data_type"] for column in mine["columns"]}
        assert {column["name"]: column["data_type"] for column in table["columns"]}.items() <= types.items()
        known, proposed = (each["config"]["meta"].get("identity", {}) for each in (table, mine))
        assert known.get("via") == proposed.get("via")
        assert [*known.get("identifiers", {}).values()] == [*proposed.get("identifiers", {}).values()]
        assert mine["config"]["meta"] | {"identity": known} == table["config"]["meta"] | {"identity": known}
    (source,) = load_sources(tmp_path / "my-shop" / "connectors" / "sources")
    expected = json.loads((ROOT / "ringup" / "demo" / "west.json").read_text())["config"]
    named = {"table.include.list": "west.branch,west.coupon_use,west.receipt,west.receipt_item"}
    assert source.config == {key: expected[key] for key in source.config.keys() - named} | named
    for key in expected.keys() - source.config:
        assert configured(source)[key] == expected[key]


def test_no_bill_is_lost_or_doubled_when_the_database_is_killed(estate: DemoEstate) -> None:
    """MariaDB is killed in the middle of a fast replay, twice; each bill is there once and whole."""
    killed, sold, before = threading.Event(), list[Bill](), estate.replayed()

    def on_bill(bill: Bill) -> None:
        sold.append(bill)
        if len(sold) % 100 == 0:
            killed.set()

    def crash() -> None:
        for _ in range(2):
            killed.wait()
            killed.clear()
            west(estate).kill()
            west(estate).start()

    crashes = threading.Thread(target=crash)
    crashes.start()
    assert Replay(estate.tills, estate.year, speed=0).run(bills=300, on_bill=on_bill) == 300
    crashes.join()
    assert len(estate.replayed() - before) == 300
    numbers = {bill.number: len(bill.lines["line_no"]) for bill in sold if bill.till == "west"}
    written = "select receipt_no, count(*) from west.receipt_item join west.receipt using (receipt_no)"
    found = rows(west(estate).connect(), f"{written} where receipt_no >= {sold[0].number} group by receipt_no")
    assert dict(found) == numbers


def test_a_shop_is_not_carried_on_with_its_tills_in_another_server(estate: DemoEstate) -> None:
    """Its western bills would be missing: the message says what to do."""
    other = DemoEstate(estate.postgres.folder.parent)
    other.postgres = estate.postgres
    other.postgres.create_database("west")
    with pytest.raises(ConfigError, match=r"tills \(west\)") as raised:
        other.load()
    assert "--fresh" in raised.value.mend
