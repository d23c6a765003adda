"""Arrow tables that SQL reads as if they were tables of the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

from transforms.warehouse import TEMP, quoted


class Inbox:
    """An Arrow table that SQL sees under one name for good, while its content changes.

    Registering a table for every batch would change the catalog every time.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.table: pa.Table = schema.empty_table()

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """The Arrow PyCapsule interface: DuckDB calls it for every scan."""
        return self.table.__arrow_c_stream__(requested_schema)


def shown(con: duckdb.DuckDBPyConnection, view: str, kinds: Mapping[str, str], label: str) -> Inbox:
    """An empty Arrow table of these columns that SQL sees as `view`, with just these types; `label` is its own name.

    Arrow has no word for some of DuckDB's types, such as UUID; for all others the view's casts come to nothing.
    """
    typed = ", ".join(f"{quoted(name)}::{kind} as {quoted(name)}" for name, kind in kinds.items())
    empty = ", ".join(f"null::{kind} as {quoted(name)}" for name, kind in kinds.items())
    inbox = Inbox(con.sql(f"select {empty} limit 0").to_arrow_table().schema)
    con.register(label, inbox)
    con.execute(f"create {'temp ' if view.startswith(TEMP) else ''}view {view} as select {typed} from {quoted(label)}")
    return inbox
