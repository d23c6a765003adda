"""The catalogs in which a model's compiled SQL runs as it stands.

`scope` shows the touched profiles' rows of every source table and of every model that is kept; `whole` shows all rows
of the source tables and computes every model from them. The filter stands at the leaf, below every aggregate and
window: above them DuckDB would not push it down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import duckdb

from ringup.errors import ProjectError
from transforms.inbox import Inbox
from transforms.parts import rows_sql
from transforms.project import CLOCK, SWEPT, Model, Project, Table
from transforms.stage import TOUCHED_ROWS
from transforms.warehouse import Warehouse, quoted

SCOPE = '"scope".'
WHOLE = '"whole".'
TOUCHED = "profile_id in (select profile_id from temp.main.touched)"


def kept_name(model: Model) -> str:
    """The table in which a model's rows are kept."""
    return quoted("live", model.schema, model.name)


def whole_sql(model: Model) -> str:
    """The model's SQL over all rows, every model below it computed rather than read."""
    return model.sql.replace(SCOPE, WHOLE)


def adopted_fact(model: Model) -> str:
    """The name of the fact that says which published version of a scheduled model is in its table."""
    return f"published {model.relation}"


def built_fact(model: Model) -> str:
    """The name of the fact that says what a kept table was built of."""
    return f"model {model.relation}"


def built_of(model: Model, columns: Mapping[str, str], views: Iterable[Model]) -> str:
    """What that fact says: the model's SQL, that of the views below it (of `views`, in order), and the columns.

    A kept table that was built of anything else is not this model's any more.
    """
    below, parts = set(model.depends_on), [model.sql]
    for view in reversed(tuple(views)):
        if view.relation in below:
            below.update(view.depends_on)
            parts.append(view.sql)
    return "\n".join([*reversed(parts), str(dict(columns))])


def views_of(project: Project) -> tuple[Model, ...]:
    """The models that are not kept, each after what it reads."""
    return tuple(model for model in project.models if model.materialized == "view")


def show_whole(con: duckdb.DuckDBPyConnection, project: Project) -> None:
    """Build the catalog `whole`. The state itself does not change, and may be open for reading only."""
    _attach(con, "whole")
    for table in project.tables:
        _show_table(con, "whole", table)
    for model in project.computed:
        with _explained(model):
            con.execute(f"create schema if not exists {quoted('whole', model.schema)}")
            rows = f"from {kept_name(model)}" if model.scheduled else whole_sql(model)
            con.execute(f"create view {quoted('whole', model.schema, model.name)} as {rows}")


class Scope:
    """Builds both catalogs and the tables in which the models are kept."""

    def __init__(self, warehouse: Warehouse, project: Project) -> None:
        self._con = warehouse.con
        self._warehouse = warehouse
        self.touched = Inbox(TOUCHED_ROWS)
        self._con.register("touched", self.touched)
        self._facts: dict[str, str] = {}
        self._views = views_of(project)
        made = [model for model in project.models if model.scheduled and self._make(model)]
        show_whole(self._con, project)
        _attach(self._con, "scope")
        for table in project.tables:
            _show_table(self._con, "scope", table, TOUCHED if table.of_customers else "true")
        self.rebuilt = (*made, *self._show_models(project.computed))
        kept = [built_fact(model) for model in project.computed if model.materialized != "view"]
        self._con.execute(
            "delete from live.ringup.facts where starts_with(name, 'model ') and not list_contains(?::varchar[], name)",
            [kept],
        )

    def _show_models(self, models: Iterable[Model]) -> Iterable[Model]:
        """Show each model in `scope`; yield those whose kept table had to be made anew."""
        for model in models:
            name = quoted("scope", model.schema, model.name)
            with _explained(model):
                for catalog in ("live", "scope"):
                    self._con.execute(f"create schema if not exists {quoted(catalog, model.schema)}")
                if model.materialized == "view":
                    self._con.execute(f"create view {name} as {model.sql}")
                    continue
                if not model.scheduled and self._make(model):
                    yield model
                mine = f" where {TOUCHED}" if model.of_customers else ""
                self._con.execute(f"create view {name} as select * from {kept_name(model)}{mine}")

    def _make(self, model: Model) -> bool:
        """Make the kept table unless it is there, of the same SQL. Returns whether it was made."""
        columns: Mapping[str, str]
        if model.scheduled:
            columns = {column.name: column.data_type for column in model.columns}
        else:
            columns = self._warehouse.columns(quoted("whole", model.schema, model.name))
        needed = {"trigger": ("profile_id", "event_id", "event_at")}.get(model.kind, ("profile_id",))
        for column in needed if model.of_customers else ():
            if column not in columns:
                raise ProjectError(
                    f"{model.kind} {model.name} has no column {column}",
                    where=model.path,
                    mend=f"Select {', '.join(needed)} in the model's last select.",
                )
        fact, current = built_fact(model), built_of(model, columns, self._views)
        if self._warehouse.fact(fact) == current:
            return False
        with self._warehouse.transaction():
            # An empty table is of no SQL at all, until it is filled: the start may fail, and the SQL be put back.
            self._warehouse.forget(fact)
            self._warehouse.forget(adopted_fact(model))
            self._con.execute(f"create schema if not exists {quoted('live', model.schema)}")
            typed = ", ".join(f"{quoted(column.name)} {column.data_type}" for column in model.columns)
            whole = f"as select * from {quoted('whole', model.schema, model.name)} limit 0"
            rows = f"({typed})" if model.scheduled else whole
            self._con.execute(f"create or replace table {kept_name(model)} {rows}")
        self._facts[fact] = current
        return True

    def note_built(self) -> None:
        """Note what the kept tables are built of, in the transaction that fills them: no empty one is ever believed."""
        for fact, current in self._facts.items():
            self._warehouse.remember(fact, current)
        self._facts.clear()


def _attach(con: duckdb.DuckDBPyConnection, catalog: str) -> None:
    con.execute(f"attach ':memory:' as {catalog}")
    con.execute(f"create schema {catalog}.ringup")
    for clock in (CLOCK, SWEPT):
        con.execute(f"create view {catalog}.{clock} as from live.{clock}")


def _show_table(con: duckdb.DuckDBPyConnection, catalog: str, table: Table, condition: str = "true") -> None:
    con.execute(f"create schema if not exists {quoted(catalog, table.source)}")
    con.execute(f"create view {quoted(catalog, table.source, table.name)} as {rows_sql(table, condition)}")


@contextmanager
def _explained(model: Model) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise ProjectError(
            f"model {model.name} does not run: {error}",
            where=model.path,
            mend="Correct the model; `dbt compile` shows the SQL that was run.",
        ) from error
