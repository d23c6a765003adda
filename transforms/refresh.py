"""Models kept up to date: only the touched profiles' rows are computed, compared with what is kept, and changed.

The comparison is a net count of equal rows, so it is right for any grain; what is equal is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ringup.errors import ProjectError
from transforms.adoption import Adoption
from transforms.candidates import told
from transforms.changes import Candidate
from transforms.kept import Kept
from transforms.mirror import Applied, Mirror
from transforms.near import FEW, Near, sources_of
from transforms.net import coming, compare_sql, gone_and_new, net_changes, renewed
from transforms.project import CLOCK, SWEPT, Model, Project
from transforms.published import Published
from transforms.scope import Scope, kept_name
from transforms.stage import TOUCHED_ROWS
from transforms.timers import LONG_AGO, NEVER, Timers, with_due
from transforms.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class _Plan:
    """A model with what evaluating it needs. `sources` are the source tables and the clock that it comes from."""

    model: Model
    sources: frozenset[str]
    compare: str
    kept: Kept


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
        self._timers, self._timer = Timers(warehouse, project), project.timer
        self._every = min((p.model.sweep for p in self._plans if p.model.sweep is not None), default=None)
        self._sweep_at = LONG_AGO if self._every else NEVER
        warehouse.undone.append(self._sweep_anew)
        self._timed = frozenset[str]().union(*(plan.sources for plan in self._plans if CLOCK in plan.sources))

    def _plan(self, project: Project) -> Iterator[_Plan]:
        sources = sources_of(project)
        for model in project.computed:
            if model.kept:
                kept = Kept(self._warehouse, model)
                yield _Plan(model, sources[model.relation], compare_sql(kept.name, model.sql, kept.columns), kept)

    def batch(self, applied: Applied, now: datetime) -> list[Candidate]:
        """Bring the models to the state of the mirror after a batch; returns what changed.

        Where a model that reads the clock is among them the clock is moved to `now` first, and whoever is due by then
        is evaluated, too: no row is ever computed for a time that is over.
        """
        if not applied.everyone and not applied.touched.num_rows:
            return []
        touched, sources = applied.touched, applied.tables
        if sources & self._timed and (due := self._move(now)).num_rows:
            touched, sources = with_due(touched, due), sources | {CLOCK}
        if applied.everyone:
            self._touch_everyone(touched)
            return self._evaluate(sources, near=False)
        return self._of(touched, sources)

    @property
    def upcoming(self) -> datetime:
        """Before this time no row changes but with a batch, or with what scheduled runs publish."""
        return min(self._timers.upcoming, self._sweep_at)

    def due(self, now: datetime) -> list[Candidate]:
        """Move the clock to `now` and evaluate those who are due by then, or everyone when the models say so."""
        due = self._move(now)
        if now >= self._sweep_at:
            return self._sweep(due, now)
        return self._of(due, frozenset({CLOCK})) if due.num_rows else []

    def _of(self, touched: pa.Table, sources: frozenset[str]) -> list[Candidate]:
        self._touched.table = touched
        return self._evaluate(sources, near=touched.num_rows <= FEW)

    def _move(self, now: datetime) -> pa.Table:
        due = self._timers.move(now)
        self._near.forget_clock(CLOCK)
        return due

    def warm(self) -> None:
        """Do all that an evaluation does, for nobody: the first of its kind takes half a second."""
        self._touched.table = TOUCHED_ROWS.empty_table()
        self._near.begin()
        for plan in self._plans:
            self._changed(plan, near=True)

    def _sweep(self, due: pa.Table, now: datetime) -> list[Candidate]:
        """Move the clock of the models that say `sweep` and evaluate them, and what reads them, for everyone."""
        self._set(SWEPT, now)
        self._touch_everyone(due, now=now)
        return self._evaluate(frozenset({CLOCK, SWEPT}), near=False)

    def _sweep_anew(self) -> None:
        """The last one may be undone."""
        self._sweep_at = LONG_AGO if self._every else NEVER

    def _set(self, clock: str, now: datetime) -> None:
        self._warehouse.con.execute(f"update live.{clock} set as_of = ?", [now])
        if clock == SWEPT and self._every:
            self._sweep_at = now + self._every

    def begin(self, now: datetime) -> None:
        """Set both clocks and evaluate everything."""
        for clock in (CLOCK, SWEPT):
            self._set(clock, now)
        self.everything()

    @property
    def adopts(self) -> bool:
        """Whether there are scheduled models that the live run has to do with."""
        return bool(self._adoptions)

    def adopt(self, published: Published, now: datetime) -> list[Candidate]:
        """Take over what scheduled runs published, and evaluate what reads it; returns what changed.

        The first version of a model, and one of other SQL than the one before, is no news: nothing fires from it.
        Who is due by `now` is evaluated first, so no row is computed for a time that is over. `published` is attached
        already, as `published`.
        """
        found = self.due(now)
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
        self._timers.forget()
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
        if plan.model is self._timer:
            self._timers.noted(coming(changed))
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
