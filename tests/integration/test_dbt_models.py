"""What the reference models say about a small shop: locally, exactly, and the same in plain dbt."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.project import Model, Project, load_project
from transforms.warehouse import quoted

REFERENCE = Path(__file__).parents[2] / "dbt_project"
OPENED = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)

Rows: TypeAlias = Mapping[str, list[dict[str, Any]]]

SAME_FOR_ALL: Rows = {
    "pos.stores": [{"store_id": 1, "name": "High Street"}, {"store_id": 2, "name": "Station"}],
    "west.branch": [{"branch_no": 3, "branch_name": "Harbour"}],
    "pos.products": [{"product_id": 1, "department": "GROCERY"}, {"product_id": 2, "department": "PRODUCE"}],
    "crm.tiers": [
        {"tier": "Bronze", "rank": 1, "points": 0},
        {"tier": "Silver", "rank": 2, "points": 60},
        {"tier": "Gold", "rank": 3, "points": 150},
    ],
    "crm.rewards": [{"reward_id": 1, "name": "Coffee", "points": 20}, {"reward_id": 2, "name": "Cake", "points": 90}],
}


@dataclass(frozen=True, slots=True)
class Visit:
    """A bill of a customer (None: nobody known) with its points, or without them yet.

    Store 3 has the western till system, where a receipt always has its points, and none can be spent.
    """

    profile_id: int | None
    store_id: int
    amounts: tuple[int, ...]
    booked: bool
    redeemed: int

    @property
    def west(self) -> bool:
        """Whether it is the western till system's."""
        return self.store_id == 3


def visits() -> st.SearchStrategy[list[Visit]]:
    """A few bills, in the order in which they were printed."""
    visit = st.builds(
        Visit,
        st.sampled_from([1, 2, 3, None]),
        st.sampled_from([1, 2, 3]),
        st.lists(st.sampled_from([0, 1, 10, 20, 30, 60]), min_size=1, max_size=3).map(tuple),
        st.booleans(),
        st.sampled_from([0, 0, 0, 20]),
    )
    return st.lists(visit, max_size=20)


def shop(done: list[Visit]) -> dict[str, list[dict[str, Any]]]:
    """The source tables after these visits. Several fall into one minute, as at several tills.

    Both till systems number their bills by the visit, so one that took them for the same would be found out.
    """
    rows = {name: list[dict[str, Any]]() for name in (*POS, *WEST)}
    rows["crm.members"] = [{"member_id": n, "first_name": f"Ann {n}", "profile_id": n} for n in (1, 2, 3)]
    for at, system, number, visit in told(done):
        for relation, row in (_receipt if system == "west" else _bill)(visit, number, at):
            if relation == "pos.points_ledger":
                row["entry_id"] = len(rows[relation]) + 1
            rows[relation].append({"profile_id": visit.profile_id, **row})
    return {**SAME_FOR_ALL, **rows}


def told(done: list[Visit]) -> list[tuple[datetime, str, int, Visit]]:
    """The visits in the order in which they count: time, till system, the bill's number there."""
    numbers = {"pos": 0, "west": 0}
    found = []
    for n, visit in enumerate(done, 1):
        system = "west" if visit.west else "pos"
        numbers[system] += 1
        found.append((OPENED + timedelta(minutes=n // 3), system, numbers[system], visit))
    return sorted(found, key=lambda one: one[:3])


POS = ("pos.bills", "pos.bill_lines", "pos.points_ledger")
WEST = ("west.receipt", "west.receipt_item")


def _bill(visit: Visit, number: int, at: datetime) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "pos.bills", {"bill_id": number, "store_id": visit.store_id, "sold_at": at, "total": sum(visit.amounts)}
    for line, amount in enumerate(visit.amounts, 1):
        row = {"bill_id": number, "line_no": line, "product_id": 1 + amount % 2, "amount": amount}
        yield "pos.bill_lines", row
    entries = [("earned", sum(visit.amounts))] if visit.booked else []
    for reason, points in entries + ([("redeemed", -visit.redeemed)] if visit.redeemed else []):
        yield "pos.points_ledger", {"bill_id": number, "reason": reason, "points": points, "booked_at": at}


def _receipt(visit: Visit, number: int, at: datetime) -> Iterator[tuple[str, dict[str, Any]]]:
    status, rung_up_ms = (1 if visit.booked else 2), int(at.timestamp()) * 1000
    total = sum(visit.amounts)
    head = {"receipt_no": number, "branch_no": visit.store_id, "status": status, "rung_up_ms": rung_up_ms}
    yield "west.receipt", head | {"paid_cents": total * 100, "points_given": total}
    for line, amount in enumerate(visit.amounts, 1):
        row = {"receipt_no": number, "item_no": line, "article_no": 1 + amount % 2, "status": status}
        yield "west.receipt_item", row | {"paid_cents": amount * 100}


class Bench:
    """The compiled models as views over empty source tables, as in the `scope` catalog."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.con = duckdb.connect(":memory:")
        self.con.execute("set timezone = 'UTC'")
        self.con.execute("attach ':memory:' as scope")
        self.con.execute("create schema scope.ringup")
        self.con.execute("create table scope.ringup.clock as select ?::timestamptz as as_of", [OPENED])
        create_tables(self.con, project, "scope")
        for model in project.models:
            self.con.execute(f"create schema if not exists {quoted('scope', model.schema)}")
            name = quoted("scope", model.schema, model.name)
            columns = ", ".join(f"{quoted(column.name)} {column.data_type}" for column in model.columns)
            made = f"table {name} ({columns})" if model.scheduled else f"view {name} as {model.sql}"
            self.con.execute(f"create {made}")

    def fill(self, rows: Rows) -> None:
        """Replace the sources' rows."""
        for table in self.project.tables:
            self.con.execute(f"delete from {quoted('scope', table.source, table.name)}")
        fill_tables(self.con, "scope", rows)

    def rows(self, model: Model, profile_id: int | None = None) -> list[dict[str, Any]]:
        """A model's rows, or those of one customer, in a fixed order."""
        where = "" if profile_id is None else f" where profile_id = {profile_id}"
        found = self.con.execute(f"from {quoted('scope', model.schema, model.name)}{where} order by all")
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def named(self, name: str) -> list[dict[str, Any]]:
        """A model's rows, by its name."""
        return self.rows(next(model for model in self.project.models if model.name == name))


def create_tables(con: duckdb.DuckDBPyConnection, project: Project, catalog: str) -> None:
    """The source tables of a project, empty."""
    for table in project.tables:
        columns = [f"{quoted(column.name)} {column.data_type}" for column in table.columns]
        profile = ["profile_id bigint"] if table.of_customers else []
        con.execute(f"create schema if not exists {quoted(catalog, table.source)}")
        con.execute(f"create table {quoted(catalog, table.source, table.name)} ({', '.join(columns + profile)})")


def fill_tables(con: duckdb.DuckDBPyConnection, catalog: str, rows: Rows) -> None:
    """Insert rows that name some of the columns, the same in each row of a table."""
    for relation, some in rows.items():
        if some:
            names, marks = ", ".join(some[0]), ", ".join("?" for _ in some[0])
            values = [value for row in some for value in row.values()]
            con.execute(
                f"insert into {catalog}.{relation} ({names}) values {', '.join([f'({marks})'] * len(some))}", values
            )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The reference models, compiled once."""
    made = Bench(load_project(REFERENCE, tmp_path_factory.mktemp("state")))
    yield made
    made.con.close()


@settings(max_examples=15)
@given(visits())
def test_a_customers_rows_depend_on_that_customers_rows_alone(bench: Bench, done: list[Visit]) -> None:
    """That is what lets the run compute the touched customers only."""
    kept = [model for model in bench.project.models if model.kept]
    everything = shop(done)
    bench.fill(everything)
    whole = {(model.name, n): bench.rows(model, n) for model in kept for n in (1, 2, 3)}
    assert all(sum(len(whole[model.name, n]) for n in (1, 2, 3)) == len(bench.rows(model)) for model in kept)
    for n in (1, 2, 3):
        bench.fill({name: [row for row in rows if row.get("profile_id", n) == n] for name, rows in everything.items()})
        for model in kept:
            assert bench.rows(model) == whole[model.name, n]


@settings(max_examples=15)
@given(visits())
def test_each_bill_with_its_points_is_printed_once_with_the_balance_of_its_moment(
    bench: Bench, done: list[Visit]
) -> None:
    """Counted by hand, booking by booking; a bill without points yet, or of nobody known, is not there."""
    bench.fill(shop(done))
    balance, earned, expected = dict.fromkeys((1, 2, 3), 0), dict.fromkeys((1, 2, 3), 0), {}
    for _, system, number, visit in told(done):
        if visit.profile_id is None:
            continue
        if visit.booked:
            balance[visit.profile_id] += sum(visit.amounts)
            earned[visit.profile_id] += sum(visit.amounts)
            above = [tier - earned[visit.profile_id] for tier in (60, 150) if tier > earned[visit.profile_id]]
            expected[f"{system}-{number}"] = (
                visit.profile_id,
                sum(visit.amounts),
                balance[visit.profile_id],
                min(above, default=None),
            )
        balance[visit.profile_id] -= 0 if visit.west else visit.redeemed
    printed = bench.named("bill_printed")
    assert len(printed) == len(expected)
    assert {
        row["event_id"]: (row["profile_id"], row["points"], row["balance"], row["points_to_next_tier"])
        for row in printed
    } == expected


@settings(max_examples=15)
@given(visits())
def test_a_reward_is_reached_once_for_each_time_that_its_price_is_crossed(bench: Bench, done: list[Visit]) -> None:
    """Between two crossings of one price the balance was below it."""
    rows = shop(done)
    bench.fill(rows)
    expected, balance = set(), dict.fromkeys((1, 2, 3, None), 0)
    entries = [
        (row["booked_at"], "pos", row["entry_id"], row["profile_id"], row["points"])
        for row in rows["pos.points_ledger"]
    ] + [
        (at, "west", number, visit.profile_id, sum(visit.amounts))
        for at, system, number, visit in told(done)
        if system == "west" and visit.booked
    ]
    for _, system, number, profile_id, points in sorted(entries, key=lambda entry: entry[:3]):
        before = balance[profile_id]
        now = balance[profile_id] = before + points
        if profile_id is not None:
            expected |= {f"{reward}-{system}-{number}" for reward, price in ((1, 20), (2, 90)) if before < price <= now}
    assert {row["event_id"] for row in bench.named("reward_reached")} == expected


def test_plain_dbt_builds_and_tests_the_same_rows(bench: Bench, tmp_path: Path) -> None:
    """`dbt build` on a file with the same sources, from any shell, gives what the run keeps: one SQL, two clocks."""
    done = [Visit(1 + n % 2, 1 + n % 3, (n, 2), n != 5, 20 if n == 4 else 0) for n in range(12)]
    done.append(Visit(3, 1, (2000,), True, 0))
    folder = shutil.copytree(REFERENCE, tmp_path / "dbt_project", ignore=shutil.ignore_patterns("target", "*.duckdb*"))
    with duckdb.connect(tmp_path / "shop.duckdb") as con:
        create_tables(con, bench.project, "shop")
        fill_tables(con, "shop", shop(done))
    as_of = OPENED + timedelta(days=15)
    command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", "--no-use-colors", "build"]
    built = subprocess.run(
        [*command, "--vars", json.dumps({"as_of": as_of.isoformat()})],
        cwd=folder,
        env={**os.environ, "RINGUP_DUCKDB": str(tmp_path / "shop.duckdb"), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout
    assert "14 unit tests" in built.stdout
    bench.fill(shop(done))
    bench.con.execute("update scope.ringup.clock set as_of = ?", [as_of])
    with duckdb.connect(tmp_path / "shop.duckdb") as con:
        con.execute("set timezone = 'UTC'")
        for model in bench.project.models:
            rows = con.execute(f"from {quoted(model.schema, model.name)} order by all").fetchall()
            if model.scheduled:
                into = f"insert into {quoted('scope', model.schema, model.name)} values"
                for row in rows:
                    bench.con.execute(f"{into} ({', '.join('?' * len(row))})", row)
            assert rows == [tuple(row.values()) for row in bench.rows(model)]
            assert rows or model.name == "champions"
