"""From the engine into the log: whole transactions, together with how far their source was read."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from connectors.notices import read_notice
from connectors.topics import ends_transaction, is_heartbeat

if TYPE_CHECKING:
    from connectors.board import Board
    from connectors.debezium import Records
    from connectors.embedded_writer import EmbeddedLogWriter

_Record: TypeAlias = tuple[str, str | None, str | None]

_CARRIED = 20_000
"""Records of an open transaction that are kept in memory; a larger transaction reaches the log in parts."""


class Intake:
    """The Sink of one source.

    The engine cuts its batches anywhere. A transaction that is cut waits for the next batch, and the source is never
    said to be read beyond the last whole transaction: after a crash an unfinished one comes again from its beginning.
    Several sources share a writer, and `writing` keeps them apart. What goes wrong here ends the engine, which does not
    say why; so it is kept as `failure`.
    """

    def __init__(
        self, source: str, prefix: str, writer: EmbeddedLogWriter, writing: threading.Lock, board: Board
    ) -> None:
        self.taken = 0
        self.failure: Exception | None = None
        self._source = source
        self._marks = f"{prefix}.transaction"
        self._notices = f"{prefix}.notifications"
        self._board = board
        self._writer = writer
        self._writing = writing
        self._carried: list[_Record] = []
        self._open = False

    def take(self, records: Records) -> int | None:
        """Append what is whole; the last row of it."""
        try:
            return self._take(records)
        except Exception as error:
            self.failure = error
            raise

    def _take(self, records: Records) -> int | None:
        whole = self._whole(records)
        rows = list(zip(records.topics, records.keys, records.values, strict=True))
        ready = [*self._carried, *rows[:whole]] if whole else []
        self._carried = rows[whole:] if whole else [*self._carried, *rows]
        if len(self._carried) > _CARRIED:
            ready, self._carried = [*ready, *self._carried], []
        if ready:
            progress = (self._source, records.resume(whole - 1)) if whole else None
            with self._writing:
                self._writer.append((row for row in ready if not is_heartbeat(row[0])), progress)
        self.taken += len(rows)
        self._tell(rows)
        return whole - 1 if whole else None

    def _whole(self, records: Records) -> int:
        """How many of the first rows do not belong to a transaction that is still open."""
        rows = len(records.topics)
        marks = [row for row, topic in enumerate(records.topics) if topic == self._marks]
        end = next((row for row in reversed(marks) if ends_transaction(records.values[row])), None)
        if end is None and self._open:
            return 0
        begin = next((row for row in marks if end is None or row > end), rows)
        self._open = begin < rows
        return begin

    def _tell(self, rows: list[_Record]) -> None:
        for topic, _, value in rows:
            if topic != self._notices or value is None:
                continue
            with suppress(ValueError):  # whoever reads the log says so
                if (notice := read_notice(value)).of_first:
                    self._board.put(self._source, "streaming" if notice.ends_first else "snapshot")
