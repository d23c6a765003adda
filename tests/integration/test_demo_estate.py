"""The demo's databases in a real PostgreSQL, against the data set itself."""

from __future__ import annotations

import threading
import time
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


PAST_POS = "bill_id in (select bill_id from pos.points_ledger where entry_id <= (select bills from demo.past))"
"""Restricts a table of `pos` to what was loaded as the past, while other tests sell bills."""


def past_west(estate: DemoEstate) -> str:
    """The same for a table of `west`."""
    past = estate.past()
    return f"receipt_no <= {past.bills if past else 0}"


def lines(estate: DemoEstate, pos: str, west: str) -> list[tuple[Any, ...]]:
    """The lines of both till systems: bill of the data, product, quantity, amount, all discounts together."""
    return rows(
        estate,
        "select bill_id, product_id, quantity, amount, retail_discount + coupon_discount + coupon_match_discount"
        f" from pos.bill_lines join pos.points_ledger using (bill_id) where {pos}",
    ) + rows(
        estate,
        "select fiscal_no, article_no, units, receipt_item.paid_cents * 0.01, receipt_item.reduced_cents * 0.01"
        f" from west.receipt_item join west.receipt using (receipt_no) where {west}",
        "west",
    )


def sold_since(estate: DemoEstate, start: int) -> list[tuple[Any, ...]]:
    """The bills of both till systems after a place in the year: place, bill of the data, and how many transactions."""
    return sorted(
        rows(
            estate,
            "select entry_id, bill_id, (select count(distinct xmin::text) from ("
            "select xmin from pos.bills b where b.bill_id = l.bill_id union all"
            " select xmin from pos.bill_lines b where b.bill_id = l.bill_id union all select l.xmin) as written)"
            f" from pos.points_ledger as l where entry_id > {start}",
        )
        + rows(
            estate,
            "select receipt_no, fiscal_no, (select count(distinct xmin::text) from ("
            "select xmin from west.receipt_item i where i.receipt_no = r.receipt_no union all select r.xmin) as w)"
            f" from west.receipt as r where receipt_no > {start}",
            "west",
        )
    )


def replay(estate: DemoEstate, speed: float = 0, patience: float = 60.0) -> Replay:
    """A replay of what comes next, at once unless told otherwise."""
    return Replay(estate.tills, estate.year, speed, patience)


def test_the_past_reconciles_with_the_data(estate: DemoEstate) -> None:
    """Lines, quantities, amounts and discounts of the loaded past are those of the data set."""
    expected = duckdb.execute(
        "select basket_id, product_id, quantity, sales_value::decimal(12, 2),"
        f" (retail_disc + coupon_disc + coupon_match_disc)::decimal(12, 2) {PAST}"
    ).fetchall()
    assert sorted(lines(estate, PAST_POS, past_west(estate))) == sorted(expected)


def test_each_kind_of_discount_is_kept_apart_in_pos(estate: DemoEstate) -> None:
    """What `west` has in one column is in three there, to the last digit."""
    kinds = ("retail_disc", "coupon_disc", "coupon_match_disc")
    sums = ", ".join(f"sum({kind}::decimal(12, 2))" for kind in kinds)
    loaded = ", ".join(f"sum({kind}ount)" for kind in kinds)
    assert (
        rows(estate, f"select {loaded} from pos.bill_lines where {PAST_POS}")
        == duckdb.execute(f"select {sums} {PAST} and store_id not between 400 and 499").fetchall()
    )


def test_each_store_has_one_till_system(estate: DemoEstate) -> None:
    """Stores 400 to 499 ring up in `west`, about a quarter of the bills, and all others in `pos`."""
    expected = duckdb.execute(
        f"select distinct basket_id, store_id, household_id, store_id between 400 and 499 {PAST}"
    ).fetchall()
    pos = rows(estate, f"select bill_id, store_id, substr(loyalty_card, 3)::integer from pos.bills where {PAST_POS}")
    west = rows(
        estate,
        "select fiscal_no, branch_no, substr(card_no, 3, 10)::integer from west.receipt"
        f" where {past_west(estate)} and status = 1",
        "west",
    )
    assert sorted(pos) == sorted(row[:3] for row in expected if not row[3])
    assert sorted(west) == sorted(row[:3] for row in expected if row[3])
    assert 0.2 < len(west) / (len(pos) + len(west)) < 0.35


def test_a_customer_has_a_card_of_each_till_system(estate: DemoEstate) -> None:
    """The CRM knows both numbers, so bills of either lead to one member; the western one is a valid EAN-13."""
    cards = dict(rows(estate, "select west_card, member_id from crm.members", "crm"))
    shown = {card for (card,) in rows(estate, "select card_no from west.receipt", "west")}
    assert shown <= cards.keys()
    assert all(sum(int(digit) * (1 + 2 * (n % 2)) for n, digit in enumerate(card)) % 10 == 0 for card in cards)
    assert all(len(card) == 13 for card in cards)
    others = {int(card[2:]) for (card,) in rows(estate, "select loyalty_card from pos.bills")}
    assert {cards[card] for card in shown} & others


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
    wrong = (
        "select receipt_no from west.receipt left join (select receipt_no, sum(paid_cents) as paid,"
        " sum(reduced_cents) as reduced from west.receipt_item group by receipt_no) as l using (receipt_no)"
        " where paid is distinct from paid_cents or reduced is distinct from reduced_cents"
        " or points_given <> paid_cents / 100"
    )
    assert rows(estate, wrong, "west") == []


def test_the_assortment_and_the_shops_are_whole(estate: DemoEstate) -> None:
    """Every product and every shop of the data is there, each shop in its till system."""
    products = duckdb.execute(f"select count(*) from '{DATA}/products.parquet'").fetchall()
    stores = duckdb.execute(f"select count(distinct store_id) from '{DATA}/transactions.parquet'").fetchall()
    assert rows(estate, "select count(*) from pos.products") == products
    pos = rows(estate, "select store_id from pos.stores")
    assert rows(estate, "select store_id from pos.tills order by till_id") == sorted(pos)
    west = rows(estate, "select branch_no from west.branch", "west")
    assert [(len(set(pos + west)),)] == stores
    assert len(pos) + len(west) == len(set(pos + west))


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
    [(first, last)] = rows(estate, f"select min(sold_at), max(sold_at) from pos.bills where {PAST_POS}")
    assert last < past.loaded_at
    assert (past.loaded_at - first).days == DAYS - 1
    seconds = "select max(rung_up_ms) / 1000.0 from west.receipt where " + past_west(estate)
    assert rows(estate, seconds, "west")[0][0] < past.loaded_at.timestamp()


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
    """The next bills of the year are sold in order, each in its till system and one transaction there."""
    start = replay(estate).position()
    assert replay(estate).run(bills=40) == 40
    expected = list(islice(estate.year.after(start), 40))
    assert {bill.till for bill in expected} == {"pos", "west"}
    assert sold_since(estate, start) == [(bill.number, bill.bill_id, 1) for bill in expected]
    named = {f"{bill.till}-{bill.number if bill.till == 'west' else bill.bill_id}" for bill in expected}
    assert named <= estate.replayed()


def test_a_replayed_bill_is_the_datas_bill(estate: DemoEstate) -> None:
    """Lines, money and coupons of a sold bill are those of the data, whichever till and whichever run sold it."""
    start = replay(estate).position()
    sold: list[Bill] = []
    replay(estate).run(bills=200, on_bill=sold.append)
    bills = ", ".join(str(bill.bill_id) for bill in sold)
    expected = duckdb.execute(
        "select basket_id, product_id, quantity, sales_value::decimal(12, 2),"
        " (retail_disc + coupon_disc + coupon_match_disc)::decimal(12, 2)"
        f" from '{DATA}/transactions.parquet' where basket_id in ({bills})"
    ).fetchall()
    assert sorted(lines(estate, f"entry_id > {start}", f"receipt_no > {start}")) == sorted(expected)
    coupons = sorted((bill.till, upc) for bill in sold for upc in bill.coupons["coupon_upc"] or [])
    since = "select loaded_at from demo.past"
    booked = rows(estate, f"select 'pos', coupon_upc from pos.coupon_redemptions where redeemed_at >= ({since})")
    [(loaded_at,)] = rows(estate, since)
    booked += rows(
        estate, f"select 'west', upc from west.coupon_use where used_ms >= {loaded_at.timestamp() * 1000:.0f}", "west"
    )
    assert set(coupons) <= set(booked)


def test_the_speed_is_kept(estate: DemoEstate) -> None:
    """At 40 bills a second, the twentieth comes no sooner than 19 of those times after the first was due."""
    times: list[float] = []
    begun = time.monotonic()
    replay(estate, speed=40).run(bills=20, on_bill=lambda bill: times.append(time.monotonic()))
    assert times[-1] - begun >= 19 / 40


def test_a_stopped_replay_is_carried_on_without_a_gap(estate: DemoEstate) -> None:
    """Ctrl-C in the middle leaves whole bills, and the next replay begins with the next one."""
    start = replay(estate).position()
    stop = threading.Event()
    sold: list[Bill] = []

    def on_bill(bill: Bill) -> None:
        sold.append(bill)
        if len(sold) == 7:
            stop.set()

    assert replay(estate).run(stop=stop, on_bill=on_bill) == 7
    replay(estate).run(bills=5, on_bill=sold.append)
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
        replay(estate).run(bills=600, on_bill=on_bill)
        crashes.join()
        assert [bill.number for bill in sold] == list(range(past + 1, past + 601))
        assert sold_since(estate, past) == [(bill.number, bill.bill_id, 1) for bill in sold]
        assert len(estate.replayed()) == 600
        written = lines(estate, f"entry_id > {past}", f"receipt_no > {past}")
        assert len(written) == sum(len(bill.lines["line_no"]) for bill in sold)


def test_a_database_that_stays_away_is_an_error_with_its_mend(tmp_path: Path) -> None:
    """When the database does not come back in time, the replay says so instead of waiting for ever."""
    with DemoEstate(tmp_path, past_days=1) as estate:
        estate.load()
        with pytest.raises(SourceError, match="stays away") as raised:
            replay(estate, patience=0.5).run(on_bill=lambda bill: estate.postgres.kill())
        assert "carries on" in raised.value.mend
