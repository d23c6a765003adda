"""The lake: all that the change log ever said, in Parquet files that are never changed.

It is written beside the live state and needs no bookkeeping: the names of its files say how far it goes. Whatever has
not got its name when a writer dies was never there, and is read from the log again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.log import Partition, Positions
from transforms.decoding import Decoder
from transforms.lake_files import LakeFile, leftovers, listed, live, put, told
from transforms.lake_merge import GRACE, Compacted, Merger
from transforms.lake_rows import ROW_GROUP, Days, Flags, columns, cuts, dates, writer
from transforms.lake_verify import Fault, faults
from transforms.project import Table
from transforms.warehouse import Settings


class Lake:
    """The files in a folder. Several may look at it; one writes, merges and removes, in one thread."""

    def __init__(self, folder: Path, tables: Sequence[Table] = (), decoder: Decoder | None = None) -> None:
        """The topics of `tables` get typed columns. Nothing is created until something is written."""
        self.folder = folder
        self._tables = {table.topic: table for table in tables}
        self._given = self._decoder = decoder
        self._merger = Merger(folder)
        self._ends: dict[Partition, list[LakeFile]] | None = None

    def open_for_writing(self) -> None:
        """Remove what a writer left that died."""
        for path in leftovers(self.folder):
            with told(path):
                path.unlink(missing_ok=True)

    def files(self, topic: str | None = None) -> list[LakeFile]:
        """The files that count, ordered by topic, partition and first offset: they hold every record once."""
        return live(listed(self.folder, topic))

    def positions(self) -> dict[Partition, int]:
        """How far the lake goes without a gap, for each partition: the offset that its last file covers."""
        return {partition: files[0].last for partition, files in self._known().items()}

    def append(self, records: pa.Table, upto: Positions) -> list[LakeFile]:
        """Write further records, read up to `upto`, beyond `positions()`; per partition they are in their order.

        After an error some of it may be written already: what is missing begins at `positions()`.
        """
        try:
            return list(self._appended(records, upto))
        except BaseException:
            self._ends = None
            raise

    def verify(self, progress: Callable[[LakeFile], None] | None = None) -> list[Fault]:
        """Read all of it and say what is wrong; `progress` is told each file before it is read."""
        return list(faults(self.folder, self._decode, progress))

    def compact(self, grace: timedelta = GRACE, now: datetime | None = None) -> Compacted:
        """Merge small files, once, and remove what was replaced `grace` ago; says whether there may be more to do."""
        return self._merger.compact(grace, now or datetime.now(UTC))

    def close(self) -> None:
        """Release its memory."""
        if self._decoder is not None and self._given is None:
            self._decoder.close()
            self._decoder = None

    def _known(self) -> dict[Partition, list[LakeFile]]:
        """For each partition the last file before any gap, and those that lie beyond one."""
        if self._ends is None:
            self._ends = {}
            for file in self.files():
                self._ends.setdefault(file.of_partition, []).append(file)
            for files in self._ends.values():
                _close_up(files)
        return self._ends

    @property
    def _decode(self) -> Decoder:
        if self._decoder is None:
            self._decoder = Decoder(list(self._tables.values()), Settings())
        return self._decoder

    def _appended(self, records: pa.Table, upto: Positions) -> Iterator[LakeFile]:
        for topic in records.column("topic").unique().to_pylist():
            mine = records.filter(pc.equal(records.column("topic"), topic))
            rows = columns(self._decode, self._tables.get(topic), mine)
            days, there = dates(self._decode, mine.column("value"))
            partitions = mine.column("partition").to_numpy()
            for number in np.unique(partitions).tolist():
                places = np.flatnonzero(partitions == number)
                part = rows if len(places) == rows.num_rows else rows.take(places)
                yield from self._filled((topic, number), part, days[places], there[places], upto[topic, number])

    def _filled(self, partition: Partition, rows: pa.Table, days: Days, there: Flags, upto: int) -> Iterator[LakeFile]:
        """Write what the lake lacks: all of it, but where a file is gone and others are there beyond the gap."""
        offsets = rows.column("_offset").to_numpy()
        files = self._known().setdefault(partition, [])
        if (np.diff(offsets) <= 0).any() or (files and offsets[0] <= files[0].last):
            raise ValueError(f"records of {partition} that do not rise from the lake's end on")
        upto = max(upto, int(offsets[-1]))
        begin = 0
        while not files or files[0].last < upto:
            closes = len(files) > 1 and files[1].first <= upto + 1
            reach = files[1].first - 1 if closes else upto
            end = int(np.searchsorted(offsets, reach, "right"))
            if end == begin and not closes:
                return
            first = files[0].last + 1 if files else int(offsets[0])
            for start, stop, day in cuts(days[begin:end], there[begin:end], files[0].date if files else None):
                last = int(offsets[begin + stop - 1]) if begin + stop < end else reach
                file = LakeFile.of(self.folder, partition, first, last, day)
                put(file.path, _writing(rows.slice(begin + start, stop - start)))
                files[:1] = [file]
                self._merger.came(file)
                first = last + 1
                yield file
            _close_up(files)
            begin = int(np.searchsorted(offsets, files[0].last, "right"))


def _close_up(files: list[LakeFile]) -> None:
    """Leave out what lies before the last file that no gap is before."""
    while len(files) > 1 and files[1].first <= files[0].last + 1:
        del files[0 if files[1].last > files[0].last else 1]


def _writing(rows: pa.Table) -> Callable[[BinaryIO], None]:
    def write(out: BinaryIO) -> None:
        with writer(out, rows.schema) as opened:
            opened.write_table(rows, ROW_GROUP)

    return write
