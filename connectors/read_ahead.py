"""Reading the log while the batch before is computed, when there is much to read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from threading import Event

from connectors.log import Batch, Log, Positions

_MUCH = 0.5
"""The share of the limit from which on a batch counts as large: there is probably as much behind it."""


class ReadAhead:
    """A `connectors.log.Log` over another one; what it reads goes through `prepare`.

    After a large batch the next one is read beside the caller's work, by a thread of its own. After a small one it is
    not: what comes meanwhile would be cut into more batches, and be older for it.
    """

    def __init__(self, log: Log, prepare: Callable[[Batch], Batch] = lambda batch: batch) -> None:
        self._log, self._prepare = log, prepare
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self._next: Future[Batch | None] | None = None
        self._committed: Positions | None = None
        self._noted = (log.bootstrapped, log.read_anew)

    @property
    def bootstrapped(self) -> bool:
        """Whether everything up to the end of the first snapshots was handed over."""
        return self._noted[0]

    @property
    def read_anew(self) -> Collection[str]:
        """The topics of the tables that a snapshot was handed over of to its end since `seek`; see `Log`."""
        return self._noted[1]

    @property
    def trouble(self) -> str | None:
        """Why nothing can be read now; see `Log`."""
        return self._log.trouble

    def seek(self, positions: Positions, stop: Event | None = None) -> None:
        """Continue after `positions`; see `Log`."""
        self._settle()
        self._next = self._committed = None
        self._log.seek(positions, stop)
        self._note()

    def read(self, limit: int, wait: float) -> Batch | None:
        """Take about `limit` further records; see `Log`."""
        ahead, self._next = self._next, None
        batch = ahead.result() if ahead is not None else None
        if batch is None:
            self._acknowledge()
            batch = self._read(limit, wait)
        self._note()
        if batch is not None and batch.records.num_rows >= _MUCH * limit:
            self._next = self._thread.submit(self._read_on, limit)
        return batch

    def acknowledge(self, positions: Positions) -> None:
        """Tell the log what was committed, when it is not being read."""
        self._committed = positions

    def hold(self, positions: Positions) -> None:
        """Tell the log how far somebody else is; see `Log`."""
        self._log.hold(positions)

    def lag(self) -> int:
        """How many records lie behind the last one that was handed over."""
        return self._log.lag() + self._ahead()

    def close(self) -> None:
        """Release the log."""
        self._settle()
        self._thread.shutdown()
        self._acknowledge()
        self._log.close()

    def _ahead(self) -> int:
        """How many were read and not handed over; one stands for those that nobody can count yet."""
        ahead = self._next
        if ahead is None:
            return 0
        if not ahead.done() or ahead.exception() is not None:
            return 1
        batch = ahead.result()
        return batch.records.num_rows if batch is not None else 0

    def _read_on(self, limit: int) -> Batch | None:
        self._acknowledge()
        return self._read(limit, 0.0)

    def _read(self, limit: int, wait: float) -> Batch | None:
        batch = self._log.read(limit, wait)
        return batch and self._prepare(batch)

    def _note(self) -> None:
        """What the log says right behind the batch that is handed over."""
        self._noted = (self._log.bootstrapped, self._log.read_anew)

    def _acknowledge(self) -> None:
        committed, self._committed = self._committed, None
        if committed is not None:
            self._log.acknowledge(committed)

    def _settle(self) -> None:
        if self._next is not None:
            wait_for([self._next])
