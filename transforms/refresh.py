"""Models kept up to date: only the touched profiles' rows are computed, compared with what is kept, and changed.

The comparison is a net count of equal rows, so it is right for any grain; what is equal is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringup.errors import ProjectError
from transforms.changes import Candidate, Membership, Row, SegmentChange, TriggerFired
from transforms.mirror import Applied
from transforms.near import CLOCK, FEW, Near, comparable, sources_of
from transforms.project import Model, Project
from transforms.scope import TOUCHED, Scope, kept_name
from transforms.stage import TOUCHED_ROWS
from transforms.warehouse import Inbox, Warehouse, quoted, shown

BOOKKEEPING = ("_net", "_rows")


@dataclass(frozen=True, slots=True)
class _Plan:
    """A model with what evaluating it needs. `sources` are the source tables and the clock that it comes from."""

    model: Model
    sources: frozenset[str]
    compare: str
    remove: Callable[[], int]
    gone: Inbox
    add: Callable[[], int]
    new: Inbox
    near: bool


def compare_sql(kept: str, computed: str, columns: Iterable[str]) -> str:
    """Rows that are kept and not computed (`_net` < 0) or computed and not kept (`_net` > 0)."""
    names = ", ".join(quoted(name) for name in columns)
    return f"""
select {names}, sum(_side)::bigint as _net, list(_row) filter (_row is not null) as _rows
from (
    select {names}, -1 as _side, rowid as _row from {kept} where {TOUCHED}
    union all
    select {names}, 1, null from (
{computed}
    )
)
group by {names}
having sum(_side) <> 0
"""


class Refresh:
    """Evaluates the continuous models for the touched profiles."""

    def __init__(
        self, warehouse: Warehouse, project: Project, scope: Scope, everyone_sql: str, asked: frozenset[str]
    ) -> None:
        """`asked` names the models whose changes are wanted as candidates; others are only kept."""
        self._warehouse = warehouse
        self._touched = scope.touched
        self._near = Near(warehouse, project)
        self._everyone = everyone_sql
        self._asked = asked
        self._plans = tuple(self._plan(project))
        self.sweeps = {p.model.name: p.model.sweep for p in self._plans if p.model.sweep is not None}

    def _plan(self, project: Project) -> Iterator[_Plan]:
        sources = sources_of(project)
        for model in project.models:
            if model.materialized != "view":
                yield self._planned(model, sources[model.relation])

    def _planned(self, model: Model, below: frozenset[str]) -> _Plan:
        kept, gone, new = kept_name(model), f"gone {model.relation}", f"new {model.relation}"
        columns = self._warehouse.columns(kept)
        names = ", ".join(quoted(name) for name in columns)
        con = self._warehouse.con
        gone_rows = shown(con, quoted("temp", "main", gone), {"row": "bigint"}, f"arriving {gone}")
        new_rows = shown(con, quoted("temp", "main", new), columns, f"arriving {new}")
        return _Plan(
            model,
            below,
            compare_sql(kept, model.sql, columns),
            self._warehouse.order(f"delete from {kept} where rowid in (select row from {quoted(gone)})"),
            gone_rows,
            self._warehouse.order(f"insert into {kept} select {names} from {quoted(new)}"),
            new_rows,
            comparable(columns.values()),
        )

    def batch(self, applied: Applied) -> list[Candidate]:
        """Bring the models to the state of the mirror after a batch; returns what changed."""
        if applied.everyone:
            self._touch_everyone(applied.touched)
            return self._evaluate(applied.tables, near=False)
        if not applied.touched.num_rows:
            return []
        self._touched.table = applied.touched
        return self._evaluate(applied.tables, near=applied.touched.num_rows <= FEW)

    def warm(self) -> None:
        """Do all that an evaluation does, for nobody: the first of its kind takes half a second."""
        self._touched.table = TOUCHED_ROWS.empty_table()
        self._near.begin()
        for plan in self._plans:
            self._near.changes(plan.model, None if plan.near else plan.compare)

    def sweep(self, now: datetime) -> list[Candidate]:
        """Move the clock to `now` and evaluate the models that read it, and what reads those, for everyone."""
        self._warehouse.con.execute("update live.ringup.clock set as_of = ?", [now])
        self._touch_everyone(now=now)
        return self._evaluate(frozenset({CLOCK}), near=False)

    def everything(self) -> None:
        """Evaluate every model for everyone; nothing fires from it."""
        self._touch_everyone()
        self._near.forget_all()
        for plan in self._plans:
            self._change(plan, near=False, ask=False)

    def _touch_everyone(self, touched: pa.Table | None = None, now: datetime | None = None) -> None:
        """Everyone there is or was, and `touched` with its own times."""
        kept = "".join(f"union select profile_id from {kept_name(plan.model)} " for plan in self._plans)
        self._touched.table = TOUCHED_ROWS.empty_table() if touched is None else touched
        everyone = self._warehouse.arrow(
            f"select profile_id, coalesce(committed_at, ?::timestamptz) as committed_at "
            f"from ({self._everyone} {kept}union select profile_id from touched) "
            "left join touched using (profile_id) where profile_id is not null",
            [now or datetime.now(UTC)],
        )
        self._warehouse.expect(everyone.num_rows)
        self._touched.table = everyone.cast(TOUCHED_ROWS)

    def _evaluate(self, sources: frozenset[str], *, near: bool) -> list[Candidate]:
        """Evaluate what comes from these source tables. What changed for all, be it undone, is brought near again."""
        found: list[Candidate] = []
        self._near.begin()
        if not near:
            self._near.forget(sources)
        for plan in self._plans:
            if plan.sources & sources:
                found.extend(self._change(plan, near=near, ask=plan.model.name in self._asked))
        return found

    def _change(self, plan: _Plan, *, near: bool, ask: bool) -> Iterable[Candidate]:
        """Compute a model for the touched profiles and change the kept rows that differ."""
        try:
            if near:
                changed = self._near.changes(plan.model, None if plan.near else plan.compare)
            else:
                changed = self._warehouse.arrow(plan.compare)
        except duckdb.DataError as error:
            raise ProjectError(
                f"model {plan.model.name} cannot be computed from the rows that came: {error}",
                where=plan.model.path,
                mend="Let its SQL take any value, with try_cast say, and start again: nothing is lost.",
            ) from error
        if not changed.num_rows:
            return ()
        gone, new = gone_and_new(changed)
        if len(gone):
            plan.gone.table = pa.table({"row": gone})
            plan.remove()
        if new.num_rows:
            plan.new.table = new
            plan.add()
        return candidates(plan.model, changed, self._touched.table) if ask else ()


def gone_and_new(changed: pa.Table) -> tuple[pa.Array, pa.Table]:
    """The places of the kept rows that go, and the rows that come, each as often as its net count says."""
    net = changed.column("_net")
    going = changed.filter(pc.less(net, 0))
    rows = [
        row
        for count, places in zip(going.column("_net").to_pylist(), going.column("_rows").to_pylist(), strict=True)
        for row in [place for place in places if place is not None][:-count]
    ]
    coming = changed.filter(pc.greater(net, 0))
    times = coming.column("_net").to_numpy()
    if coming.num_rows and times.max() > 1:
        coming = coming.take(pa.array(np.repeat(np.arange(len(times)), times)))
    return pa.array(rows, pa.int64()), coming.drop_columns(list(BOOKKEEPING))


def candidates(model: Model, changed: pa.Table, touched: pa.Table) -> Iterator[Candidate]:
    """What the changed rows of a segment or trigger mean, oldest event first."""
    committed = dict(zip(*(touched.column(name).to_pylist() for name in TOUCHED_ROWS.names), strict=True))
    before: dict[Any, Row] = {}
    after: dict[Any, Row] = {}
    trigger = model.kind == "trigger"
    for row in changed.to_pylist():
        side = before if row["_net"] < 0 else after
        values = {name: value for name, value in row.items() if name not in BOOKKEEPING}
        side[(row["profile_id"], row["event_id"]) if trigger else row["profile_id"]] = values
    if trigger:
        for row in sorted((row for key, row in after.items() if key not in before), key=lambda row: row["event_at"]):
            profile_id = row["profile_id"]
            yield TriggerFired(
                model.name, profile_id, str(row["event_id"]), row["event_at"], row, committed[profile_id]
            )
        return
    for profile_id in sorted(before.keys() | after.keys()):
        was, is_now = before.get(profile_id), after.get(profile_id)
        kind: Membership = "entered" if was is None else "exited" if is_now is None else "updated"
        yield SegmentChange(model.name, profile_id, kind, was, is_now, committed[profile_id])
