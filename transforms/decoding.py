"""Decoding a batch: by the short way where it is small, else by a SQL statement a table, which may be done ahead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.log import RECORDS, Batch
from transforms.decode import decode_sql
from transforms.inbox import Inbox
from transforms.project import Table
from transforms.quick import quick_decode
from transforms.warehouse import SMALL_BATCH, Settings, sql_of

NUMBERED = RECORDS.append(pa.field("n", pa.int64()))
"""Records with their places in the batch."""


def numbered(records: pa.Table) -> pa.Table:
    """The records of a batch with their places in it."""
    return records.append_column(NUMBERED.field("n"), pa.array(np.arange(records.num_rows)))


class Decoder:
    """Makes typed rows of Debezium's JSON, in a DuckDB of its own: also while the warehouse works, by any thread."""

    def __init__(self, tables: Sequence[Table], settings: Settings) -> None:
        self._busy = threading.Lock()
        self._con = duckdb.connect(":memory:")
        self._con.execute(f"set memory_limit = '{settings.memory_limit}'")
        self._con.execute("set threads = 1")
        self._con.execute("set timezone = 'UTC'")
        self._raw = Inbox(NUMBERED)
        self._con.register("raw", self._raw)
        self._decode = {table.topic: self._con.sql(decode_sql(table)).to_arrow_table for table in tables}
        self._dates = self._con.sql(sql_of("dates.sql")).to_arrow_table

    def ahead(self, batch: Batch) -> Batch:
        """The batch, decoded already if it is a large one. It depends on nothing else, so it can be done early."""
        records = batch.records
        if records.num_rows <= SMALL_BATCH:
            return batch
        there = records.column("topic").unique().to_pylist()
        decoded = {topic: self._by_sql(topic, numbered(records)) for topic in there if topic in self._decode}
        return replace(batch, decoded=decoded)

    def rows(self, table: Table, records: pa.Table) -> pa.Table:
        """The changes of one table, of numbered records: its columns as declared, and what `decode_sql` adds."""
        if records.num_rows <= SMALL_BATCH:
            mine = records.filter(pc.equal(records.column("topic"), table.topic))
            rows = quick_decode(table, mine.column("value").to_pylist(), mine.column("n").to_pylist())
            if rows is not None:
                return rows
        return self._by_sql(table.topic, records)

    def dates(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """The day, in UTC, on which each of these values was committed in its source; null where none is said."""
        columns = [values if field.name == "value" else pa.nulls(len(values), field.type) for field in NUMBERED]
        return self._asked(self._dates, pa.table(columns, schema=NUMBERED)).column("day")

    def close(self) -> None:
        """Release its memory."""
        self._con.close()

    def _by_sql(self, topic: str, records: pa.Table) -> pa.Table:
        return self._asked(self._decode[topic], records)

    def _asked(self, question: Callable[[], pa.Table], records: pa.Table) -> pa.Table:
        with self._busy:
            self._raw.table = records
            try:
                return question()
            finally:
                self._raw.table = NUMBERED.empty_table()
