"""Stored rows tagged all over again, when the project says otherwise whose they are than it did when they came."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from transforms.decode import literal
from transforms.parts import parts_of
from transforms.project import Table
from transforms.warehouse import Warehouse, quoted
from transforms.ways import ordered, parent_of

FACT = "identity"


def _said_of(tables: Iterable[Table]) -> str:
    """What the project says about whose rows are whose."""
    said = {t.relation: [t.profile, sorted(t.identifiers.items()), t.via] for t in tables if t.of_customers}
    return json.dumps(said, sort_keys=True)


def needs_tags(warehouse: Warehouse, tables: Sequence[Table]) -> bool:
    """Whether the rows that are stored were tagged by other words."""
    return warehouse.fact(FACT) not in (None, _said_of(tables))


def note_tags(warehouse: Warehouse, tables: Sequence[Table]) -> None:
    """Note that the rows, and the models of them, are as the project says."""
    warehouse.remember(FACT, _said_of(tables))


def retag(warehouse: Warehouse, tables: Sequence[Table]) -> None:
    """Find the profile of every stored row anew, in the caller's transaction, as `Tagging` would have."""
    con, by_name = warehouse.con, {table.relation: table for table in tables}
    warehouse.remember(FACT, "")  # until the models of it are there, too, the tags are of nobody's words
    con.execute("delete from live.ringup.identifiers")
    for table in ordered(tables):
        for part in parts_of(table):
            con.execute(
                f"update {part} as m set profile_id = case when _deleted then null else {_profile(table, by_name)} end"
            )
            for kind, column in table.identifiers.items() if table.profile else ():
                value = f"{quoted(column)}::varchar"
                con.execute(
                    f"insert into live.ringup.identifiers select {literal(kind)}, {value}, profile_id from {part} "
                    f"where not _deleted and {value} is not null"
                )


def _profile(table: Table, tables: dict[str, Table]) -> str:
    """Whose a row `m` is, in SQL."""
    if table.profile is not None:
        return f"m.{quoted(table.profile)}"
    found = []
    if table.via is not None:
        parent = parent_of(table, tables)
        rows = " union all ".join(
            f"select profile_id from {part} where not _deleted and {quoted(parent.key[0])} = m.{quoted(table.via[0])}"
            for part in parts_of(parent)
        )
        found.append(f"(select min(profile_id) from ({rows}))")
    for kind, column in table.identifiers.items():
        found.append(
            "(select min(i.profile_id) from live.ringup.identifiers as i "
            f"where i.kind = {literal(kind)} and i.value = m.{quoted(column)}::varchar)"
        )
    return f"coalesce({', '.join(found)})" if found else "null"
