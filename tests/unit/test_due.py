"""Due times that are derived from a model's SQL: between the clock and the next one no row changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.dbt.due import Underivable, due_queries, due_sql

CLOCK = '(select as_of from "scope"."ringup"."clock")'
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
VISITS, MEMBERS = '"scope"."pos"."visits"', '"scope"."crm"."members"'


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """Three customers in three time zones, with visits at the ends of months and where clocks are put forward."""
    with duckdb.connect(":memory:") as con:
        con.execute("set timezone = 'UTC'; set threads = 1; attach ':memory:' as scope")
        con.execute("create schema scope.ringup; create schema scope.pos; create schema scope.crm")
        con.execute("create table scope.ringup.clock as select timestamptz '2026-03-01 12:00:00+00' as as_of")
        con.execute(
            f"create table {MEMBERS} as from (values (1, 'Europe/Berlin', 3), (2, 'America/Havana', 20), "
            "(3, 'Asia/Kolkata', null)) as t(profile_id, zone, gap)"
        )
        con.execute(
            f"create table {VISITS} as select 1 + n % 3 as profile_id, n as bill_id, "
            "cast(n as decimal(12, 2)) as total, "
            "timestamptz '2026-01-28 22:17:43.123456+00' + to_seconds(n * 98765) as seen, seen::date as day "
            "from range(60) as t(n)"
        )
        con.execute(
            f"insert into {VISITS} select * replace (seen + to_days(238) as seen, day + 238 as day) from {VISITS}"
        )
        con.execute(f"insert into {VISITS} values (1, 99, null, null, null)")
        yield con


def binds(con: duckdb.DuckDBPyConnection, query: str) -> bool:
    try:
        con.sql(query)
    except duckdb.Error:
        return False
    return True


def derived(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    return due_sql(due_queries(sql, lambda query: binds(con, query)))


def check(
    con: duckdb.DuckDBPyConnection, condition_or_model: str, start: datetime, steps: int, *, changes: int = 0
) -> int:
    """Walk from due time to due time; the rows of each profile change nowhere else. Returns how often they changed.

    It takes so many `steps`, and goes on, within reason, until there were that many `changes`.
    """
    sql = condition_or_model.replace("as_of()", CLOCK)
    due, changed, now = derived(con, sql), 0, start

    def rows(at: datetime) -> dict[int, list[tuple[object, ...]]]:
        con.execute("update scope.ringup.clock set as_of = ?", [at])
        found: dict[int, list[tuple[object, ...]]] = {}
        for row in con.execute(f"select * from ({sql}) order by all").fetchall():
            found.setdefault(row[0], []).append(row)
        return found

    for step in range(500):
        if step >= steps and changed >= changes:
            break
        before = rows(now)
        times = dict(con.execute(due).fetchall())
        upto = min(times.values(), default=now + timedelta(days=90))
        probes = [now + (upto - now) * part / 3 for part in (1, 2)] + [upto - timedelta(microseconds=1)]
        for probe in probes:
            if now < probe < upto:
                assert rows(probe) == before, f"changed between {now} and {upto}, at {probe}"
        after = rows(upto)
        for profile in {1, 2, 3} - {profile for profile, at in times.items() if at <= upto}:
            assert after.get(profile) == before.get(profile), f"{profile} is not due at {upto}"
        changed += after != before
        if not times:
            break
        now = upto
    return changed


MODELS = {
    "where": "select profile_id, bill_id from V where seen < as_of() - interval 30 days",
    "between": "select profile_id, bill_id from V where seen between as_of() - interval 36 hours and as_of()",
    "difference": "select profile_id, bill_id from V where as_of() - seen >= interval '30 days'",
    "moved": "select profile_id, bill_id from V where seen + interval 30 minutes < as_of()",
    "equal": "select profile_id, bill_id from V where seen + to_days(31) = as_of()",
    "own rhythm": "select v.profile_id from V v join M m using (profile_id) "
    "where seen < as_of() - to_seconds(greatest(14, 3 * gap) * 86400)",
    "months": "select profile_id, bill_id from V where seen < as_of() - interval 1 month",
    "months forward": "select profile_id, bill_id from V where as_of() + interval 1 month > seen + to_days(60)",
    "filter": "select profile_id, count(*) filter (where seen > as_of() - interval 30 days) as c from V group by 1",
    "case": "select profile_id, sum(case when seen > as_of() - to_days(7) then total else 0 end) as t "
    "from V group by profile_id",
    "having": "select profile_id, max(seen) as last from V group by profile_id having last < as_of() - "
    "interval 10 days",
    "column": "select profile_id, max(seen) < as_of() - to_days(3) as away from V group by all",
    "with": "with a as (select profile_id, max(seen) as last from V where seen < as_of() - to_days(1) group by all) "
    "select profile_id, last from a where last < as_of() - interval 4 days",
    "qualify": "select profile_id, bill_id from V qualify lead(seen) over (partition by profile_id order "
    "by seen) < as_of() - interval 3 days",
    "exists": "select m.profile_id from M m where not exists (select 1 from V v "
    "where v.profile_id = m.profile_id and v.seen > as_of() - interval 3 days)",
    "in": "select profile_id from M where profile_id in (select profile_id from V where seen > as_of() - to_days(3))",
    "left join": "select m.profile_id, count(v.seen) as c from M m left join V v on v.profile_id = "
    "m.profile_id and v.seen > as_of() - to_days(7) group by 1",
    "union": "select profile_id, 1 as w from V where seen > as_of() - to_days(3) union all select profile_id, 2 from V "
    "where seen > as_of()",
    "epoch": "select profile_id, bill_id from V where extract(epoch from as_of() - seen) / 60 > 1440 * 31",
    "date": "select profile_id, bill_id from V where day >= as_of()::date - 30",
    "date of a time": "select profile_id, count(*) as c from V where seen >= as_of()::date - 30 group by 1",
    "days": "select profile_id, date_diff('day', seen, as_of()) as days from V where bill_id < 3",
    "today": "select profile_id, as_of()::date as today from M",
    "local date": "select v.profile_id, bill_id from V v join M m using (profile_id) "
    "where (as_of() at time zone zone)::date - 31 = day",
    "local hour": "select profile_id from M where hour(as_of() at time zone zone) between 16 and 18",
    "local time": "select profile_id from M "
    "where (as_of() at time zone zone)::time between time '16:00' and time '19:30'",
    "since midnight": "select profile_id, count(*) as c from V join M using (profile_id) "
    "where seen + to_days(31) >= date_trunc('day', as_of() at time zone zone) at time zone zone group by 1",
    "local": "select profile_id, bill_id from V join M using (profile_id) "
    "where as_of() at time zone zone > cast(seen as timestamp) + to_days(38)",
}
"""Where and how a clock is compared."""


@pytest.mark.parametrize("start", [START, datetime(2026, 10, 24, 20, tzinfo=UTC)], ids=["spring", "autumn"])
@pytest.mark.parametrize("name", MODELS)
def test_rows_change_only_when_they_are_due(con: duckdb.DuckDBPyConnection, name: str, start: datetime) -> None:
    """Whatever the form of the comparison, and wherever it stands in the model."""
    sql = MODELS[name].replace(" V", f" {VISITS}").replace(" M", f" {MEMBERS}")
    assert check(con, sql, start, 12, changes=3) >= 3


def test_a_happy_hour_begins_and_ends_at_the_second(con: duckdb.DuckDBPyConnection) -> None:
    """In each member's own time zone, also on the day on which clocks are put back."""
    sql = MODELS["local time"].replace(" M", f" {MEMBERS}").replace("as_of()", CLOCK)
    due = derived(con, f"{sql} and profile_id = 1")
    for edge in (datetime(2026, 10, 25, 15, tzinfo=UTC), datetime(2026, 10, 25, 18, 30, tzinfo=UTC)):
        con.execute("update scope.ringup.clock set as_of = ?", [edge - timedelta(microseconds=1)])
        before = con.execute(f"select count(*) from ({sql}) where profile_id = 1").fetchone()
        assert con.execute(due).fetchall() == [(1, edge)]
        con.execute("update scope.ringup.clock set as_of = ?", [edge + timedelta(microseconds=1)])
        assert con.execute(f"select count(*) from ({sql}) where profile_id = 1").fetchone() != before


REFUSED = {
    "a column": ("select profile_id, as_of() as now from M", "as_of()", "no comparison"),
    "unknown length": ("select profile_id from M where zone::timestamptz < as_of() - zone::interval", "", "length"),
    "age": ("select profile_id from V where age(as_of(), seen) > interval 3 days", "age(as_of(), seen)", "evenly"),
    "both sides": ("select profile_id from V where as_of() - seen > as_of() - as_of()", "", "both sides"),
    "nobody's": (
        "select m.profile_id from M m, (select 1 as x where as_of() > timestamptz '2027-01-01') t",
        "",
        "read",
    ),
}
"""From what nothing follows, and what is said of it."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_gives_no_due_time_is_refused_with_the_reason(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Rather a refusal than a row that is late."""
    sql, construct, why = REFUSED[name]
    with pytest.raises(Underivable) as refused:
        derived(con, sql.replace(" V", f" {VISITS}").replace(" M", f" {MEMBERS}").replace("as_of()", CLOCK))
    assert construct in refused.value.construct
    assert why in refused.value.why


exact = st.one_of(
    st.integers(0, 90).map(lambda n: f"interval {n} days"),
    st.integers(0, 5000).map(lambda n: f"to_minutes({n})"),
    st.integers(1, 9).map(lambda n: f"bill_id * interval '{n} hours'"),
)
moved = st.one_of(exact, st.integers(0, 14).map(lambda n: f"interval {n} months"))
units = st.sampled_from(["hour", "day", "month"])
operators = st.sampled_from(["<", "<=", ">", ">=", "=", "<>"])
comparisons = st.one_of(
    st.builds("seen + {} {} as_of() - {}".format, exact, operators, moved),
    st.builds("as_of() - seen {} {}".format, operators, exact),
    st.builds("as_of() - {} between seen and seen + {}".format, moved, exact),
    st.builds("day {} as_of()::date - {}".format, operators, st.integers(0, 60)),
    st.builds("epoch(as_of()) - epoch(seen) {} {}".format, operators, st.integers(0, 4_000_000)),
    st.builds(
        "seen + to_days(31) {} date_trunc('{}', as_of())".format, operators, st.sampled_from(["hour", "day", "month"])
    ),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("({}) and ({})".format, inner, inner),
        st.builds("({}) or ({})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=3,
)


@settings(
    max_examples=int(os.environ.get("RINGUP_EXAMPLES", "20")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(condition=conditions, days=st.integers(0, 90))
def test_any_condition_changes_only_when_it_is_due(con: duckdb.DuckDBPyConnection, condition: str, days: int) -> None:
    """Comparisons of a grammar, joined by any logic."""
    check(con, f"select profile_id, bill_id from {VISITS} where {condition}", START + timedelta(days=days), 6)
