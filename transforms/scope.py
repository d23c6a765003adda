"""The catalogs in which a model's compiled SQL runs as it stands.

`scope` shows the touched profiles' rows of every source table and of every model that is kept; `whole` shows all rows
of the source tables and computes every model from them. The filter stands at the leaf, below every aggregate and
window: above them DuckDB would not push it down.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from ringup.errors import ProjectError
from transforms.names import base_name, tail_name
from transforms.project import Model, Project, Table
from transforms.stage import TOUCHED_ROWS
from transforms.warehouse import Inbox, Warehouse, quoted

SCOPE = '"scope".'
WHOLE = '"whole".'
TOUCHED = "profile_id in (select profile_id from temp.main.touched)"


def kept_name(model: Model) -> str:
    """The table in which a model's rows are kept."""
    return quoted("live", model.schema, model.name)


def whole_sql(model: Model) -> str:
    """The model's SQL over all rows, every model below it computed rather than read."""
    return model.sql.replace(SCOPE, WHOLE)


class Scope:
    """Builds both catalogs and the tables in which the models are kept."""

    def __init__(self, warehouse: Warehouse, project: Project) -> None:
        self._con = warehouse.con
        self._warehouse = warehouse
        self.touched = Inbox(TOUCHED_ROWS)
        self._con.register("touched", self.touched)
        for catalog in ("scope", "whole"):
            self._con.execute(f"attach ':memory:' as {catalog}")
            self._con.execute(f"create schema {catalog}.ringup")
            self._con.execute(f"create view {catalog}.ringup.clock as from live.ringup.clock")
        for table in project.tables:
            self._show_table(table)
        self.rebuilt = tuple(self._show_models(project.models))

    def _show_table(self, table: Table) -> None:
        customer = table.of_customers
        columns = ", ".join(
            quoted(name) for name in [c.name for c in table.columns] + (["profile_id"] if customer else [])
        )

        def rows(extra: str) -> str:
            parts = (base_name(table), tail_name(table))
            return " union all ".join(f"select {columns} from {part} where not _deleted{extra}" for part in parts)

        for catalog, extra in (("scope", f" and {TOUCHED}" if customer else ""), ("whole", "")):
            self._con.execute(f"create schema if not exists {quoted(catalog, table.source)}")
            self._con.execute(f"create view {quoted(catalog, table.source, table.name)} as {rows(extra)}")

    def _show_models(self, models: Iterable[Model]) -> Iterable[Model]:
        """Show each model in both catalogs; yield those whose kept table had to be made anew."""
        for model in models:
            name = (model.schema, model.name)
            try:
                for catalog in ("live", "scope", "whole"):
                    self._con.execute(f"create schema if not exists {quoted(catalog, model.schema)}")
                self._con.execute(f"create view {quoted('whole', *name)} as {whole_sql(model)}")
                if model.materialized == "view":
                    self._con.execute(f"create view {quoted('scope', *name)} as {model.sql}")
                    continue
                if self._make(model):
                    yield model
                self._con.execute(
                    f"create view {quoted('scope', *name)} as select * from {kept_name(model)} where {TOUCHED}"
                )
            except duckdb.Error as error:
                raise ProjectError(
                    f"model {model.name} does not run: {error}",
                    where=model.path,
                    mend="Correct the model; `dbt compile` shows the SQL that was run.",
                ) from error

    def _make(self, model: Model) -> bool:
        """Make the kept table unless it is there, of the same SQL. Returns whether it was made."""
        fact = f"model {model.schema}.{model.name}"
        columns = self._warehouse.columns(quoted("whole", model.schema, model.name))
        needed = {"trigger": ("profile_id", "event_id", "event_at")}.get(model.kind, ("profile_id",))
        for column in needed:
            if column not in columns:
                raise ProjectError(
                    f"{model.kind} {model.name} has no column {column}",
                    where=model.path,
                    mend=f"Select {', '.join(needed)} in the model's last select.",
                )
        current = f"{model.sql}\n{dict(columns)}"
        if self._warehouse.fact(fact) == current:
            return False
        self._con.execute(
            f"create or replace table {kept_name(model)} as "
            f"select * from {quoted('whole', model.schema, model.name)} limit 0"
        )
        self._warehouse.remember(fact, current)
        return True
