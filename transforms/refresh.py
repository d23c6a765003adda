"""Models kept up to date: only the touched profiles' rows are computed, compared with what is kept, and changed.

The comparison is a net count of equal rows, so it is right for any grain; what is equal is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transforms.changes import Candidate, Membership, Row, SegmentChange, TriggerFired
from transforms.mirror import Applied
from transforms.project import Model, Project
from transforms.scope import TOUCHED, kept_name
from transforms.warehouse import Inbox, Warehouse, quoted

BOOKKEEPING = ("_net", "_rows")


@dataclass(frozen=True, slots=True)
class _Plan:
    """A model with what evaluating it needs."""

    model: Model
    sources: frozenset[str]
    compare: str
    remove: str
    add: str
    inbox: Inbox


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

    def __init__(self, warehouse: Warehouse, project: Project, everyone_sql: str, asked: frozenset[str]) -> None:
        """`asked` names the models whose changes are wanted as candidates; others are only kept."""
        self._warehouse = warehouse
        self._everyone = everyone_sql
        self._asked = asked
        self._plans = tuple(self._plan(project))
        self.sweeps = {p.model.name: p.model.sweep for p in self._plans if p.model.sweep is not None}

    def _plan(self, project: Project) -> Iterator[_Plan]:
        closure: dict[str, frozenset[str]] = {table.relation: frozenset({table.relation}) for table in project.tables}
        for model in project.models:
            below = frozenset[str]().union(*(closure.get(name, frozenset()) for name in model.depends_on))
            if model.uses_clock:
                below |= {"ringup.clock"}
            closure[f"{model.schema}.{model.name}"] = below
            if model.materialized == "view":
                continue
            yield self._planned(model, below)

    def _planned(self, model: Model, below: frozenset[str]) -> _Plan:
        kept, arriving = kept_name(model), quoted(f"changed {model.schema}.{model.name}")
        columns = self._warehouse.columns(kept)
        names = ", ".join(quoted(name) for name in columns)
        compare = compare_sql(kept, model.sql, columns)
        inbox = Inbox(self._warehouse.arrow(f"from ({compare}) limit 0").schema)
        self._warehouse.con.register(arriving.strip('"'), inbox)
        return _Plan(
            model,
            below,
            compare,
            f"delete from {kept} where rowid in (select unnest(_rows[1:-_net]) from {arriving} where _net < 0)",
            f"insert into {kept} select {names} from (select *, unnest(range(_net)) from {arriving} where _net > 0)",
            inbox,
        )

    def batch(self, applied: Applied) -> list[Candidate]:
        """Bring the models to the state of the mirror after a batch; returns what changed."""
        if applied.everyone:
            self._touch_everyone()
        elif not applied.rows:
            return []
        return self._evaluate(applied.tables)

    def sweep(self, now: datetime) -> list[Candidate]:
        """Move the clock to `now` and evaluate the models that read it, and what reads those, for everyone."""
        self._warehouse.con.execute("update live.ringup.clock set as_of = ?", [now])
        self._touch_everyone(now)
        return self._evaluate(frozenset({"ringup.clock"}))

    def everything(self) -> None:
        """Evaluate every model for everyone; nothing fires from it."""
        self._touch_everyone()
        for plan in self._plans:
            self._change(plan, ask=False)

    def _touch_everyone(self, now: datetime | None = None) -> None:
        kept = " union ".join(f"select profile_id from {kept_name(plan.model)}" for plan in self._plans)
        known = "select profile_id from temp.main.touched"
        con = self._warehouse.con
        self._warehouse.expect(con.execute(f"select count(*) from ({self._everyone})").fetchall()[0][0])
        con.execute(
            "create or replace temp table everyone as select profile_id from "
            f"({self._everyone} union {kept} union {known}) where profile_id is not null"
        )
        con.execute("truncate temp.main.touched")
        con.execute(
            "insert into touched select profile_id, ?::timestamptz from everyone",
            [now or datetime.now(UTC)],
        )

    def _evaluate(self, sources: frozenset[str]) -> list[Candidate]:
        found: list[Candidate] = []
        for plan in self._plans:
            if plan.sources & sources:
                found.extend(self._change(plan, ask=plan.model.name in self._asked))
        return found

    def _change(self, plan: _Plan, *, ask: bool) -> Iterable[Candidate]:
        changed = self._warehouse.arrow(plan.compare)
        if not changed.num_rows:
            return ()
        plan.inbox.table = changed
        if pc.min(changed["_net"]).as_py() < 0:
            self._warehouse.changed(plan.remove)
        self._warehouse.changed(plan.add)
        if not ask:
            return ()
        touched = self._warehouse.con.execute("select profile_id, committed_at from temp.main.touched").fetchall()
        return candidates(plan.model, changed, dict(touched))


def candidates(model: Model, changed: pa.Table, committed: Mapping[int, datetime]) -> Iterator[Candidate]:
    """What the changed rows of a segment or trigger mean, oldest event first; `committed` is by profile."""
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
