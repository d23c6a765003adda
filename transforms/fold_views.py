"""The folded rows under the names that models read: `pos.bills`, `crm.members`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb

from transforms.fold_tags import folded_name
from transforms.project import Table
from transforms.warehouse import quoted


def show(con: duckdb.DuckDBPyConnection, tables: Sequence[Table], sample: float = 1) -> Iterator[str]:
    """Make the views; names those that the file has as tables with rows of its own, which are left as they are.

    `sample` is the share of customers that are seen; what is the same for all is seen whole.
    """
    [(catalog,)] = con.execute("select current_database()").fetchall()
    for table in tables:
        name = quoted(catalog, table.source, table.name)  # a file may have the name of a source
        con.execute(f"create schema if not exists {quoted(catalog, table.source)}")
        if _is_table(con, table):
            if con.execute(f"select count(*) from {name}").fetchall() != [(0,)]:
                yield table.relation
                continue
            con.execute(f"drop table {name}")
        con.execute(
            f"create or replace view {name} as {rows_sql(table)}{_in_sample(sample) if table.of_customers else ''}"
        )


def rows_sql(table: Table, catalog: str | None = None) -> str:
    """A source table's rows, as models see them; `catalog` is the file's, if that is attached."""
    columns = ", ".join([*(quoted(column.name) for column in table.columns), "profile_id"])
    place = f"{quoted(catalog)}." if catalog else ""
    return f"select {columns} from {place}{folded_name(table)} where not _deleted"


def _is_table(con: duckdb.DuckDBPyConnection, table: Table) -> bool:
    found = con.execute(
        "select count(*) from duckdb_tables() where database_name = current_database() "
        "and schema_name = ? and table_name = ?",
        [table.source, table.name],
    ).fetchall()
    return found != [(0,)]


def _in_sample(sample: float) -> str:
    return "" if sample >= 1 else f" and hash(profile_id) <= {int(sample * (2**64 - 1))}::ubigint"
