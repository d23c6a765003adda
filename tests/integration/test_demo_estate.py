"""The demo's databases in a real PostgreSQL, against the data set itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from ringup.demo.estate import DemoEstate
from ringup.demo.replay import Replay
from ringup.demo.year import Bill, data_folder
from ringup.errors import ConfigError, SourceError

DAYS = 3
DATA = data_folder()
PAST = f"from '{DATA}/transactions.parquet' where transaction_timestamp < timestamp '2017-01-04'"


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoEstate]:
    """A shop with three days of the past."""
    with DemoEstate(tmp_path_factory.mktemp("estate"), past_days=DAYS) as estate:
        estate.load()
        yield estate


def rows(estate: DemoEstate, sql: str, database: str = "pos") -> list[tuple[Any, ...]]:
    """What a query says."""
    with psycopg.connect(estate.dsn(database)) as connection:
        return connection.execute(sql.encode()).fetchall()


def past_of(estate: DemoEstate) -> str:
    """Restricts a table with bill_id to what was loaded as the past, while other tests sell bills."""
    return "bill_id in (select bill_id from pos.points_ledger where entry_id <= (select bills from demo.past))"


def test_the_past_reconciles_with_the_data(estate: DemoEstate) -> None:
    """Bills, lines, quantities and all money of the loaded past are those of the data set, to the last digit."""
    expected = duckdb.execute(
        "select count(distinct basket_id), count(*), sum(quantity), sum(sales_value::decimal(12, 2)),"
        " sum(retail_disc::decimal(12, 2)), sum(coupon_disc::decimal(12, 2)), sum(coupon_match_disc::decimal(12, 2)) "
        + PAST
    ).fetchall()
    assert expected == rows(
        estate,
        "select count(distinct bill_id), count(*), sum(quantity), sum(amount), sum(retail_discount),"
        f" sum(coupon_discount), sum(coupon_match_discount) from pos.bill_lines where {past_of(estate)}",
    )


def test_each_loaded_line_is_the_datas_line(estate: DemoEstate) -> None:
    """Bill by bill, card, store, products and amounts are those of the data set."""
    expected = duckdb.execute(
        "select basket_id, 'LC' || lpad(household_id::varchar, 6, '0'), store_id, product_id, quantity,"
        f" sales_value::decimal(12, 2) {PAST}"
    ).fetchall()
    loaded = rows(
        estate,
        "select bill_id, loyalty_card, store_id, product_id, quantity, amount"
        f" from pos.bills join pos.bill_lines using (bill_id) where {past_of(estate)}",
    )
    assert sorted(loaded) == sorted(expected)


def test_bills_are_their_lines_and_points(estate: DemoEstate) -> None:
    """Each bill's total is the sum of its lines, and has one entry of a point for each whole unit."""
    wrong = (
        "select bill_id from pos.bills"
        " left join (select bill_id, sum(amount) as amount from pos.bill_lines group by bill_id) as l using (bill_id)"
        " left join pos.points_ledger as p using (bill_id)"
        " where total is distinct from amount or points is distinct from floor(total)"
        " or p.loyalty_card is distinct from bills.loyalty_card or booked_at is distinct from sold_at"
    )
    assert rows(estate, wrong) == []


def test_the_assortment_and_the_shops_are_whole(estate: DemoEstate) -> None:
    """Every product and every shop of the data is there, each shop with its till."""
    products = duckdb.execute(f"select count(*) from '{DATA}/products.parquet'").fetchall()
    stores = duckdb.execute(f"select count(distinct store_id) from '{DATA}/transactions.parquet'").fetchall()
    assert rows(estate, "select count(*) from pos.products") == products
    assert rows(estate, "select count(*) from pos.stores") == stores
    assert rows(estate, "select count(distinct store_id) from pos.tills") == stores


def test_members_are_the_households_with_what_they_said(estate: DemoEstate) -> None:
    """Each household is a member, with its real demographics and a consent for each channel."""
    expected = duckdb.execute(
        f"select household_id, age, income, kids_count from '{DATA}/demographics.parquet' order by household_id"
    ).fetchall()
    said = "select member_id, age_band, income_band, kids_count from crm.members where age_band is not null"
    assert rows(estate, f"{said} order by member_id", "crm") == expected
    households = duckdb.execute(f"select count(distinct household_id) from '{DATA}/transactions.parquet'").fetchall()
    assert rows(estate, "select count(*) from crm.members", "crm") == households
    assert rows(estate, "select count(*) / 3 from crm.consents", "crm") == households


def test_the_past_lies_before_the_loading(estate: DemoEstate) -> None:
    """No bill of the past is sold in the future, and the last one shortly before the loading."""
    past = estate.past()
    assert past is not None
    [(first, last)] = rows(estate, f"select min(sold_at), max(sold_at) from pos.bills where {past_of(estate)}")
    assert last < past.loaded_at
    assert (past.loaded_at - first).days == DAYS - 1


def test_loading_again_changes_nothing(estate: DemoEstate) -> None:
    """An estate that was loaded carries on, whatever past is asked for."""
    before = estate.past()
    other = DemoEstate(estate.postgres.folder.parent, past_days=9)
    other.postgres = estate.postgres
    assert other.load() == before


def test_a_past_without_bills_after_it_is_refused(tmp_path: Path) -> None:
    """With the whole year as the past, nothing is left to sell; the message says what to choose."""
    with DemoEstate(tmp_path, past_days=366) as estate, pytest.raises(ConfigError, match="366 days") as raised:
        estate.load()
    assert "between 1 and" in raised.value.mend


def test_replayed_bills_follow_in_true_order(estate: DemoEstate) -> None:
    """The next bills of the year are sold in order, each at the time of its own transaction."""
    start = Replay(estate.dsn("pos"), estate.year).position()
    assert Replay(estate.dsn("pos"), estate.year, speed=0).run(bills=40) == 40
    sold = rows(
        estate,
        "select bill_id, entry_id, sold_at, bills.xmin::text, points_ledger.xmin::text,"
        " (select array_agg(distinct xmin::text) from pos.bill_lines where bill_lines.bill_id = bills.bill_id)"
        f" from pos.bills join pos.points_ledger using (bill_id) where entry_id > {start} order by sold_at",
    )
    expected = [(bill.bill_id, bill.number) for bill in islice(estate.year.after(start), 40)]
    assert [(row[0], row[1]) for row in sold] == expected
    assert all(row[3] == row[4] and row[5] == [row[3]] for row in sold), "a bill is one transaction"
    assert len({row[3] for row in sold}) == 40
    assert {bill for bill, _ in expected} <= estate.replayed()


def test_a_replayed_bill_is_the_datas_bill(estate: DemoEstate) -> None:
    """Lines, money and coupons of a sold bill are those of the data, whichever run sold it."""
    start = Replay(estate.dsn("pos"), estate.year).position()
    sold: list[Bill] = []
    Replay(estate.dsn("pos"), estate.year, speed=0).run(bills=200, on_bill=sold.append)
    lines = rows(
        estate,
        "select bill_id, product_id, quantity, amount, retail_discount, coupon_discount, coupon_match_discount"
        f" from pos.bill_lines join pos.points_ledger using (bill_id) where entry_id > {start}",
    )
    bills = ", ".join(str(bill.bill_id) for bill in sold)
    expected = duckdb.execute(
        "select basket_id, product_id, quantity, sales_value::decimal(12, 2), retail_disc::decimal(12, 2),"
        f" coupon_disc::decimal(12, 2), coupon_match_disc::decimal(12, 2)"
        f" from '{DATA}/transactions.parquet' where basket_id in ({bills})"
    ).fetchall()
    assert sorted(lines) == sorted(expected)
    coupons = [upc for bill in sold for upc in bill.coupons["coupon_upc"] or []]
    booked = rows(
        estate, "select coupon_upc from pos.coupon_redemptions where redeemed_at >= (select loaded_at from demo.past)"
    )
    assert set(coupons) <= {row[0] for row in booked}


def test_the_speed_is_kept(estate: DemoEstate) -> None:
    """At 40 bills a second, 20 bills take half a second."""
    began = rows(estate, "select now()")[0][0]
    Replay(estate.dsn("pos"), estate.year, speed=40).run(bills=20)
    [(first, last)] = rows(
        estate, f"select min(sold_at), max(sold_at) from pos.bills where sold_at > '{began.isoformat()}'"
    )
    assert 0.4 <= (last - first).total_seconds() < 1.5


def test_a_stopped_replay_is_carried_on_without_a_gap(estate: DemoEstate) -> None:
    """Ctrl-C in the middle leaves whole bills, and the next replay begins with the next one."""
    start = Replay(estate.dsn("pos"), estate.year).position()
    stop = threading.Event()
    sold: list[Bill] = []

    def on_bill(bill: Bill) -> None:
        sold.append(bill)
        if len(sold) == 7:
            stop.set()

    assert Replay(estate.dsn("pos"), estate.year, speed=0).run(stop=stop, on_bill=on_bill) == 7
    Replay(estate.dsn("pos"), estate.year, speed=0).run(bills=5, on_bill=sold.append)
    assert [bill.number for bill in sold] == list(range(start + 1, start + 13))


def test_no_bill_is_lost_or_doubled_when_the_database_is_killed(tmp_path: Path) -> None:
    """The server is killed in the middle of a fast replay, several times; each bill is there once and whole."""
    with DemoEstate(tmp_path, past_days=1) as estate:
        past = estate.load().bills
        killed = threading.Event()
        sold: list[Bill] = []

        def on_bill(bill: Bill) -> None:
            sold.append(bill)
            if len(sold) % 200 == 0:
                killed.set()

        def crash() -> None:
            for _ in range(2):
                killed.wait()
                killed.clear()
                estate.postgres.kill()
                estate.postgres.start()

        crashes = threading.Thread(target=crash)
        crashes.start()
        Replay(estate.dsn("pos"), estate.year, speed=0).run(bills=600, on_bill=on_bill)
        crashes.join()
        assert [bill.number for bill in sold] == list(range(past + 1, past + 601))
        assert estate.replayed() == {bill.bill_id for bill in sold}
        lines = sum(len(bill.lines["line_no"]) for bill in sold)
        assert rows(
            estate,
            f"select count(*), count(distinct bill_id) from pos.bill_lines"
            f" join pos.points_ledger using (bill_id) where entry_id > {past}",
        ) == [(lines, 600)]


def test_a_database_that_stays_away_is_an_error_with_its_mend(tmp_path: Path) -> None:
    """When the database does not come back in time, the replay says so instead of waiting for ever."""
    with DemoEstate(tmp_path, past_days=1) as estate:
        estate.load()
        replay = Replay(estate.dsn("pos"), estate.year, speed=0, patience=0.5)
        with pytest.raises(SourceError, match="stays away") as raised:
            replay.run(on_bill=lambda bill: estate.postgres.kill())
        assert "carries on" in raised.value.mend
