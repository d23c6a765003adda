"""The supermarket year as the demo reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path

import duckdb
import pytest

from ringup.demo.year import Year, data_folder

NOW = datetime(2026, 5, 1, 12, 0)


@pytest.fixture(scope="module")
def year() -> Iterator[Year]:
    """The year with its first thousand bills as the past."""
    year = Year()
    year.set_past(1_000, NOW)
    yield year
    year.close()


def test_the_past_ends_with_the_bills_before_that_many_days(year: Year) -> None:
    """The bills of the first days are those that the data has before that date."""
    expected = duckdb.execute(
        f"select count(distinct basket_id) from '{data_folder()}/transactions.parquet'"
        " where transaction_timestamp < timestamp '2017-01-08'"
    ).fetchall()
    assert [(year.past(7),)] == expected


def test_bills_come_in_true_order_and_without_a_gap(year: Year) -> None:
    """Bills after a number are the next ones of the year, whole, in the order of their numbers."""
    numbers = [bill.number for bill in islice(year.after(700), 350)]
    assert numbers == list(range(701, 1_051))


def test_the_order_is_the_order_of_time(year: Year) -> None:
    """Replaying by number never goes back in the time at which the data says that the bills were sold."""
    when = dict(
        duckdb.execute(
            f"select basket_id, transaction_timestamp from '{data_folder()}/transactions.parquet'"
        ).fetchall()
    )
    bills = list(islice(year.after(0), 500))
    assert all((when[a.bill_id], a.bill_id) < (when[b.bill_id], b.bill_id) for a, b in pairwise(bills))


def test_a_bill_is_the_sum_of_its_lines(year: Year) -> None:
    """Total, discount and points of a bill follow from its lines, to the last digit."""
    for bill in islice(year.after(1_000), 300):
        assert bill.total == sum(bill.lines["amount"], Decimal(0))
        discounts = ("retail_discount", "coupon_discount", "coupon_match_discount")
        assert bill.discount == sum((sum(bill.lines[name], Decimal(0)) for name in discounts), Decimal(0))
        assert bill.points == int(bill.total)
        assert list(bill.lines["line_no"]) == list(range(1, len(bill.lines["line_no"]) + 1))


def test_a_bill_is_of_its_stores_till_system_with_the_card_for_it(year: Year) -> None:
    """Stores 400 to 499 have the western system, where the customer shows another card."""
    bills = list(islice(year.after(1_000), 300))
    assert all((bill.till == "west") == (400 <= bill.store_id <= 499) for bill in bills)
    cards = {till: next(bill.card for bill in bills if bill.till == till) for till in ("pos", "west")}
    assert re.fullmatch(r"LC\d{6}", cards["pos"])
    assert re.fullmatch(r"29\d{11}", cards["west"])


def test_the_last_bill_of_the_year_is_the_end(year: Year) -> None:
    """After the last bill there is none."""
    assert [bill.number for bill in year.after(year.bills - 2)] == [year.bills - 1, year.bills]


def test_every_redemption_of_the_data_is_booked_once_with_its_household(year: Year, tmp_path: Path) -> None:
    """No coupon is lost or booked twice, and none is on a bill of another household."""
    year.set_past(year.bills, NOW)
    shown, strangers = [], []
    for coupons, bills, card, member in (
        ("pos.coupon_redemptions", "pos.bills", "column3", "substr(column2, 3)"),
        ("west.coupon_use", "west.receipt", "column5", "substr(column2, 3, 10)"),
    ):
        for table in (coupons, bills):
            year.export(table, tmp_path / f"{table}.csv")
        taken, rung = (
            f"read_csv('{tmp_path}/{table}.csv', header = false, all_varchar = true)" for table in (coupons, bills)
        )
        shown += duckdb.execute(f"select {member}::integer, column3::bigint, column4::integer from {taken}").fetchall()
        strangers += duckdb.execute(
            f"from {taken} as taken join {rung} as rung on taken.column1 = rung.column0"
            f" where taken.column2 <> rung.{card}"
        ).fetchall()
    expected = duckdb.execute(
        f"select household_id, coupon_upc, campaign_id from '{data_folder()}/coupon_redemptions.parquet'"
    ).fetchall()
    assert sorted(shown) == sorted(expected)
    assert strangers == []


def test_the_next_bill_after_the_past_would_be_sold_now(year: Year) -> None:
    """The past is moved by one constant: its first bill lies as long before now as before the next bill in the data."""
    year.set_past(1_000, NOW)
    times = duckdb.execute(
        "select min(transaction_timestamp) as sold_at"
        f" from '{data_folder()}/transactions.parquet' group by basket_id order by sold_at, basket_id"
    ).fetchall()
    assert NOW - year.begins() == times[1_000][0] - times[0][0]
