"""Whose the folded rows are, found for all of them at once.

The rules are those of `transforms/identity.py`: a profile is a row of the table that declares it; what identifies it
leads to it, and to the lowest `profile_id` where several claim it; other rows carry an identifier or point to a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transforms.decode import literal
from transforms.project import Table
from transforms.warehouse import quoted
from transforms.ways import parent_of

SCHEMA = "ringup_lake"
"""Where a file has what was folded into it. A name that no file has: DuckDB takes a file's name for a schema's."""


def folded_name(table: Table) -> str:
    """The table that holds a source table's rows, the deleted ones among them."""
    return quoted(SCHEMA, table.relation)


def owners_sql(tables: Sequence[Table]) -> str:
    """The identifiers, each with its profile."""
    claims = [
        f"select {literal(kind)} as kind, {quoted(column)}::varchar as value, {quoted(table.profile)} as profile_id "
        f"from {folded_name(table)} where not _deleted"
        for table in tables
        if table.profile is not None
        for kind, column in table.identifiers.items()
    ] or ["select null::varchar as kind, null::varchar as value, null::bigint as profile_id"]
    return (
        f"create or replace table {SCHEMA}.owners as select kind, value, min(profile_id)::bigint as profile_id "
        f"from ({' union all '.join(claims)}) where value is not null group by kind, value"
    )


def tag_sql(table: Table, tables: Sequence[Table]) -> str:
    """Give the rows of a table their profile, where it is another than they have."""
    found, joins = _ways(table, {other.relation: other for other in tables})
    name = folded_name(table)
    return (
        f"update {name} as m set profile_id = t.profile_id from ("
        f"select m.rowid as place, coalesce({', '.join(found)}) as profile_id from {name} m {' '.join(joins)} "
        "where not m._deleted) t where m.rowid = t.place and m.profile_id is distinct from t.profile_id"
    )


def _ways(table: Table, tables: Mapping[str, Table]) -> tuple[list[str], list[str]]:
    """What the profile is the first of, and the joins for it."""
    if table.profile is not None:
        return [f"m.{quoted(table.profile)}::bigint"], []
    if table.via is not None:
        parent = parent_of(table, tables)
        same = f"p.{quoted(parent.key[0])} = m.{quoted(table.via[0])}"
        return ["p.profile_id"], [f"left join {folded_name(parent)} p on {same} and not p._deleted"]
    names = {kind: quoted(f"of {kind}") for kind in table.identifiers}
    return (
        [f"{name}.profile_id" for name in names.values()],
        [
            f"left join {SCHEMA}.owners {names[kind]} on {names[kind]}.kind = {literal(kind)} "
            f"and {names[kind]}.value = m.{quoted(column)}::varchar"
            for kind, column in table.identifiers.items()
        ],
    )
