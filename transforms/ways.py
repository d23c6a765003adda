"""By way of which tables a row finds its customer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ringup.errors import ProjectError
from transforms.project import Table


def parent_of(table: Table, tables: Mapping[str, Table]) -> Table:
    """The table by way of which this one finds its customer; ProjectError when it is none that can be."""
    assert table.via is not None
    _, name = table.via
    parent = tables.get(f"{table.source}.{name}")
    if parent is None or len(parent.key) != 1:
        raise ProjectError(
            f"{table.relation} finds its customer by way of {name}, which is no table with a key of one column",
            where=table.path,
            mend="Name a table of the same source whose primary key this column holds.",
        )
    return parent


def ordered(tables: Iterable[Table]) -> tuple[Table, ...]:
    """The tables, each after those that its profiles come from."""
    by_name = {table.relation: table for table in tables}

    def rank(table: Table) -> int:
        if table.profile is not None:
            return 0
        return 1 if table.via is None else 1 + rank(parent_of(table, by_name)) + 1

    return tuple(sorted(by_name.values(), key=rank))
