"""Both clocks at one commit: what the live run keeps, copied there and then, against what a scheduled run computed.

`prove` lets the live run's own rows be computed twice. Here the other side is another program's: dbt, on source tables
that were folded from the lake by SQL of their own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import orjson

from connectors.log import flat
from transforms.decode import literal
from transforms.fold_views import rows_sql
from transforms.lake_cut import Cut
from transforms.project import CLOCK, SWEPT, Model, Project
from transforms.prove import ModelProof, compare
from transforms.scope import kept_name
from transforms.warehouse import quoted


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy of what was kept: the commit, its number, and the time that `as_of()` said."""

    batch: int
    as_of: datetime
    cut: Cut


def copy_kept(con: duckdb.DuckDBPyConnection, project: Project, path: Path) -> Copied:
    """Write the rows of all models into a DuckDB file of their own, as they are in one commit."""
    con.execute(f"attach {literal(str(path))} as kept")
    try:
        con.execute("begin")
        try:
            [(batch, positions)] = con.execute(
                "select batch, positions from live.ringup.commits order by batch desc limit 1"
            ).fetchall()
            topics = con.execute("select value from live.ringup.facts where name = 'topics'").fetchall()
            [(as_of,)] = con.execute("select as_of from live.ringup.clock").fetchall()
            for model in (model for model in project.models if model.materialized != "view"):
                con.execute(f"create schema if not exists {quoted('kept', model.schema)}")
                con.execute(f"create table {quoted('kept', model.schema, model.name)} as from {kept_name(model)}")
            con.execute("commit")
        except BaseException:
            con.execute("rollback")
            raise
    finally:
        con.execute("detach kept")
    return Copied(int(batch), as_of, Cut(flat(orjson.loads(positions)), orjson.loads(topics[0][0]) if topics else {}))


def audit(
    computed: Path, kept: Path, project: Project, as_of: datetime, good: Collection[str]
) -> tuple[ModelProof, ...]:
    """Hold the `good` models in the DuckDB file of a scheduled run against those that were copied.

    What reads a scheduled model is not taken from there, for it read what was published now; the live run had what was
    published then. So it is computed here, of that.
    """
    with duckdb.connect(":memory:") as con:
        con.execute("set timezone = 'UTC'")
        con.execute(f"attach {literal(str(computed))} as computed (read_only)")
        con.execute(f"attach {literal(str(kept))} as kept (read_only)")
        _show(con, project, as_of)
        return tuple(
            compare(con, model.name, quoted("kept", model.schema, model.name), _rows_of(con, model))
            for model in project.models
            if model.kept and SWEPT not in model.clocks and model.relation in good
        )


def _show(con: duckdb.DuckDBPyConnection, project: Project, as_of: datetime) -> None:
    """Build the catalog `scope`, in which the models' SQL runs as it stands."""
    con.execute("attach ':memory:' as scope")
    con.execute("create schema scope.ringup")
    for clock in (CLOCK, SWEPT):
        con.execute(f"create table scope.{clock} as select ?::timestamptz as as_of", [as_of])
    for table in project.tables:
        con.execute(f"create schema if not exists {quoted('scope', table.source)}")
        con.execute(f"create view {quoted('scope', table.source, table.name)} as {rows_sql(table, 'computed')}")
    mixed: set[str] = set()
    for model in project.models:
        if model.scheduled or mixed.intersection(model.depends_on):
            mixed.add(model.relation)
        own = model.sql if model.materialized == "view" or model.relation in mixed else None
        stored = f"from {quoted('kept' if model.scheduled else 'computed', model.schema, model.name)}"
        con.execute(f"create schema if not exists {quoted('scope', model.schema)}")
        con.execute(f"create view {quoted('scope', model.schema, model.name)} as {own or stored}")


def _rows_of(con: duckdb.DuckDBPyConnection, model: Model) -> str:
    """The computed rows of customers, with the columns in the order in which they were kept."""
    kept = con.execute(f"select column_name from (describe {quoted('kept', model.schema, model.name)})").fetchall()
    names = ", ".join(quoted(name) for (name,) in kept)
    return f"(select {names} from {quoted('scope', model.schema, model.name)} where profile_id is not null)"
