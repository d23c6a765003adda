"""What a continuous model may say: a profile's rows come from that profile's rows, and from what is the same for all.

A model that is kept up to date is computed over views that show the touched profiles' rows only. That gives the rows
which it has over everybody's only where its SQL never brings the rows of two profiles together. Whatever is not known
to keep them apart is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import sqlglot
from sqlglot import exp

from ringup.errors import ProjectError
from transforms.dbt.declared import Place
from transforms.dbt.nodes import CLOCK, SWEPT, Model, Table
from transforms.dbt.owned import PROFILE, NotLocalError, Out, Relation
from transforms.dbt.selects import Reader

EPHEMERAL = "__dbt__cte__"
"""How dbt names an ephemeral model where it writes it into another one."""

MEND = "Write what `dbt compile` shows in a simpler way, or leave it to a scheduled model, and `ref()` that."


def check_locality(folder: Path, tables: Iterable[Table], models: Iterable[Model]) -> None:
    """Refuse the first model that is kept and whose rows may depend on other profiles' rows.

    Models come after what they read, with their columns. Raises ProjectError with file, line and mend.
    """
    clock = Relation(False, (Out("as_of"),))
    known: dict[str, Relation | ProjectError] = {CLOCK: clock, SWEPT: clock}
    known |= {table.relation.lower(): source_relation(table) for table in tables}
    for model in models:
        if model.scheduled:
            known[model.relation.lower()] = published_relation(model)
            continue
        try:
            made = relation_of(model, known)
            if model.materialized == "table":
                made = _kept(model, made)
        except NotLocalError as error:
            refused = _explained(folder, model, error)
            if model.materialized == "table":
                raise refused from None
            known[model.relation.lower()] = refused  # for whoever reads it
        except ProjectError as error:
            if model.materialized == "table":
                raise
            known[model.relation.lower()] = error
        else:
            known[model.relation.lower()] = made


def relation_of(model: Model, known: dict[str, Relation | ProjectError]) -> Relation:
    """What a model's SQL gives, by what is known of the relations that it reads."""

    def relation(node: exp.Table) -> Relation:
        found = known.get(f"{node.db}.{node.name}".lower())
        if isinstance(found, ProjectError):
            raise found
        if found is None:
            how = f"reads `{node.sql('duckdb')}`, which is neither declared nor kept"
            raise NotLocalError(node, how, "Read it with `source()` or `ref()`.")
        return found

    try:
        statements = sqlglot.parse(model.sql, read="duckdb")
    except sqlglot.errors.SqlglotError as error:
        first = (getattr(error, "errors", None) or [{}])[0]
        where = exp.Identifier(this=first.get("highlight", ""))
        where.meta["line"] = first.get("line", 1)
        raise NotLocalError(where, "says something that ringup cannot read", MEND) from None
    if len(statements) != 1 or statements[0] is None:
        raise NotLocalError(None, "is not one `select`", MEND)
    made = Reader(relation).query(statements[0], None, {})
    names = [column.name.lower() for column in model.columns]
    told = zip(made.columns, names, strict=False)
    if any(column.name not in (None, name) for column, name in told) or (
        not made.open and len(made.columns) != len(names)
    ):
        raise NotLocalError(statements[0], "has columns that ringup cannot follow", "Name each column in its select.")
    columns = tuple(Out(name, column.tags) for name, column in zip(names, made.columns, strict=False))
    columns += tuple(map(Out, names[len(columns) :]))
    return Relation(made.local, columns, made.covers)


def source_relation(table: Table) -> Relation:
    """A source table: a row belongs to its profile, to the row whose key it has, and to the row that it leads to."""
    if not table.of_customers:
        return Relation(False, tuple(Out(column.name.lower()) for column in table.columns))
    tags: dict[str, set[str]] = {column.name.lower(): set() for column in table.columns}
    tags[PROFILE] = {PROFILE}
    if len(table.key) == 1:
        tags[table.key[0].lower()].add(table.relation)
    if table.profile is not None:
        tags[table.profile.lower()].add(PROFILE)
    if table.via is not None:
        tags[table.via[0].lower()].add(f"{table.source}.{table.via[1]}")
    columns = tuple(Out(name, frozenset(told)) for name, told in tags.items())
    return Relation(True, columns, frozenset(frozenset({n}) for n, column in enumerate(columns) if column.tags))


def published_relation(model: Model) -> Relation:
    """A scheduled model: its rows are their profiles', or the same for all."""
    names = [column.name.lower() for column in model.columns]
    columns = tuple(Out(name, frozenset({PROFILE}) if name == PROFILE else frozenset()) for name in names)
    if not model.of_customers:
        return Relation(False, columns)
    return Relation(True, columns, frozenset({frozenset({names.index(PROFILE)})}))


def _kept(model: Model, made: Relation) -> Relation:
    """A model's rows as they are kept: by their profile_id, and those without it not at all."""
    place = made.place(PROFILE)
    if not made.local:
        raise NotLocalError(
            None,
            "has the same rows for all customers, so nothing says whose they are",
            "Begin with a table that has an identity and take profile_id from there; declare `identity` for the table "
            "that names the customer, if it has none.",
        )
    if place is None or PROFILE not in made.columns[place].tags:
        raise NotLocalError(
            None,
            "has a profile_id that may be another one than that of the rows which it is computed from",
            "Take profile_id as it stands in a table with an identity, without a change.",
        )
    if frozenset({place}) in made.covers:
        return made
    columns = (Out(c.name, frozenset({PROFILE}) if n == place else frozenset()) for n, c in enumerate(made.columns))
    return Relation(True, tuple(columns), frozenset({frozenset({place})}))


def _explained(folder: Path, model: Model, error: NotLocalError) -> ProjectError:
    file = model.path.removeprefix(f"{folder.resolve().name}/")
    name, above = model.name, error.node.find_ancestor(exp.CTE) if error.node is not None else None
    while above is not None and not above.alias.startswith(EPHEMERAL):
        above = above.find_ancestor(exp.CTE)
    if above is not None:
        name = above.alias.removeprefix(EPHEMERAL)
        found = next(iter(sorted(folder.rglob(f"{name}.sql"))), None)
        file = found.relative_to(folder).as_posix() if found is not None else file
    place = Place(folder, file)
    number = _line(place, model.sql, error.node)
    return ProjectError(
        f"model {name} {error.message}", where=f"{place}:{number}" if number else str(place), mend=error.mend
    )


def _line(place: Place, sql: str, node: exp.Expr | None) -> int | None:
    """The line of the file for that of the compiled SQL: the same words, or as far from the last line that is there."""
    if node is None:
        return None
    lines = [part.meta["line"] for part in node.walk() if "line" in part.meta]
    compiled = [line.strip() for line in sql.splitlines()]
    try:
        written = [line.strip() for line in (place.folder / place.file).read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    last = min(lines, default=1) - 1
    for back in range(last + 1):
        text = compiled[last - back]
        if text in written and re.search(r"\w", text):
            times = compiled[: last - back].count(text)
            places = [n for n, line in enumerate(written, 1) if line == text]
            return min(places[min(times, len(places) - 1)] + back, len(written))
    first = re.search(r"\w+", node.sql("duckdb"))
    word = re.compile(rf"\b{first[0]}\b", re.IGNORECASE) if first else None
    return next((n for n, line in enumerate(written, 1) if word is not None and word.search(line)), None)
