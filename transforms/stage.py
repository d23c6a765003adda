"""What a batch brings to one source table, on its way into the mirror: an Arrow table that SQL sees as a view.

The rows are values: each step makes a new table of them, and nothing has to be emptied or rolled back.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from transforms.inbox import shown
from transforms.project import Table
from transforms.warehouse import Warehouse, quoted

HEAD: dict[str, str] = {
    "_n": "bigint",  # the record's place in the batch; 0 for a row that is staged again
    "_seen": "bigint",  # the position that the change carries
    "_position": "bigint",  # the position that is stored with the row
    "_committed_at": "timestamptz",
    "_deleted": "boolean",
    "_fresh": "boolean",  # the row cannot be stored yet
    "_was": "bigint",  # the profile of the row as it is stored
}

TOUCHED_ROWS = pa.schema({"profile_id": pa.int64(), "committed_at": pa.timestamp("us", tz="UTC")})
"""The profiles that a batch touched, each with the oldest commit that did."""


def stage_name(table: Table) -> str:
    """The view of a batch's changes of one source table."""
    return quoted("temp", "main", f"stage {table.relation}")


class Stage:
    """The staged rows of one table: the columns of `HEAD`, the row's own, and its `profile_id`."""

    def __init__(self, warehouse: Warehouse, table: Table) -> None:
        kinds = HEAD | {column.name: column.data_type for column in table.columns} | {"profile_id": "bigint"}
        self._inbox = shown(warehouse.con, stage_name(table), kinds, f"staged {table.relation}")
        self.schema = self._inbox.table.schema

    @property
    def rows(self) -> pa.Table:
        """The rows as they are now."""
        return self._inbox.table

    @rows.setter
    def rows(self, rows: pa.Table) -> None:
        self._inbox.table = rows

    def fitted(self, rows: pa.Table) -> pa.Table:
        """The columns of a stage in their order, with nulls for those that `rows` lacks."""
        lacking = pa.nulls(rows.num_rows)
        return pa.table(
            [
                rows.column(field.name) if field.name in rows.column_names else lacking.cast(field.type)
                for field in self.schema
            ],
            schema=self.schema,
        )


def with_column(rows: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The same rows with one column replaced."""
    index = rows.schema.get_field_index(name)
    return rows.set_column(index, rows.schema.field(index), values)


def repeats(rows: pa.Table, key: Sequence[str]) -> bool:
    """Whether two rows have one key."""
    if len(key) == 1:
        return bool(pc.count_distinct(rows.column(key[0])).as_py() < rows.num_rows)
    return bool(rows.select(key).group_by(list(key), use_threads=False).aggregate([]).num_rows < rows.num_rows)


def looked_up(values: pa.ChunkedArray, known: pa.Array, found: pa.Array) -> pa.ChunkedArray:
    """For each value what `found` holds at its place in `known`; null where it is not there."""
    return pc.take(found, pc.index_in(values, value_set=known, skip_nulls=True))
