"""The embedded log: Debezium's topics in one SQLite file, written by the capture process and read by the pipeline."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa

from connectors.chunk import CHUNK, EMPTY, ints, records, value
from connectors.embedded_places import Places, last
from connectors.embedded_writer import EmbeddedLogWriter, connect
from connectors.log import Batch, Partition, Positions
from connectors.snapshots import Snapshots, apart
from connectors.topics import DATA, NOTIFICATION, kind_of, source_of
from connectors.transactions import Transactions

__all__ = ["EmbeddedLog", "EmbeddedLogWriter"]

_POLL = 0.002
_KEPT = 100_000
_TRIMMED_AT_ONCE = 5_000


class EmbeddedLog:
    """Reads the log: a `connectors.log.Log`. Other threads may ask for `lag` and tell it to `hold`.

    `expected` are the topic prefixes of the sources whose first snapshots must be complete before anything may fire.
    A source transaction whose end is missing is held back for at most `transaction_wait` seconds.
    """

    def __init__(self, path: Path, expected: Collection[str], transaction_wait: float = 1.0) -> None:
        self.path = path
        self._expected = frozenset(expected)
        self._wait = transaction_wait
        self._con = connect(path)
        self._places = Places(self._con, path)
        self._held: Positions | None = None
        self._snapshots = Snapshots(expected)
        self._version = -1
        self._trimmed = 0
        self._next: Batch | None = None
        self._restart({}, 0)

    @property
    def bootstrapped(self) -> bool:
        """Whether everything up to the end of the first snapshots was read."""
        if self._next is not None:
            return False
        upto = int(ints(self._rest, "seq")[0]) - 1 if self._rest.num_rows else self._cursor
        return self._snapshots.complete_at is not None and upto >= self._snapshots.complete_at

    @property
    def read_anew(self) -> Collection[str]:
        """The topics of the tables that a snapshot was read of to its end since `seek`; see `Log`."""
        return frozenset(self._snapshots.scanned) if self._next is None else frozenset()

    @property
    def trouble(self) -> str | None:
        """Nothing: what goes wrong with a file ends the run."""
        return None

    def seek(self, positions: Positions, stop: Event | None = None) -> None:
        """Continue after `positions`; see `Log`."""
        self._places.check(positions)
        self._restart(positions, self._places.first_beyond(positions) - 1)

    def read(self, limit: int, wait: float) -> Batch | None:
        """Take about `limit` further records; see `Log`."""
        until = time.monotonic() + wait
        while True:
            if self._next is not None:
                waited, self._next = self._next, None
                return waited
            version = int(self._con.execute("pragma data_version").fetchone()[0])
            if version != self._version or self._rest.num_rows:
                if (batch := self._take(limit)) is not None:
                    return batch
                self._version = version
            late, torn = self._transactions.overdue(now := time.monotonic())
            if torn:
                return self._given(late, snapshot=not self.bootstrapped, torn=torn)
            if now >= until:
                return None
            time.sleep(min(_POLL, until - now))

    def acknowledge(self, positions: Positions) -> None:
        """Records that were committed long ago are removed, a few at a time."""
        self._committed.update(positions)
        if self._cursor - self._trimmed > 2 * _KEPT and self.trim(self._committed, limit=_TRIMMED_AT_ONCE) == 0:
            self._trimmed = self._cursor - _KEPT

    def hold(self, positions: Positions) -> None:
        """Keep what is beyond these positions; see `Log`."""
        self._held = dict(positions)

    def trim(self, positions: Positions, kept: int = _KEPT, limit: int = -1) -> int:
        """Remove the oldest records up to `positions`, but neither the last `kept` of all, nor any notification, nor
        what somebody else has not read (see `hold`).

        Returns how many were removed: at most `limit`, or any number when that is negative. The very last one always
        stays, for the numbers of the next ones go on from it.
        """
        bound = min(self._places.first_beyond(positions), last(self._con) - max(kept, 1) + 1)
        if self._held is not None:
            bound = min(bound, self._places.first_there(self._held))
        with self._con:
            removed = self._con.execute(
                "delete from records where seq in (select seq from records where seq < ?"
                " and topic not in (select id from topics where name like '%.notifications') order by seq limit ?)",
                [bound, limit],
            )
        return int(removed.rowcount)

    def lag(self) -> int:
        """How many records lie behind the last one read."""
        with closing(sqlite3.connect(self.path)) as con:
            beyond = last(con) - self._cursor
        waiting: int = self._rest.num_rows
        return beyond + waiting + self._transactions.held

    def close(self) -> None:
        """Release the log; it can be opened again."""
        self._con.close()

    def _restart(self, positions: Positions, cursor: int) -> None:
        self._cursor = cursor
        self._taken: dict[Partition, int] = dict(positions)
        self._committed: dict[Partition, int] = dict(positions)
        self._topics: list[str] = []
        self._names: list[str] = []
        self._rest = EMPTY
        self._next = None
        self._transactions = Transactions(self._wait)
        self._version = -1
        complete = self._con.execute("select complete_at from snapshot").fetchone()
        notices = [
            (seq, source_of(topic, self._expected), notice)
            for seq, topic, offset, notice in self._con.execute(
                "select seq, name, offset, value from records join topics on topics.id = topic"
                " where name like '%.notifications' order by seq"
            )
            if offset <= positions.get((topic, 0), -1)
        ]
        self._snapshots.reset(int(complete[0]) if complete else None, notices)

    def _take(self, limit: int) -> Batch | None:
        """The next batch that has changes, or None at the end of the log."""
        while self._rest.num_rows or self._fetch(limit):
            size, snapshot = self._snapshots.cut(self._rest)
            part, self._rest = self._rest.slice(0, size), self._rest.slice(size)
            if ints(part, "kind")[-1] == NOTIFICATION:
                self._note(part.slice(size - 1))
            batch = self._given(self._transactions.add(part), snapshot)
            if batch.records.num_rows:
                return batch
        return None

    def _given(self, chunk: pa.Table, snapshot: bool, torn: int = 0) -> Batch:
        """What is given out. A snapshot in the middle of a transaction is a batch of its own, before it."""
        parts = apart(chunk) if self._snapshots.later and not snapshot else []
        if len(parts) < 2:
            return self._batch(chunk, snapshot or any(read for _, read in parts), torn)
        before = dict(self._taken)  # only both have brought their topics to the end
        (read, _), (news, _) = parts
        first = self._batch(read, snapshot=True)
        self._next = self._batch(news, snapshot=False, torn=torn)
        return replace(first, positions=before)

    def _fetch(self, limit: int) -> bool:
        """Read on; whether there was anything, be it taken in before."""
        if not (rows := self._places.after(self._cursor, limit)):
            return False
        seq, topic, offset, key, text = zip(*rows, strict=True)
        self._cursor = seq[-1]
        if max(topic) >= len(self._topics):
            self._learn_topics()
        topics = np.array(topic)
        columns = [pa.array(seq), pa.array(topics), pa.array(offset), pa.array(key, pa.string())]
        columns += [pa.array(text, pa.string()), pa.array(self._kind[topics]), pa.array(self._source[topics])]
        chunk = pa.table(columns, schema=CHUNK)
        fresh = ints(chunk, "offset") > self._before[topics]
        self._rest = chunk if fresh.all() else chunk.filter(fresh)
        return True

    def _learn_topics(self) -> None:
        self._topics = self._places.names()
        sources = [source_of(topic, self._expected) for topic in self._topics]
        self._names = list(dict.fromkeys([*self._names, *sources]))  # a source's number stays
        self._source = np.array([self._names.index(source) for source in sources])
        self._kind = np.array([kind_of(topic, source) for topic, source in zip(self._topics, sources, strict=True)])
        self._before = np.array([self._taken.get((topic, 0), -1) for topic in self._topics])

    def _note(self, notice: pa.Table) -> None:
        known = self._snapshots.complete_at
        seq, source = int(ints(notice, "seq")[0]), self._names[int(ints(notice, "source")[0])]
        self._snapshots.note(seq, source, value(notice, 0))
        if known is None and self._snapshots.complete_at is not None:
            with self._con:
                self._con.execute("insert into snapshot values (?)", [self._snapshots.complete_at])

    def _batch(self, chunk: pa.Table, snapshot: bool, torn: int = 0) -> Batch:
        topics, offsets = ints(chunk, "topic"), ints(chunk, "offset")
        last = dict(zip(topics.tolist(), offsets.tolist(), strict=True))  # offsets rise, so the last one stays
        self._taken.update({(self._topics[topic], 0): offset for topic, offset in last.items()})
        data = chunk.filter(pa.array(ints(chunk, "kind") == DATA))
        columns = [data.column(name) for name in ("offset", "key", "value")]
        return Batch(records(self._topics, ints(data, "topic"), *columns), dict(self._taken), snapshot, torn)
