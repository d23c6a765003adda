"""Models tried on empty tables before anything runs: their SQL binds, and gives the columns that they must have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import sqlglot

from ringup.errors import ProjectError
from transforms.dbt.declared import Place
from transforms.dbt.derived import derived
from transforms.dbt.nodes import CLOCK, SWEPT, Column, Model, Table
from transforms.dbt.tables import UNCARRIED
from transforms.warehouse import quoted

PROFILE = {"profile_id": "BIGINT"}
EVENT = {"event_id": "VARCHAR", "event_at": "TIMESTAMP WITH TIME ZONE"}
"""Columns that rows which are kept must have, and those of a trigger besides, with their types."""

TAKEN = {"rowid", "_row", "_rows", "_row_list", "_side", "_side_sum", "_net"}
"""Names that comparing kept rows with computed ones needs."""

CALLED = {"now", "today", "get_current_time", "get_current_timestamp", "transaction_timestamp"}
CALLED |= {"random", "uuid", "uuidv4", "uuidv7", "gen_random_uuid"}
BARE = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
"""What gives another answer in the scheduled run, in a replay or in a proof."""

TEXT = {sqlglot.TokenType.STRING, sqlglot.TokenType.IDENTIFIER}


def tried(folder: Path, tables: Iterable[Table], models: Iterable[Model]) -> Iterator[Model]:
    """The models with their columns. Raises ProjectError for the first that would not run."""
    with duckdb.connect(":memory:") as con:
        con.execute("attach ':memory:' as scope")
        con.execute("set timezone = 'UTC'")
        con.execute("create schema scope.ringup")
        for clock in (CLOCK, SWEPT):
            con.execute(f"create table scope.{clock} (as_of timestamptz)")
        views: dict[str, Model] = {}
        for table in tables:
            columns = [f"{quoted(column.name)} {column.data_type}" for column in table.columns]
            profile = ["profile_id bigint"] if table.of_customers else []
            con.execute(f"create schema if not exists {quoted('scope', table.source)}")
            con.execute(f"create table {quoted('scope', table.source, table.name)} ({', '.join(columns + profile)})")
        for model in models:
            place = Place(folder, model.path.removeprefix(f"{folder.resolve().name}/"))
            name = quoted("scope", model.schema, model.name)
            con.execute(f"create schema if not exists {quoted('scope', model.schema)}")
            if model.scheduled:
                declared = ", ".join(f"{quoted(column.name)} {column.data_type}" for column in model.columns)
                con.execute(f"create table {name} ({declared})")
                _check_columns(model, place)
                yield model
                continue
            _check_clock(model, place)
            try:
                con.execute(f"create view {name} as {model.sql}")
                described = con.execute(f"select column_name, column_type from (describe {name})").fetchall()
            except duckdb.Error as error:
                raise _explained(model, place, str(error)) from None
            known = replace(
                model,
                columns=tuple(Column(*column) for column in described),
                dues=derived(con, model, place, [views[name] for name in model.depends_on if name in views]),
            )
            _check_columns(known, place)
            if known.materialized == "view":
                views[known.relation] = known
            yield known


def _explained(model: Model, place: Place, words: str) -> ProjectError:
    """DuckDB's words; it names the line of the compiled SQL, the file has the same line."""
    message, _, excerpt = words.partition("LINE ")
    line = excerpt.partition("\n")[0].partition(": ")[2].strip().strip(".")
    raw = (place.folder / place.file).read_text(encoding="utf-8").splitlines()
    number = next((n for n, text in enumerate(raw, 1) if line and line in text), None)
    return ProjectError(
        f"model {model.name} does not run: {message.strip()}",
        where=f"{place}:{number}" if number else str(place),
        mend="Correct the model; `dbt compile` shows the SQL that was run.",
    )


def _check_columns(model: Model, place: Place) -> None:
    for name in (column.name.lower() for column in model.columns):
        if name in TAKEN:
            raise ProjectError(
                f"{model.kind} {model.name} has a column {name}, which is a name of ringup's own",
                where=str(place.within(name)),
                mend=f"Give it another name, with `as`; these are taken: {', '.join(sorted(TAKEN))}.",
            )
    has = {column.name: column.data_type for column in model.columns}
    for name, kind in has.items() if model.materialized == "table" else ():
        if kind in UNCARRIED or kind.startswith("UNION"):
            raise ProjectError(
                f"column {name} of {model.kind} {model.name} is a {kind}, whose values ringup cannot compare",
                where=str(place.within(name)),
                mend=f"Select `cast(... as varchar) as {name}`.",
            )
    by_profile = model.kept or model.kind in ("segment", "trigger")
    needed = {**(PROFILE if by_profile else {}), **(EVENT if model.kind == "trigger" else {})}
    for name, data_type in needed.items():
        if name not in has:
            raise ProjectError(
                f"{model.kind} {model.name} has no column {name}",
                where=str(place),
                mend=f"Select {name} in the model's last select.",
            )
        if has[name] != data_type:
            raise ProjectError(
                f"{name} of {model.kind} {model.name} is {has[name]}, not {data_type}",
                where=str(place.within(name)),
                mend=f"Select `cast(... as {data_type.lower()}) as {name}`.",
            )


def _check_clock(model: Model, place: Place) -> None:
    tokens = sqlglot.tokenize(model.sql, read="duckdb")
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        word = token.text.lower()
        called = word in CALLED and after is not None and after.text == "("
        bare = word in BARE and token.token_type not in TEXT
        if called or bare:
            raise ProjectError(
                f"model {model.name} uses {word}, which gives another answer in every run",
                where=str(place.within(token.text)),
                mend="`{{ as_of() }}` is the only clock of a model that is kept up to date; leave chance out of it.",
            )
