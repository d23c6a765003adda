"""Time passes, and models that read the clock change at the second, by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ringup.engine import Engine
from tests.live import BILLS, MEMBERS, rows, take
from tests.shop import COMMITTED, SHOP, change, model
from transforms.dbt.derived import timer_of
from transforms.dbt.due import due_queries
from transforms.project import CLOCK, SWEPT, Project
from transforms.prove import prove

AS_OF = '(select as_of from "scope"."ringup"."clock")'
AWAY = f"""
select profile_id, max(sold_at) as last from "scope"."staging"."stg_bills" group by profile_id
having last < {AS_OF} - interval 30 minutes
"""
LATELY = f"""
select profile_id, count(*) filter (where sold_at > {AS_OF} - interval 30 days) as bills
from "scope"."staging"."stg_bills" group by profile_id
"""
SINCE = 'select profile_id, (select as_of from "scope"."ringup"."swept") as seen from "scope"."crm"."members"'


def timed() -> Project:
    """The shop with a segment of those who have been away for half an hour, and a mart of the last thirty days."""
    made = []
    for name, sql, kind in (("away", AWAY, "segment"), ("lately", LATELY, "mart")):
        one = model(name, sql, ["staging.stg_bills"], kind=kind)
        made.append(replace(one, clocks=frozenset({CLOCK}), dues=tuple(due_queries(sql, lambda query: True))))
    models = (*SHOP.models, *made)
    return replace(SHOP, models=models, timer=timer_of(models))


@dataclass
class Time:
    """A clock that a test sets."""

    now: datetime = COMMITTED
    project: Project = field(default_factory=timed)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Shop:
    """An engine on a file, with the time that it is told."""

    path: Path
    time: Time
    engine: Engine
    lsn: int = 100

    def sold(self, number: int, at: datetime, card: str = "A") -> list[Any]:
        """A bill is taken in; what comes of it."""
        self.lsn += 8
        row = {"bill_id": number, "loyalty_card": card, "sold_at": at.isoformat(), "total": "5"}
        return self.told(take(self.engine, (BILLS, change("c", None, row, self.lsn)))[0])

    def at(self, now: datetime) -> list[Any]:
        """It is `now`, and nothing else happens; what comes of that."""
        self.time.now = now
        found: list[Any] = []
        if now >= self.engine.upcoming():
            with self.engine.warehouse.transaction():
                found = self.engine.due()
        return self.told(found)

    def told(self, candidates: list[Any]) -> list[Any]:
        """The changes of the segment; and both clocks agree."""
        report = prove(self.engine.warehouse.reader(), self.time.project)
        assert report.differ == 0, report
        return [(c.profile_id, c.kind, c.committed_at) for c in candidates if c.model == "away"]

    def again(self) -> None:
        """Stop, and start anew."""
        self.engine.close()
        self.engine = Engine(self.path, self.time.project, clock=self.time)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop with two members."""
    time, path = Time(), tmp_path / "live.duckdb"
    made = time.project
    wanted = type("Wanted", (), {"model": "away"})()
    time.project = replace(made, activations=(wanted,))
    one = Shop(path, time, Engine(path, time.project, clock=time))
    members = [{"member_id": n, "loyalty_card": card, "first_name": card} for n, card in ((1, "A"), (2, "B"))]
    take(one.engine, *[(MEMBERS, change("c", None, row, 50)) for row in members], snapshot=True)
    one.engine.start(COMMITTED)
    yield one
    one.engine.close()


def minutes(number: float) -> datetime:
    """So long after the shop opened."""
    return COMMITTED + timedelta(minutes=number)


MICROSECOND = timedelta(microseconds=1)


def test_a_wait_ends_by_itself(shop: Shop) -> None:
    """No event ends it; it ends right after the half hour, and a visit begins it anew."""
    assert shop.sold(1, COMMITTED) == []
    assert shop.at(minutes(30) - MICROSECOND) == []
    assert shop.at(minutes(30)) == []
    assert shop.at(minutes(30) + MICROSECOND) == [(1, "entered", minutes(30) + MICROSECOND)]
    shop.time.now = minutes(40)
    [(profile, kind, _)] = shop.sold(2, minutes(40))
    assert (profile, kind) == (1, "exited")
    assert [kind for _, kind, _ in shop.at(minutes(71))] == ["entered"]


def test_a_late_look_says_since_when(shop: Shop) -> None:
    """The message's age is from the time at which it was due."""
    shop.sold(1, COMMITTED)
    assert shop.at(minutes(95)) == [(1, "entered", minutes(30))]
    assert shop.at(minutes(96)) == []


def test_who_is_due_comes_along_with_a_batch(shop: Shop) -> None:
    """A batch moves the clock, so nobody else is left behind at an earlier time."""
    shop.sold(1, COMMITTED)
    shop.time.now = minutes(45)
    assert shop.sold(2, minutes(45), "B") == [(1, "entered", minutes(30))]


def test_what_came_due_while_nothing_ran_is_told_at_the_start(shop: Shop) -> None:
    """Due times are kept, so a restart forgets none."""
    shop.sold(1, COMMITTED)
    shop.again()
    assert shop.at(minutes(20)) == []
    shop.time.now = minutes(61)
    shop.again()
    assert shop.at(minutes(61)) == [(1, "entered", minutes(30))]


def test_what_was_undone_is_due_again(shop: Shop) -> None:
    """A transaction that fails takes the clock and the due times back with it."""
    shop.sold(1, COMMITTED)
    shop.time.now = minutes(31)
    with pytest.raises(ZeroDivisionError), shop.engine.warehouse.transaction():
        assert shop.engine.due()
        raise ZeroDivisionError
    assert shop.at(minutes(31)) == [(1, "entered", minutes(30))]


def test_a_window_of_thirty_days_empties_by_itself(shop: Shop) -> None:
    """An aggregate over what happened lately loses each bill in turn."""
    shop.sold(1, COMMITTED)
    shop.sold(2, minutes(-600))
    count = "select bills from live.marts.lately where profile_id = 1"
    assert rows(shop.engine, count) == [(2,)]
    shop.at(COMMITTED + timedelta(days=30) - timedelta(hours=10))
    assert rows(shop.engine, count) == [(1,)]
    shop.at(COMMITTED + timedelta(days=30) + MICROSECOND)
    assert rows(shop.engine, count) == [(0,)]
    assert rows(shop.engine, "from live.ringup.due") == []


def test_a_clock_that_goes_back_moves_nothing(shop: Shop) -> None:
    """The machine's time was put right; rows stay as they are until it has caught up."""
    shop.sold(1, COMMITTED)
    assert len(shop.at(minutes(31))) == 1
    shop.time.now = minutes(5)
    assert shop.sold(2, minutes(-10), "A") == []
    assert rows(shop.engine, f"select as_of from live.{CLOCK}") == [(minutes(31),)]


def test_a_model_that_says_sweep_has_a_clock_of_its_own(tmp_path: Path) -> None:
    """It is not evaluated when others are due, and both are right at their own time."""
    swept = replace(model("since", SINCE, ["crm.members"]), sweep=timedelta(hours=1), clocks=frozenset({SWEPT}))
    time = Time()
    project = time.project = replace(time.project, models=(*time.project.models, swept))
    engine = Engine(tmp_path / "live.duckdb", project, clock=time)
    shop = Shop(tmp_path / "live.duckdb", time, engine)
    take(
        engine,
        (MEMBERS, change("c", None, {"member_id": 1, "loyalty_card": "A", "first_name": "A"}, 50)),
        snapshot=True,
    )
    engine.start(COMMITTED)
    shop.sold(1, COMMITTED)
    shop.at(minutes(31))
    assert rows(engine, "select seen from live.marts.since") == [(COMMITTED,)]
    shop.at(minutes(60))
    assert rows(engine, "select seen from live.marts.since") == [(minutes(60),)]
    shop.at(minutes(119))
    assert rows(engine, "select seen from live.marts.since") == [(minutes(60),)]
    shop.again()
    shop.at(minutes(119))
    assert rows(shop.engine, "select seen from live.marts.since") == [(minutes(119),)]
    shop.engine.close()
