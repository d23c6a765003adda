"""Small files of the lake become larger ones, and what was replaced is removed, later.

A merged file covers what the merged ones do. With its name it replaces all of them at once, whatever happens next.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.lake_files import LakeFile, listed, put, split, sync, told
from transforms.lake_rows import RAW, ROW_GROUP, read, writer

log = logging.getLogger(__name__)

AT_LEAST = 8
"""So many files of a size are merged, and a file of the next size is so many times as large."""

LARGE = 1_000_000
"""A file of so many rows is not merged any more."""

BUFFER = 128 << 20
"""Bytes from which rows are written, be they less than a row group."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was done: files merged into one, and replaced ones removed, with their bytes.

    `more` says whether there may be more to do at once.
    """

    merged: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    removed: int = 0
    bytes_removed: int = 0
    more: bool = False


class LeftAlone(Exception):
    """A file that cannot be merged, and why."""

    def __init__(self, file: LakeFile, why: object) -> None:
        super().__init__(f"{file.name}: {why}")
        self.file = file


class Merger:
    """Merges the files of a lake, one after another. A file that could not be is left alone until the next start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: dict[LakeFile, int] = {}
        self._alone: set[LakeFile] = set()

    def compact(self, grace: timedelta, now: datetime) -> Compacted:
        """Remove what was replaced `grace` ago, then merge the first files that are due."""
        files, retired = split(listed(self._folder))
        removed, freed = self._remove(retired, now - grace)
        self._rows = {file: self._rows[file] for file in files if file in self._rows}
        while merging := next(filter(None, map(self._due, _runs(files))), None):
            try:
                made = _merge(merging)
            except LeftAlone as left:
                self._leave(left)
            else:
                return Compacted(len(merging), sum(map(_bytes, merging)), _bytes(made), removed, freed, more=True)
        return Compacted(removed=removed, bytes_removed=freed)

    def _remove(self, retired: Sequence[tuple[LakeFile, LakeFile]], until: datetime) -> tuple[int, int]:
        count = freed = 0
        for file, cover in retired:
            with told(file.path):
                if datetime.fromtimestamp(cover.path.stat().st_mtime, UTC) <= until:
                    freed += _bytes(file)
                    sync(cover.path.parent)
                    file.path.unlink()
                    count += 1
        return count, freed

    def _due(self, run: Sequence[LakeFile]) -> list[LakeFile]:
        """The files to merge of consecutive ones: of the smallest size first, and of that the oldest.

        Smaller ones between them are merged, too. So each merge lifts all of its rows to a larger size, and a row is
        written only as many times as there are sizes.
        """
        if len(run) < AT_LEAST:
            return []
        sizes = [self._size(file) for file in run]
        for size in sorted({size for size in sizes if size is not None}):
            streak: list[int] = []
            for place, other in enumerate([*sizes, None]):
                if other is not None and other <= size:
                    streak.append(place)
                elif sum(sizes[n] == size for n in streak) >= AT_LEAST:
                    return self._bounded([run[n] for n in streak])
                else:
                    streak = []
        return []

    def _bounded(self, files: Sequence[LakeFile]) -> list[LakeFile]:
        total, taken = 0, []
        for file in files:
            taken.append(file)
            total += self._rows[file]
            if total >= LARGE:
                break
        return taken

    def _size(self, file: LakeFile) -> int | None:
        """The class of a file's size, by its rows; None for one that is not merged."""
        if file in self._alone:
            return None
        if file not in self._rows:
            try:
                self._rows[file] = pq.read_metadata(file.path).num_rows
            except (OSError, pa.ArrowException) as error:
                self._leave(LeftAlone(file, error))
                return None
        rows = self._rows[file]
        return None if rows >= LARGE else (max(rows, 1).bit_length() - 1) // 3

    def _leave(self, left: LeftAlone) -> None:
        log.warning("the lake's file %s: it is not merged", left)
        self._alone.add(left.file)


def _bytes(file: LakeFile) -> int:
    with told(file.path):
        return file.path.stat().st_size


def _runs(files: Sequence[LakeFile]) -> Iterator[list[LakeFile]]:
    """Files that follow one another in a partition, without a gap and of one date."""
    begins = [0] + [
        place
        for place, (before, after) in enumerate(pairwise(files), 1)
        if (before.of_partition, before.date, before.last + 1) != (after.of_partition, after.date, after.first)
    ]
    for begin, end in pairwise([*begins, len(files)]):
        yield list(files[begin:end])


def _merge(files: Sequence[LakeFile]) -> LakeFile:
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

    put(made, write)
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
