"""Small files of the lake become larger ones, and what was replaced is removed, later.

A merged file covers what the merged ones do. With its name it replaces all of them at once, whatever happens next.
"""

from __future__ import annotations

import logging
from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.log import Partition
from ringup.errors import LakeError
from transforms.lake_files import LakeFile, listed, split, sync, told
from transforms.lake_union import LeftAlone, merge

log = logging.getLogger(__name__)

AT_LEAST = 8
"""So many files of a size are merged, and a file of the next size is so many times as large."""

LARGE = 1_000_000
"""A file of so many rows is not merged any more."""

GRACE = timedelta(hours=1)
"""How long files that were replaced stay, for whoever reads them."""

PAUSE = timedelta(minutes=1)
"""How long nothing is merged after the disk refused it: a full one would be filled again and again."""


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


class Merger:
    """Merges the files of a lake, one after another. A file that could not be is left alone until the next start.

    The lake is listed once; from then on it hears what comes. So there is nothing to do while nothing comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Partition, list[LakeFile]] | None = None
        self._retired: list[tuple[datetime, LakeFile, LakeFile]] = []  # since when, the file, what replaced it
        self._look: dict[Partition, None] = {}
        self._rows: dict[LakeFile, int] = {}
        self._alone: set[LakeFile] = set()
        self._again = datetime.min.replace(tzinfo=UTC)

    def came(self, file: LakeFile) -> None:
        """Hear of a file that was written."""
        if self._files is not None:
            insort(self._files.setdefault(file.of_partition, []), file, key=lambda other: other.first)
            self._look[file.of_partition] = None

    def compact(self, grace: timedelta, now: datetime) -> Compacted:
        """Remove what was replaced `grace` ago, then merge the first files that are due.

        Raises LakeError where the disk refuses it, and does nothing for a while after that.
        """
        if now < self._again:
            return Compacted()
        try:
            if self._files is None:
                self._list()
            removed, freed = self._remove(now - grace)
            merged, before, after = self._merged()
        except BaseException as error:
            self._files = None
            if isinstance(error, LakeError):
                self._again = now + PAUSE
            raise
        return Compacted(merged, before, after, removed, freed, more=merged > 0)

    def _list(self) -> None:
        files, retired = split(listed(self._folder))
        self._files = {partition: list(group) for partition, group in groupby(files, lambda file: file.of_partition)}
        self._retired = [(_since(cover), file, cover) for file, cover in retired]
        self._look = dict.fromkeys(self._files)
        self._rows = {file: self._rows[file] for file in files if file in self._rows}

    def _remove(self, until: datetime) -> tuple[int, int]:
        count = freed = 0
        due = [entry for entry in self._retired if entry[0] <= until]
        for entry in due:
            _, file, cover = entry
            with told(file.path):
                sync(cover.path.parent)
                if cover.path.exists() and file.path.exists():
                    freed += _bytes(file)
                    count += 1
                    file.path.unlink()
        if due:
            self._retired = [entry for entry in self._retired if entry[0] > until]
        return count, freed

    def _merged(self) -> tuple[int, int, int]:
        """Merge once: how many files, and their bytes before and after."""
        assert self._files is not None
        while self._look:
            partition = next(iter(self._look))
            files = self._files[partition]
            merging = next(filter(None, map(self._due, _runs(files))), None)
            if merging is None:
                del self._look[partition]
                continue
            try:
                made = merge(merging)
            except LeftAlone as left:
                self._leave(left)
                continue
            place = files.index(merging[0])
            files[place : place + len(merging)] = [made]
            since = _since(made)
            self._retired += [(since, file, made) for file in merging]
            for file in merging:
                del self._rows[file]
            return len(merging), sum(map(_bytes, merging)), _bytes(made)
        return 0, 0, 0

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


def _since(cover: LakeFile) -> datetime:
    with told(cover.path):
        return datetime.fromtimestamp(cover.path.stat().st_mtime, UTC)


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
