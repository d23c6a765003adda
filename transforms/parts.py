"""Where a source table's rows are kept: a part clustered by profile, and what came since."""

from __future__ import annotations

import duckdb

from ringup.errors import WarehouseError
from transforms.project import Table
from transforms.warehouse import Warehouse, quoted


def base_name(table: Table) -> str:
    """The clustered part of a mirror table."""
    return quoted("live", table.source, table.name)


def tail_name(table: Table) -> str:
    """What came since the base was clustered."""
    return quoted("live", table.source, f"{table.name} tail")


def parts_of(table: Table) -> tuple[str, str]:
    """Both."""
    return base_name(table), tail_name(table)


def rows_sql(table: Table, condition: str = "true") -> str:
    """The rows of both for which `condition` holds, as the models see them."""
    names = [column.name for column in table.columns] + (["profile_id"] if table.of_customers else [])
    columns = ", ".join(quoted(name) for name in names)
    return " union all ".join(
        f"select {columns} from {part} where not _deleted and {condition}" for part in parts_of(table)
    )


def create_parts(warehouse: Warehouse, table: Table) -> None:
    """Make both where they are not there yet, and add the columns that are declared since.

    Raises WarehouseError for a column that is kept as another type than the declared one.
    """
    declared = {column.name: column.data_type for column in table.columns} | {
        "profile_id": "bigint",
        "_position": "bigint",
        "_deleted": "boolean",
    }
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in declared.items())
    warehouse.con.execute(f"create schema if not exists {quoted('live', table.source)}")
    for name in parts_of(table):
        warehouse.con.execute(f"create table if not exists {name} ({columns})")
        stored = warehouse.columns(name)
        spelt = {column.lower(): column for column in stored}
        for column, kind in declared.items():
            if (known := spelt.get(column.lower(), column)) != column:
                raise WarehouseError(
                    f"column {column} of {table.relation} is kept as {known}",
                    where=table.path,
                    mend=f"Declare it as {known}, or move the state folder away: the next run builds it again.",
                )
            if column not in stored:
                warehouse.con.execute(f"alter table {name} add column {quoted(column)} {kind}")
            elif stored[column] != str(duckdb.sqltype(kind)):
                raise WarehouseError(
                    f"column {column} of {table.relation} is kept as {stored[column]}, and declared as {kind}",
                    where=table.path,
                    mend="Declare the type it had, or move the state folder away: the next run builds it again.",
                )
