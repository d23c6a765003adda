"""Models kept up to date: only the touched profiles' rows are computed, compared with what is kept, and changed.

The comparison is a net count of equal rows, so it is right for any grain; what is equal is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringup.errors import ProjectError
from transforms.adoption import Adoption
from transforms.candidates import own_columns, told
from transforms.changes import Candidate
from transforms.kept import Kept
from transforms.mirror import Applied, Mirror
from transforms.near import CLOCK, FEW, Near, sources_of
from transforms.project import Model, Project
from transforms.published import Published
from transforms.scope import TOUCHED, Scope, kept_name
from transforms.stage import TOUCHED_ROWS
from transforms.warehouse import Warehouse, quoted


@dataclass(frozen=True, slots=True)
class _Plan:
    """A model with what evaluating it needs. `sources` are the source tables and the clock that it comes from."""

    model: Model
    sources: frozenset[str]
    compare: str
    kept: Kept


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
    ) where profile_id is not null
)
group by {names}
having sum(_side) <> 0
"""


class Refresh:
    """Evaluates the continuous models for the touched profiles."""

    def __init__(
        self, warehouse: Warehouse, project: Project, scope: Scope, mirror: Mirror, asked: frozenset[str]
    ) -> None:
        """`asked` names the models whose changes are wanted as candidates; others are only kept."""
        self._warehouse = warehouse
        self._touched = scope.touched
        self._adoptions = {m.relation: Adoption(warehouse, m) for m in project.models if m.scheduled}
        held = {name: adoption.held for name, adoption in self._adoptions.items() if adoption.held is not None}
        self._near = Near(warehouse, project, scope.touched, {**mirror.held, **held})
        self._everyone = mirror.tagging.everyone_sql()
        self._asked = asked
        self._plans = tuple(self._plan(project))
        self.sweeps = {p.model.name: p.model.sweep for p in self._plans if p.model.sweep is not None}

    def _plan(self, project: Project) -> Iterator[_Plan]:
        sources = sources_of(project)
        for model in project.models:
            if model.kept:
                kept = Kept(self._warehouse, model)
                yield _Plan(model, sources[model.relation], compare_sql(kept.name, model.sql, kept.columns), kept)

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
            self._changed(plan, near=True)

    def sweep(self, now: datetime) -> list[Candidate]:
        """Move the clock to `now` and evaluate the models that read it, and what reads those, for everyone."""
        self._warehouse.con.execute("update live.ringup.clock set as_of = ?", [now])
        self._touch_everyone(now=now)
        return self._evaluate(frozenset({CLOCK}), near=False)

    @property
    def adopts(self) -> bool:
        """Whether there are scheduled models that the live run has to do with."""
        return bool(self._adoptions)

    def adopt(self, published: Published, now: datetime) -> list[Candidate]:
        """Take over what scheduled runs published, and evaluate what reads it; returns what changed.

        The first version of a model, and one of other SQL than the one before, is no news: nothing fires from it.
        `published` is attached already, as `published`.
        """
        found: list[Candidate] = []
        for relation, adoption in self._adoptions.items():
            if (adopted := adoption.adopt(published.models.get(relation), now)) is None:
                continue
            told_of: Iterable[Candidate] = ()
            if adoption.model.of_customers:
                self._touched.table = adopted.touched
                if adoption.model.name in self._asked:
                    told_of = told(adoption.model, adopted.changed, adopted.touched)
            else:
                self._touch_everyone(now=now)
            few = adoption.model.of_customers and adopted.touched.num_rows <= FEW
            evaluated = self._evaluate(frozenset({relation}), near=few)
            if adopted.news:
                found += [*told_of, *evaluated]
        return found

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
            changed, computed = self._changed(plan, near=near)
        except (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError) as error:
            raise ProjectError(
                f"model {plan.model.name} cannot be computed from the rows that came: {error}",
                where=plan.model.path,
                mend="Let its SQL take any value, with try_cast say, and start again: nothing is lost.",
            ) from error
        if not changed.num_rows:
            return ()
        self._check_owners(plan.model, changed)
        if computed is None:
            plan.kept.exchange(*gone_and_new(changed))
        else:
            plan.kept.renew(*renewed(changed, computed))
        return told(plan.model, changed, self._touched.table) if ask else ()

    def _check_owners(self, model: Model, changed: pa.Table) -> None:
        """A row of somebody who was not touched would be kept again with each batch."""
        touched = self._touched.table.column("profile_id")
        known = pc.is_in(changed.column("profile_id"), value_set=touched.combine_chunks())
        if not pc.all(known).as_py():
            stranger = changed.column("profile_id").filter(pc.invert(known))[0].as_py()
            raise ProjectError(
                f"{model.kind} {model.name} gives a row of profile {stranger}, whose rows it was not asked for",
                where=model.path,
                mend="Take profile_id as it stands in a table with an identity; declare `identity` for the table that "
                "names the customer, if it has none.",
            )

    def _changed(self, plan: _Plan, *, near: bool) -> tuple[pa.Table, pa.Table | None]:
        """Rows with their net count; and all computed rows, where they are few and were compared in memory."""
        if not near:
            return self._warehouse.arrow(plan.compare), None
        computed = self._near.compute(plan.model)
        if not plan.kept.comparable:
            return self._warehouse.arrow(plan.compare), None
        return net_changes(plan.kept.of(self._touched.table.column("profile_id")), computed), computed


def net_changes(kept: pa.Table, computed: pa.Table) -> pa.Table:
    """Rows with their net count in `_net`: below 0 kept and not computed, above 0 computed and not kept."""
    names = computed.column_names
    if not kept.num_rows and not computed.num_rows:
        return computed.append_column("_net", pa.nulls(0, pa.int64()))
    sides = (
        rows.append_column("_side", pa.array(np.full(rows.num_rows, side)))
        for rows, side in ((kept.rename_columns(names), -1), (computed, 1))
    )
    grouped = pa.concat_tables(sides).group_by(names, use_threads=False).aggregate([("_side", "sum")])
    changed = grouped.filter(pc.not_equal(grouped.column("_side_sum"), 0))
    return changed.rename_columns([*names, "_net"])


def renewed(changed: pa.Table, computed: pa.Table) -> tuple[pa.Array, pa.Table]:
    """The profiles that lose a row, all of whose rows are written anew; and the rows to be written."""
    losing = pc.unique(changed.filter(pc.less(changed.column("_net"), 0)).column("profile_id"))
    again = computed.filter(pc.is_in(computed.column("profile_id"), value_set=losing))
    others = changed.filter(pc.invert(pc.is_in(changed.column("profile_id"), value_set=losing)))
    return losing, pa.concat_tables([again, coming(others)])


def gone_and_new(changed: pa.Table) -> tuple[pa.Array, pa.Table]:
    """The places of the kept rows that go, and the rows that come, each as often as its net count says."""
    going = changed.filter(pc.less(changed.column("_net"), 0))
    places = [
        place
        for count, found in zip(going.column("_net").to_pylist(), going.column("_rows").to_pylist(), strict=True)
        for place in found[:-count]
    ]
    return pa.array(places, pa.int64()), coming(changed)


def coming(changed: pa.Table) -> pa.Table:
    """The rows that are computed and not kept, each as often as its net count says."""
    rows = changed.filter(pc.greater(changed.column("_net"), 0))
    times = rows.column("_net").to_numpy()
    if rows.num_rows and times.max() > 1:
        rows = rows.take(pa.array(np.repeat(np.arange(len(times)), times)))
    return own_columns(rows)
