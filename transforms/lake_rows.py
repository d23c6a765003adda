"""What stands in the lake's files: the columns, the date of a record, and where a run of records is cut."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connectors.log import RECORDS
from transforms.decoding import Decoder, numbered
from transforms.lake_files import LakeFile
from transforms.project import Table

RAW = pa.schema([("_" + field.name, field.type) for field in list(RECORDS)[1:]])
"""The columns that every file ends with: the record as it was read."""

TYPED = ("_op", "_seen", "_position", "_committed_at", "_deleted", "_bad")
"""The columns that a declared table's files begin with, before the columns that are declared."""

ROW_GROUP = 100_000

BATCH = 20_000
"""Rows that are read at a time."""

EPOCH = date(1970, 1, 1)

Days = npt.NDArray[np.int64]
"""Days since 1970."""

Flags = npt.NDArray[np.bool_]
"""Yes or no."""


def columns(decoder: Decoder, table: Table | None, records: pa.Table) -> pa.Table:
    """The rows that a file has of records of one topic: as they are, and typed where it is a declared table's."""
    raw = records.select(RECORDS.names[1:]).rename_columns(RAW.names)
    if table is None:
        return raw
    decoded = decoder.rows(table, numbered(records))
    places = np.full(records.num_rows, -1)
    places[decoded.column("_n").to_numpy()] = np.arange(decoded.num_rows)
    typed = decoded.take(pa.array(places, mask=places < 0)) if (places < 0).any() else decoded
    typed = typed.select([*TYPED, *(column.name for column in table.columns)])
    typed = typed.select([field.name for field in typed.schema if _storable(field.type)])
    return pa.table([*typed.columns, *raw.columns], schema=pa.schema([*typed.schema, *RAW]))


def dates(decoder: Decoder, values: pa.ChunkedArray) -> tuple[Days, Flags]:
    """The day of each record, since 1970, and whether it has one."""
    days = decoder.dates(values)
    return days.cast(pa.int32()).fill_null(0).to_numpy().astype(np.int64), pc.is_valid(days).to_numpy()


def cuts(days: Days, there: Flags, before: date | None) -> Iterator[tuple[int, int, date]]:
    """Runs of records of one date, of one partition's in their order: from, to, date.

    A record without a date has that of the one before it, the first of all that of the next. `before` is the date of
    what the lake has already; so has a run of no records at all, which says that there are none.
    """
    known = (before - EPOCH).days if before else int(days[there.argmax()]) if there.any() else 0
    if not len(days):
        yield 0, 0, EPOCH + timedelta(days=known)
        return
    last = np.maximum.accumulate(np.where(there, np.arange(len(days)), -1))
    filled = np.where(last < 0, known, days[np.maximum(last, 0)])
    begins = [0, *(np.flatnonzero(np.diff(filled)) + 1).tolist()]
    for begin, end in zip(begins, [*begins[1:], len(days)], strict=True):
        yield begin, end, EPOCH + timedelta(days=int(filled[begin]))


def writer(out: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    """Writes a file of the lake; its pages have checksums, so that damage is found where they are read.

    Keys and JSON differ from row to row, so a dictionary of them would only take room.
    """
    return pq.ParquetWriter(
        out,
        schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=[name for name in schema.names if name not in ("_offset", "_key", "_value")],
        column_encoding={"_offset": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
    )


def read(file: LakeFile) -> Iterator[pa.Table]:
    """The rows of a file, some at a time. Raises OSError or ArrowException where it is damaged."""
    with pq.ParquetFile(file.path, page_checksum_verification=True) as opened:
        yield from (pa.Table.from_batches([batch]) for batch in opened.iter_batches(BATCH) if batch.num_rows)


@cache
def _storable(kind: pa.DataType) -> bool:
    """Whether Parquet has a type for it: it has none for an interval."""
    try:
        pq.write_table(pa.schema([("x", kind)]).empty_table(), io.BytesIO())
    except pa.ArrowNotImplementedError:
        return False
    return True
