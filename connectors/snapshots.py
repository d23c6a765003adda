"""Snapshots: which records are rows that a source already had, rather than things that just happened."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.chunk import ints
from connectors.notices import Notice, read_notice
from connectors.topics import DATA, NOTIFICATION, TRANSACTION

log = logging.getLogger(__name__)

# A row of the table may have a column `op` too, so only the end of the envelope counts.
_READ = r'"op":"r"(,"ts_[mun]s":[0-9]+)*\}$'


def were_read(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which changes are rows that a snapshot read."""
    return pc.fill_null(pc.match_substring_regex(values, _READ), False)


def apart(changes: pa.Table) -> list[tuple[pa.Table, bool]]:
    """The rows that a snapshot read, and then the other changes; what there is none of is left out."""
    read = were_read(changes.column("value"))
    rows = pc.sum(read).as_py() or 0
    if rows in (0, changes.num_rows):  # nearly always, and nothing need be copied
        return [(changes, rows > 0)] if changes.num_rows else []
    return [(changes.filter(read), True), (changes.filter(pc.invert(read)), False)]


class Scans:
    """Follows Debezium's notifications for the tables that a snapshot reads to its end, from its beginning on."""

    def __init__(self) -> None:
        self._running: dict[str, set[str]] = {}

    def note(self, source: str, notice: Notice) -> frozenset[str]:
        """Take in a notification of the source with this topic prefix; the topics of what is whole with it."""
        if not notice.of_snapshot:
            return frozenset()
        match notice.type:
            case "STARTED":
                self._running[source] = set()
            case "TABLE_SCAN_COMPLETED" if source in self._running:
                # The table's last row comes after this, and before the end of the whole snapshot.
                if notice.more.get("status") in ("SUCCEEDED", "EMPTY"):
                    self._running[source].add(f"{source}.{notice.more.get('scanned_collection')}")
            case "COMPLETED":
                return frozenset(self._running.pop(source, ()))
            case "ABORTED" | "SKIPPED":
                self._running.pop(source, None)
        return frozenset()


class Snapshots:
    """Follows Debezium's snapshot notifications.

    Until each of the `expected` sources has completed its first snapshot, everything counts as snapshot, so that the
    state is complete before anything fires; the number of that last record is `complete_at`. Afterwards only the rows
    that a later snapshot reads (of a source that was added, or that is read anew) do.
    """

    def __init__(self, expected: Collection[str]) -> None:
        self._expected = frozenset(expected)
        self.reset(None, ())

    def reset(self, complete_at: int | None, notices: Iterable[tuple[int, str, str]]) -> None:
        """Start again after the given notifications, (seq, source, value) each."""
        self.complete_at = complete_at
        self._complete: set[str] = set()
        self._running: set[str] = set()
        self.later = False
        self._scans, self.scanned = Scans(), set[str]()
        for seq, source, notice in notices:
            self.note(seq, source, notice)
        self._scans, self.scanned = Scans(), set[str]()  # what was read before may be of other columns

    def note(self, seq: int, source: str, value: str) -> None:
        """Take in a notification; what cannot be read as one is passed over."""
        try:
            notice = read_notice(value)
        except ValueError:
            log.warning("%s.notifications has what cannot be read; it is passed over", source)
            return
        if not notice.of_snapshot:
            return
        if notice.type in ("COMPLETED", "SKIPPED", "ABORTED"):
            self._running.discard(source)
        else:
            self._running.add(source)
            self.later = self.complete_at is not None
        self.scanned |= self._scans.note(source, notice)
        if notice.ends_first:
            self._complete.add(source)
        if self.complete_at is None and self._complete >= self._expected:
            self.complete_at = seq

    def cut(self, chunk: pa.Table) -> tuple[int, bool]:
        """How many of the first records are of one kind and end with a notification at most; and are they snapshot?"""
        kinds = ints(chunk, "kind")
        notices = np.flatnonzero(kinds == NOTIFICATION)
        size = int(notices[0]) + 1 if notices.size else chunk.num_rows
        if self.complete_at is None:
            return size, True
        initial = int(np.searchsorted(ints(chunk, "seq"), self.complete_at, "right"))
        if initial:
            return min(size, initial), True
        if not self._running:
            return size, False
        read = were_read(chunk.column("value")).to_numpy()
        telling = np.flatnonzero((kinds[:size] == DATA) | (kinds[:size] == TRANSACTION))
        flags = read[telling] & (kinds[telling] == DATA)
        if not telling.size:
            return size, False
        other = np.flatnonzero(flags != flags[0])
        return (int(telling[other[0]]) if other.size else size), bool(flags[0])
