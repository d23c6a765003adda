"""Random SQL: what the check of locality accepts gives for any customers the rows that it gives for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.random_sql import SHOP, Author
from tests.shop import model, table
from transforms.dbt.locality import relation_of, source_relation
from transforms.dbt.owned import PROFILE, NotLocalError, Relation
from transforms.project import Column

TABLES = (
    table("shop.orders", dict.fromkeys(["order_id", "x", "y"], "integer"), ["order_id"], identifiers={"card": "x"}),
    table(
        "shop.lines",
        dict.fromkeys(["order_id", "item", "y"], "integer"),
        ["order_id", "item"],
        via=("order_id", "orders"),
    ),
    table("shop.items", dict.fromkeys(["item", "x", "price"], "integer"), ["item"]),
)
TOUCHED = "profile_id in (from memory.main.touched)"
SEEN = [(1,), (2, 3), (), (1, 2, 3)]


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """The shop's tables, whole and as the touched profiles' rows."""
    with duckdb.connect() as made:
        made.execute("create table touched (profile_id bigint)")
        for catalog in ("whole", "scope"):
            made.execute(f"attach ':memory:' as {catalog}; create schema {catalog}.shop")
        for one in TABLES:
            columns = SHOP[f'"scope"."shop"."{one.name}"']
            made.execute(f"create table {one.name} ({', '.join(f'{name} bigint' for name in columns)})")
            made.execute(f"create view whole.shop.{one.name} as from memory.main.{one.name}")
            where = f"where {TOUCHED}" if one.of_customers else ""
            made.execute(f"create view scope.shop.{one.name} as from memory.main.{one.name} {where}")
        yield made


def filled(con: duckdb.DuckDBPyConnection, random: Random) -> None:
    """Put a few rows into the shop. A line is its order's customer's, or nobody's where there is no such order."""
    con.execute("delete from orders; delete from lines; delete from items")
    owners = {order: random.choice([1, 2, 3, None]) for order in random.sample(range(1, 9), random.randint(2, 8))}
    for order, owner in owners.items():
        row = [order, random.choice([0, 1, 2, None]), random.choice([0, 1, 2]), owner]
        con.execute("insert into orders values (?, ?, ?, ?)", row)
    for _ in range(random.randint(2, 10)):
        order_id = random.choice([*range(1, 9), None])
        row = [order_id, random.choice([0, 1, 2]), random.choice([0, 1, None]), owners.get(order_id or 0)]
        con.execute("insert into lines values (?, ?, ?, ?)", row)
    for _ in range(random.randint(1, 4)):
        row = [random.choice([0, 1, 2]), random.choice([0, 1, 2, 3, None]), random.choice([0, 1, 2])]
        con.execute("insert into items values (?, ?, ?)", row)


def read(con: duckdb.DuckDBPyConnection, sql: str) -> Relation | None:
    """What the check says of a query; None where it is refused. Raises duckdb.Error for one that does not bind."""
    described = con.execute(f"describe {sql}").fetchall()
    known = {one.relation: source_relation(one) for one in TABLES}
    one = model("one", sql, [])
    columns = tuple(Column(name, kind) for name, kind, *_ in described)
    try:
        return relation_of(
            type(one)(one.name, one.schema, sql, "table", "mart", (), None, frozenset(), "", columns), {**known}
        )
    except NotLocalError:
        return None


def rows(con: duckdb.DuckDBPyConnection, sql: str) -> Counter[tuple[object, ...]]:
    """The rows of a query, each as often as it is there."""
    return Counter(con.execute(sql).fetchall())


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**9))
def test_what_is_accepted_is_the_same_for_any_customers_as_for_all(con: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Joins, groups, windows, set operations, subqueries and limits, over rows of customers, of nobody and for all."""
    random = Random(seed)
    sql, _ = Author(random).query()
    try:
        made = read(con, sql)
    except duckdb.Error:
        return
    place = made.place(PROFILE) if made is not None else None
    if made is None or (made.local and (place is None or PROFILE not in made.columns[place].tags)):
        return
    everywhere = sql.replace('"scope"', "whole")
    where = f"where {TOUCHED}" if made.local else ""
    keeps = "where profile_id is not null" if made.local else ""
    for _ in range(2):
        filled(con, random)
        for seen in SEEN:
            con.execute("delete from touched; insert into touched select unnest(?::bigint[])", [list(seen)])
            try:
                whole = rows(con, f"from ({everywhere}) {where}")
            except duckdb.Error:  # a subquery of several rows, say
                continue
            assert rows(con, f"from ({sql}) {keeps}") == whole, (sql, seen)


def test_a_good_share_of_random_sql_is_accepted(con: duckdb.DuckDBPyConnection) -> None:
    """A check that refuses all would be right, too, and of no use."""
    accepted = Counter[bool]()
    for seed in range(300):
        try:
            made = read(con, Author(Random(seed)).query()[0])
        except duckdb.Error:
            continue
        accepted[made is not None] += 1
    assert accepted[True] >= 0.25 * accepted.total()
