"""One file of the lake for several: with the columns of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.lake_files import LakeFile, put
from transforms.lake_rows import RAW, ROW_GROUP, read, writer

BUFFER = 128 << 20
"""Bytes from which rows are written, be they less than a row group."""


class LeftAlone(Exception):
    """A file that cannot be merged, and why."""

    def __init__(self, file: LakeFile, why: object) -> None:
        super().__init__(f"{file.name}: {why}")
        self.file = file


def merge(files: Sequence[LakeFile]) -> LakeFile:
    """Write the file that replaces all of these."""
    oldest, newest = files[0], files[-1]
    made = LakeFile.of(oldest.path.parents[2], oldest.of_partition, oldest.first, newest.last, oldest.date)
    schema = _all_columns(files)

    def write(out: BinaryIO) -> None:
        held: list[pa.Table] = []
        with writer(out, schema) as opened:
            for rows in (part for file in files for part in _conforming(file, schema)):
                held.append(rows)
                if sum(part.num_rows for part in held) >= ROW_GROUP or sum(part.nbytes for part in held) >= BUFFER:
                    opened.write_table(pa.concat_tables(held))
                    held.clear()
            opened.write_table(pa.concat_tables([schema.empty_table(), *held]))

    put(made.path, write)
    return made


def _all_columns(files: Sequence[LakeFile]) -> pa.Schema:
    """The columns of all files, with the types that they have in the newest."""
    fields: dict[str, pa.Field] = {}
    for file in reversed(files):
        try:
            schema = pq.read_schema(file.path)
        except (OSError, pa.ArrowException) as error:
            raise LeftAlone(file, error) from error
        for field in schema:
            fields.setdefault(field.name, pa.field(field.name, field.type))
    return pa.schema([*(field for name, field in fields.items() if name not in RAW.names), *RAW])


def _conforming(file: LakeFile, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a file with these columns. Raises LeftAlone where it is damaged, or a value does not fit."""
    before = file.first - 1
    try:
        for rows in read(file):
            if any(rows.schema.field(field.name) != field for field in RAW):
                raise LeftAlone(file, "its columns are not those of the lake")
            offsets = rows.column("_offset").to_numpy()
            if (np.diff(offsets, prepend=before) <= 0).any() or offsets[-1] > file.last:
                raise LeftAlone(file, "its offsets are not those that its name says")
            before = int(offsets[-1])
            lacking = [field for field in schema if field.name not in rows.schema.names]
            for field in lacking:
                rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
            yield rows.select(schema.names).cast(schema)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise LeftAlone(file, error) from error
