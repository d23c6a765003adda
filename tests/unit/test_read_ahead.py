"""Reading ahead changes when the log is read, and nothing of what is handed over."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.log import RECORDS, Batch, Positions
from connectors.read_ahead import ReadAhead
from ringup.errors import LogError

TOPIC = "pos.shop.bills"
SNAPSHOT = 3


class Counted:
    """A log of batches of given sizes, the first three of a snapshot, that notices when two threads are in it."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes, self.place, self.acknowledged = sizes, 0, [-1]
        self.held: Positions | None = None
        self.read_by: list[str] = []
        self.fails_at: int | None = None
        self._inside = threading.Lock()

    @property
    def bootstrapped(self) -> bool:
        return self.place >= min(SNAPSHOT, len(self.sizes))

    @property
    def read_anew(self) -> Collection[str]:
        return frozenset({"pos"} if self.place > SNAPSHOT else ())

    @property
    def trouble(self) -> str | None:
        return None

    def seek(self, positions: Positions, stop: threading.Event | None = None) -> None:
        with self._alone():
            self.place = positions.get((TOPIC, 0), -1) + 1

    def read(self, limit: int, wait: float) -> Batch | None:
        with self._alone():
            self.read_by.append(threading.current_thread().name)
            if self.place == self.fails_at:
                raise LogError("it is gone", mend="look for it")
            if self.place == len(self.sizes):
                return None
            rows = [{"topic": TOPIC, "partition": 0, "offset": self.place}] * self.sizes[self.place]
            self.place += 1
            return Batch(pa.Table.from_pylist(rows, RECORDS), {(TOPIC, 0): self.place - 1}, self.place <= SNAPSHOT)

    def acknowledge(self, positions: Positions) -> None:
        with self._alone():
            self.acknowledged.append(positions[TOPIC, 0])

    def hold(self, positions: Positions) -> None:
        self.held = positions

    def lag(self) -> int:
        return sum(self.sizes[self.place :])

    def close(self) -> None:
        with self._alone():
            pass

    def _alone(self) -> _Alone:
        return _Alone(self._inside)


class _Alone:
    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        assert self._lock.acquire(blocking=False), "two threads are in the log"

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@given(st.lists(st.integers(1, 10), max_size=12))
def test_it_hands_over_what_the_log_holds(sizes: list[int]) -> None:
    """The same batches in the same order; what is said of the log is true right behind the batch, not ahead of it."""
    inner = Counted(sizes)
    log = ReadAhead(inner)
    log.seek({})
    for number, size in enumerate(sizes):
        assert log.lag() > 0
        batch = log.read(10, 0.0)
        assert batch is not None
        assert (batch.records.num_rows, batch.positions) == (size, {(TOPIC, 0): number})
        assert log.bootstrapped == (number + 1 >= min(SNAPSHOT, len(sizes)))
        assert log.read_anew == frozenset({"pos"} if number + 1 > SNAPSHOT else ())
        log.acknowledge(batch.positions)
    assert log.read(10, 0.0) is None
    assert log.lag() == 0
    log.close()
    assert inner.acknowledged[-1] == len(sizes) - 1
    assert inner.acknowledged == sorted(inner.acknowledged)


def test_only_a_large_batch_is_followed_by_reading_ahead() -> None:
    """After a small one, what comes meanwhile would be cut into more batches."""
    inner = Counted([5, 1, 1, 5, 5])
    log = ReadAhead(inner)
    while log.read(10, 0.0) is not None:
        pass
    main = threading.current_thread().name
    assert [name == main for name in inner.read_by[:5]] == [True, False, True, True, False]
    log.close()


def test_what_is_read_is_prepared_by_who_reads_it() -> None:
    """So the work on a batch that was read ahead is done beside the caller's."""
    by: list[str] = []

    def prepare(batch: Batch) -> Batch:
        by.append(threading.current_thread().name)
        return replace(batch, decoded={})

    inner = Counted([10, 10, 1])
    log = ReadAhead(inner, prepare)
    while (batch := log.read(10, 0.0)) is not None:
        assert batch.decoded == {}
    assert by == inner.read_by[:3]
    assert len(set(by)) == 2
    log.close()


def test_what_fails_while_it_reads_ahead_is_told_when_it_is_asked_for() -> None:
    """The batch before is good, and is not lost to it."""
    inner = Counted([10, 10])
    inner.fails_at = 1
    log = ReadAhead(inner)
    assert log.read(10, 0.0) is not None
    with pytest.raises(LogError, match="it is gone"):
        log.read(10, 0.0)
    log.close()


def test_a_seek_forgets_what_was_read_ahead() -> None:
    """It continues after the positions that it is told."""
    log = ReadAhead(Counted([10, 10, 10]))
    log.read(10, 0.0)
    log.seek({})
    batch = log.read(10, 0.0)
    assert batch is not None
    assert batch.positions == {(TOPIC, 0): 0}
    log.close()


def test_what_is_held_is_told_at_once() -> None:
    """Whoever tells it has a thread of its own, and the log takes it from any."""
    inner = Counted([10])
    log = ReadAhead(inner)
    log.hold({(TOPIC, 0): 7})
    assert inner.held == {(TOPIC, 0): 7}
    log.close()
