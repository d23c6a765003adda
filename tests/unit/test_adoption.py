"""What scheduled runs publish, taken over by the live run: as news, row by row, beside what changes every second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringup.engine import Engine
from ringup.errors import WarehouseError
from ringup.publishing import Watch
from tests.shop import COMMITTED, MODELS, TABLES, batch, change, model
from transforms.adoption import attached
from transforms.changes import SegmentChange
from transforms.project import ActivationSpec, Column, Model, Project
from transforms.prove import prove
from transforms.published import Published, Version, publish, published
from transforms.warehouse import quoted

Rows: TypeAlias = Mapping[str, Sequence[tuple[int, ...]]]
"""Rows by model."""


def scheduled(name: str, columns: dict[str, str], kind: str = "mart") -> Model:
    """A scheduled model, as the live run knows it."""
    made = model(name, "", [], kind=kind)
    return replace(made, columns=tuple(Column(*column) for column in columns.items()), scheduled=True)


RANKS = scheduled("ranks", {"profile_id": "BIGINT", "half": "INTEGER"})
TOP = scheduled("top", {"profile_id": "BIGINT", "half": "INTEGER"}, kind="segment")
LIMITS = scheduled("limits", {"least": "INTEGER"})
WORTHY = model(
    "worthy",
    """
    select c.profile_id, c.spend, r.half from "scope"."marts"."customers" c
    join "scope"."marts"."ranks" r on c.profile_id = r.profile_id
    where c.spend >= (select min(least) from "scope"."marts"."limits")
    """,
    ["marts.customers", "marts.ranks", "marts.limits"],
    kind="segment",
)


def told(name: str) -> ActivationSpec:
    """An activation of a segment."""
    return ActivationSpec(name, name, "till", "entered", "{profile_id}", "activations.yml", "1")


PROJECT = Project(TABLES, (*MODELS, RANKS, TOP, LIMITS, WORTHY), (told("top"), told("worthy")), "shop")
KNOWN = {"marts.ranks", "segments.top", "marts.limits"}


class Shop:
    """A live state, and a scheduled run beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs, self.came = folder, 0, 0
        self.engine = Engine(folder / "live.duckdb", PROJECT)
        if not self.engine.ready:
            self.engine.start(COMMITTED)

    def takes(self, *values: tuple[str, str]) -> list[Any]:
        """The live run takes in a batch; what comes of it."""
        came = batch(values, start=self.came)
        self.came += len(values)
        with self.engine.warehouse.transaction():
            candidates, _, _ = self.engine.apply(came)
        return candidates

    def member(self, number: int, spent: int) -> list[tuple[str, str]]:
        """A member who spent so much."""
        at = 1000 + 10 * self.came + number
        row = {"member_id": number, "loyalty_card": f"C{number}", "first_name": f"M{number}"}
        bill = {
            "bill_id": self.came + 100 * number,
            "loyalty_card": f"C{number}",
            "sold_at": "2026-03-01T10:00:00Z",
            "total": str(spent),
        }
        return [
            ("crm.crm.members", change("c", None, row, at)),
            ("pos.pos.bills", change("c", None, bill, at)),
        ]

    def publishes(self, rows: Rows, sql: str = "sql") -> Published:
        """A scheduled run computes these rows, and publishes them."""
        self.runs += 1
        computed = self.folder / "work.duckdb"
        with duckdb.connect(computed) as con:
            for relation, found in rows.items():
                one = next(m for m in PROJECT.models if m.relation == relation)
                con.execute(f"create schema if not exists {one.schema}")
                columns = ", ".join(f"{quoted(c.name)} {c.data_type}" for c in one.columns)
                con.execute(f"create or replace table {relation} ({columns})")
                for row in found:
                    con.execute(f"insert into {relation} values ({', '.join('?' * len(row))})", row)
        good = {relation: Version(f"run {self.runs}", COMMITTED.isoformat(), sql, 0) for relation in rows}
        return publish(self.folder / "published", f"{self.runs:04}", computed, good, KNOWN)

    def adopts(self, found: Published) -> list[tuple[str, int, str]]:
        """The live run takes over what is published; what comes of it."""
        with attached(self.engine.warehouse, found), self.engine.warehouse.transaction():
            changes = self.engine.refresh.adopt(found, COMMITTED)
        assert prove(self.engine.warehouse.reader(), PROJECT).differ == 0
        return [(c.model, c.profile_id, c.kind) for c in changes if isinstance(c, SegmentChange)]

    def rows(self, relation: str) -> list[tuple[Any, ...]]:
        """The rows that the live state has."""
        schema, name = relation.split(".")
        return self.engine.warehouse.con.execute(f"from {quoted('live', schema, name)} order by all").fetchall()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    made.takes(*made.member(1, 10), *made.member(2, 20), *made.member(3, 30))
    yield made
    made.engine.close()


def test_the_first_version_is_no_news_and_later_ones_are(shop: Shop) -> None:
    """A segment and what reads a mart change with each version, and the messages are those of the differences."""
    first: Rows = {"marts.ranks": [(1, 1), (2, 2)], "segments.top": [(2, 2)], "marts.limits": [(15,)]}
    assert shop.adopts(shop.publishes(first)) == []
    assert shop.rows("segments.top") == [(2, 2)]
    assert [row[0] for row in shop.rows("segments.worthy")] == [2]
    second: Rows = {"marts.ranks": [(1, 1), (2, 1), (3, 2)], "segments.top": [(3, 2)], "marts.limits": [(15,)]}
    assert shop.adopts(shop.publishes(second)) == [
        ("worthy", 2, "updated"),
        ("worthy", 3, "entered"),
        ("top", 2, "exited"),
        ("top", 3, "entered"),
    ]
    assert shop.adopts(shop.publishes({**second, "marts.limits": [(5,)]})) == [("worthy", 1, "entered")]


def test_a_version_is_taken_over_once_and_after_a_restart_it_is_still_there(shop: Shop) -> None:
    """The live run looks for what is new whenever it starts."""
    rows: Rows = {"marts.ranks": [(1, 1)], "segments.top": [(1, 1)], "marts.limits": [(0,)]}
    shop.adopts(shop.publishes(rows))
    found = shop.publishes({**rows, "segments.top": [(1, 1), (2, 1)]})
    assert shop.adopts(found) == [("top", 2, "entered")]
    assert shop.adopts(found) == []
    shop.engine.close()
    shop.engine = Engine(shop.folder / "live.duckdb", PROJECT)
    assert shop.adopts(found) == []
    assert shop.rows("segments.top") == [(1, 1), (2, 1)]


def test_other_sql_is_no_news(shop: Shop) -> None:
    """Whoever edits a model tells nobody; the version after that does."""
    shop.adopts(shop.publishes({"segments.top": [(1, 1)]}))
    assert shop.adopts(shop.publishes({"segments.top": [(2, 1)]}, sql="other sql")) == []
    assert shop.adopts(shop.publishes({"segments.top": [(3, 1)]}, sql="other sql")) == [
        ("top", 2, "exited"),
        ("top", 3, "entered"),
    ]


def test_what_did_not_pass_stays_as_it_was(shop: Shop) -> None:
    """A run that publishes some of its models leaves the others alone, in the file and in the live state."""
    shop.adopts(shop.publishes({"marts.ranks": [(1, 1)], "segments.top": [(1, 1)]}))
    assert shop.adopts(shop.publishes({"segments.top": [(2, 1)]})) == [("top", 1, "exited"), ("top", 2, "entered")]
    assert shop.rows("marts.ranks") == [(1, 1)]


def test_a_change_of_the_moment_meets_the_scheduled_rows(shop: Shop) -> None:
    """A bill is evaluated with the rank of last night, be it one customer's or many customers' bills."""
    shop.adopts(shop.publishes({"marts.ranks": [(n, n % 2) for n in range(1, 900)], "marts.limits": [(50,)]}))
    assert shop.rows("segments.worthy") == []
    [entered] = shop.takes(shop.member(2, 60)[1])
    assert (entered.profile_id, entered.after["half"]) == (2, 0)
    many = [record for n in range(100, 800) for record in shop.member(n, 70)]
    assert len(shop.takes(*many)) == 700
    assert prove(shop.engine.warehouse.reader(), PROJECT).differ == 0


numbers = st.integers(1, 4)
versions = st.lists(st.lists(st.tuples(numbers, st.integers(1, 2)), max_size=6), min_size=1, max_size=4)


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(versions=versions)
def test_what_is_kept_is_what_is_published(shop: Shop, versions: list[list[tuple[int, int]]]) -> None:
    """Whatever came before, equal rows as often as they are there."""
    for rows in versions:
        shop.adopts(shop.publishes({"marts.ranks": rows}))
        assert shop.rows("marts.ranks") == sorted(rows)


def test_the_watch_sees_each_version_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing before the first, and then only what is new; a file that is damaged is left alone."""
    monkeypatch.setattr("ringup.publishing.EVERY", 0)
    folder, watch = shop.folder / "published", Watch(shop.folder / "published")

    def seen() -> bool:
        with watch.opened(shop.engine.warehouse) as found:
            return found is not None

    assert not seen()
    shop.publishes({"segments.top": [(1, 1)]})
    assert seen()
    assert not seen()
    found = shop.publishes({"segments.top": [(2, 1)]})
    found.path.write_bytes(b"no database")
    assert not seen()
    (folder / "published.json").write_text("{")
    with pytest.raises(WarehouseError, match="cannot be read"):
        published(folder)
    assert not seen()
