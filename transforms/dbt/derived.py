"""Due times of all models of a project, or the refusal of one whose rows change with the clock in no way that shows."""

from __future__ import annotations

import re
from collections.abc import Iterable

import duckdb

from ringup.errors import ProjectError
from transforms.dbt.declared import Place
from transforms.dbt.due import Underivable, due_queries, due_sql
from transforms.dbt.nodes import CLOCK, Column, Model


def derived(con: duckdb.DuckDBPyConnection, model: Model, place: Place, views: Iterable[Model]) -> tuple[str, ...]:
    """The queries for a model's due times, with those of the views that it reads. Raises ProjectError with a mend."""
    below = dict.fromkeys(query for view in views for query in view.dues)
    if '"ringup"."clock"' not in model.sql:
        return tuple(below)

    def binds(query: str) -> bool:
        try:
            con.sql(query)
        except duckdb.Error:
            return False
        return True

    try:
        return (*below, *due_queries(model.sql, binds))
    except Underivable as found:
        raise ProjectError(
            f"when {model.name} changes with time does not follow from `{found.construct}`: {found.why}",
            where=_where(place, found.number),
            mend="Compare as_of() with a time, as in `sold_at < {{ as_of() }} - interval 30 days`; or say how often to "
            "look: `{{ config(meta={'sweep': '1 minute'}) }}`.",
        ) from None


def _where(place: Place, number: int) -> str:
    """The line of that use of `as_of`, counted from the top of the file."""
    text = (place.folder / place.file).read_text(encoding="utf-8")
    uses = [match.start() for match in re.finditer(r"\bas_of\s*\(", text)]
    if number >= len(uses):
        return str(place.within("as_of"))
    return f"{place.path}:{text.count(chr(10), 0, uses[number]) + 1}: as_of"


def timer_of(models: Iterable[Model]) -> Model | None:
    """The table of who is due next and when, over all models that are kept; None where the clock is not read."""
    kept = [model for model in models if model.materialized == "table" and model.dues]
    if not kept:
        return None
    return Model(
        name="due",
        schema="ringup",
        sql=due_sql(dict.fromkeys(query for model in kept for query in model.dues)),
        materialized="table",
        kind="mart",
        depends_on=tuple(dict.fromkeys(name for model in kept for name in model.depends_on)),
        sweep=None,
        clocks=frozenset({CLOCK}.union(*(model.clocks for model in kept))),
        path=kept[0].path,
        columns=(Column("profile_id", "BIGINT"), Column("due_at", "TIMESTAMP WITH TIME ZONE")),
    )
