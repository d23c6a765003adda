"""A few touched profiles' rows brought near: each relation is read once into memory, and all models are computed there.

`scope` filters the stored tables wherever a model reads one, and DuckDB plans such a statement anew each time, which
takes far longer than a few profiles' rows do. But it keeps the plan of a prepared statement that reads nothing but
Arrow tables. So a small batch fetches the rows of each relation once, and the models run in the catalog `near`, where
Arrow tables have the same names. What is the same for all customers stays near until it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from transforms.held import Held
from transforms.inbox import Inbox, shown
from transforms.project import CLOCK, SWEPT, Model, Project
from transforms.scope import SCOPE
from transforms.warehouse import Warehouse, quoted

NEAR = '"near".'

FEW = 500
"""Profiles up to which bringing their rows near is faster than filtering in place."""


class Near:
    """The catalog `near`. A pass begins with `begin`; then the models are computed in their order."""

    def __init__(self, warehouse: Warehouse, project: Project, touched: Inbox, held: Mapping[str, Held]) -> None:
        self._warehouse, self._con = warehouse, warehouse.con
        self._touched, self._held = touched, held
        self._con.execute("attach ':memory:' as near")
        self._shelves: dict[str, Inbox] = {}
        self._fetch: dict[str, Callable[[], pa.Table]] = {}
        self._compute: dict[str, Callable[[], pa.Table]] = {}
        self._there: set[str] = set()
        self._sources = sources_of(project)
        self._for_all = {CLOCK, SWEPT} | _same_for_all(project)
        self._reads: dict[str, frozenset[str]] = {
            table.relation: frozenset({table.relation}) for table in project.tables
        }
        for clock in (CLOCK, SWEPT):
            self._shelve(clock)
        for table in project.tables:
            self._shelve(table.relation)
        for model in project.computed:
            self._show(model)

    def _show(self, model: Model) -> None:
        """Let the catalog have the model: as a shelf where its rows are brought, else as the view that it is."""
        relation = model.relation
        if model.materialized != "view" or relation in self._for_all:
            self._reads[relation] = frozenset({relation})
            self._shelve(relation)
        else:
            below = frozenset[str]().union(*(self._reads[name] for name in model.depends_on if name in self._reads))
            self._reads[relation] = below | model.clocks
            schema, name = quoted("near", model.schema), quoted("near", model.schema, model.name)
            self._con.execute(f"create schema if not exists {schema}")
            self._con.execute(f"create view {name} as {near_sql(model)}")
        if model.kept:
            self._compute[relation] = self._warehouse.computation(near_sql(model))

    def _shelve(self, relation: str) -> None:
        name = relation.split(".", 1)
        scoped = quoted("scope", *name)
        self._con.execute(f"create schema if not exists {quoted('near', name[0])}")
        kinds = self._warehouse.columns(scoped)
        self._shelves[relation] = shown(self._con, quoted("near", *name), kinds, f"near {relation}")
        self._fetch[relation] = self._warehouse.question(f"from {scoped}")

    def begin(self) -> None:
        """Other profiles are touched now; of what was brought near, only what is the same for all is of use."""
        self._there &= self._for_all

    def forget(self, changed: Iterable[str]) -> None:
        """These source tables, or the clock, changed for everyone: what comes from them is brought near again."""
        changed = set(changed)
        self._there -= {relation for relation in self._there if self._sources[relation] & changed}

    def forget_clock(self, clock: str) -> None:
        """The clock moved; what is the same for all does not read it."""
        self._there.discard(clock)

    def forget_all(self) -> None:
        """Anything may have changed."""
        self._there = set()

    def compute(self, model: Model) -> pa.Table:
        """The model's rows for the touched profiles, from what is near, which has all that it needs."""
        needed = frozenset[str]().union(*(self._reads.get(name, frozenset()) for name in model.depends_on))
        for relation in (needed | model.clocks) - self._there:
            self._bring(relation, self._rows_of(relation))
        names = self._shelves[model.relation].table.column_names  # where two columns have one name, a table has not
        computed = self._compute[model.relation]().rename_columns(names)
        if computed.column("profile_id").null_count:
            computed = computed.filter(pc.is_valid(computed.column("profile_id")))
        self._bring(model.relation, computed)
        return computed

    def _rows_of(self, relation: str) -> pa.Table:
        """The rows of a relation, from memory where they are held there."""
        held = self._held.get(relation)
        rows = held.of(self._touched.table.column("profile_id")) if held is not None else None
        return self._fetch[relation]() if rows is None else rows

    def _bring(self, relation: str, rows: pa.Table) -> None:
        self._shelves[relation].table = rows
        self._there.add(relation)


def near_sql(model: Model) -> str:
    """The model's SQL over the rows that were brought near."""
    return model.sql.replace(SCOPE, NEAR)


def sources_of(project: Project) -> dict[str, frozenset[str]]:
    """The source tables, the scheduled models, and the clocks, that each relation comes from."""
    found = {name: frozenset({name}) for name in (CLOCK, SWEPT, *(table.relation for table in project.tables))}
    for model in project.computed:
        own = [found.get(name, frozenset()) for name in model.depends_on]
        below = frozenset({model.relation}) if model.scheduled else frozenset[str]().union(*own)
        found[model.relation] = below | model.clocks
    return found


def _same_for_all(project: Project) -> set[str]:
    """The tables, and the views over nothing but such tables, whose rows are no customer's."""
    same = {table.relation for table in project.tables if not table.of_customers}
    same |= {model.relation for model in project.models if not model.of_customers}
    for model in project.models:
        if model.materialized == "view" and not model.clocks and same.issuperset(model.depends_on):
            same.add(model.relation)
    return same
