"""What the state holds whole: a table or a column that is declared later lacks what the source had of it before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from ringup.errors import WarehouseError
from transforms.project import Table
from transforms.warehouse import Warehouse

_FACT = "whole "


def lacking(warehouse: Warehouse, tables: Sequence[Table]) -> list[Table]:
    """The tables of which the state lacks rows or columns that the source had before they were declared.

    What is not declared any more is forgotten: it will lack what comes meanwhile. Raises WarehouseError for a table
    whose key is another one now.
    """
    known = _known(warehouse)
    declared = {table.relation: table for table in tables}
    found = []
    for table in tables:
        said = known.get(table.relation)
        if said is not None and said["key"] != list(table.key):
            raise WarehouseError(
                f"the rows of {table.relation} are told apart by {', '.join(said['key'])}, "
                f"and the key is declared as {', '.join(table.key)}",
                where=table.path,
                mend="Declare the key it had, or move the state folder away: the next run builds it again.",
            )
        names = {column.name for column in table.columns}
        if said is None or not names.issubset(said["columns"]):
            found.append(table)
        else:
            _note(warehouse, table)
    for relation in known.keys() - declared.keys():
        warehouse.forget(_FACT + relation)
    return found


def note_whole(warehouse: Warehouse, tables: Iterable[Table]) -> None:
    """Note that the state holds all of these tables, as they are declared now."""
    for table in tables:
        _note(warehouse, table)


def _known(warehouse: Warehouse) -> dict[str, dict[str, list[str]]]:
    rows = warehouse.con.execute("select name, value from live.ringup.facts where starts_with(name, ?)", [_FACT])
    return {name.removeprefix(_FACT): json.loads(value) for name, value in rows.fetchall()}


def _note(warehouse: Warehouse, table: Table) -> None:
    said = {"key": list(table.key), "columns": sorted(column.name for column in table.columns)}
    warehouse.remember(_FACT + table.relation, json.dumps(said))
