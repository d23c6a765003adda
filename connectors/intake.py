"""From the engine into the log: whole transactions, together with how far their source was read."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from connectors.debezium import Records
    from connectors.embedded_writer import EmbeddedLogWriter

_Record: TypeAlias = tuple[str, str | None, str | None]
_HEARTBEAT = "__debezium-heartbeat."
_CARRIED = 20_000
"""Records of an open transaction that are kept in memory; a larger transaction reaches the log in parts."""


class Intake:
    """The Sink of one source.

    The engine cuts its batches anywhere. A transaction that is cut waits for the next batch, and the source is never
    said to be read beyond the last whole transaction: after a crash an unfinished one comes again from its beginning.
    Several sources share a writer, and `writing` keeps them apart.
    """

    def __init__(self, source: str, prefix: str, writer: EmbeddedLogWriter, writing: threading.Lock) -> None:
        self.taken = 0
        self._source = source
        self._marks = f"{prefix}.transaction"
        self._writer = writer
        self._writing = writing
        self._carried: list[_Record] = []
        self._open = False

    def take(self, records: Records) -> int | None:
        """Append what is whole; the last row of it."""
        whole = self._whole(records)
        rows = list(zip(records.topics, records.keys, records.values, strict=True))
        ready = [*self._carried, *rows[:whole]] if whole else []
        self._carried = rows[whole:] if whole else [*self._carried, *rows]
        if len(self._carried) > _CARRIED:
            ready, self._carried = [*ready, *self._carried], []
        if ready:
            progress = (self._source, records.resume(whole - 1)) if whole else None
            with self._writing:
                self._writer.append((row for row in ready if not row[0].startswith(_HEARTBEAT)), progress)
        self.taken += len(rows)
        return whole - 1 if whole else None

    def _whole(self, records: Records) -> int:
        """How many of the first rows end with the last whole transaction, or with what belongs to none."""
        begin = 0 if self._open else len(records.topics)
        for row in range(len(records.topics) - 1, -1, -1):
            if records.topics[row] == self._marks:
                if (records.values[row] or "").startswith('{"status":"END"'):
                    self._open = begin_follows = self._begins_after(records, row) < len(records.topics)
                    return self._begins_after(records, row) if begin_follows else len(records.topics)
                begin = row if not self._open else 0
        self._open = begin < len(records.topics)
        return begin

    def _begins_after(self, records: Records, row: int) -> int:
        following = range(row + 1, len(records.topics))
        return next((after for after in following if records.topics[after] == self._marks), len(records.topics))
