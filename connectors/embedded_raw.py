"""The embedded log as it is, for whoever reads it beside the pipeline."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from connectors.chunk import Ints, records
from connectors.embedded_places import Places
from connectors.embedded_writer import connect
from connectors.log import Partition, Positions
from connectors.raw import LAKE

_POLL = 0.05
"""Seconds between two looks at a log that has nothing new: nobody waits for its reader."""


class EmbeddedRaw:
    """Reads all of the log: a `connectors.raw.RawLog`. Its connection is its own, and writes nothing."""

    def __init__(self, path: Path) -> None:
        self._con = connect(path)
        self._places = Places(self._con, path, LAKE)
        self._topics: list[str] = []
        self._taken: dict[Partition, int] = {}
        self._cursor = 0
        self._version = -1

    @property
    def trouble(self) -> str | None:
        """Nothing: what goes wrong with a file is an error."""
        return None

    def seek(self, positions: Positions) -> dict[Partition, int]:
        """Continue after `positions`; see `RawLog`."""
        self._con.execute("begin")  # one view of the log: its other reader may trim it meanwhile
        try:
            self._places.check(positions)
            begins = {place: offset for place, offset in self._places.begins().items() if place not in positions}
            taken = {**positions, **{place: offset - 1 for place, offset in begins.items()}}
            self._cursor = self._places.first_beyond(taken) - 1
        finally:
            self._con.execute("rollback")
        self._taken, self._version = taken, -1
        return begins

    def read(self, limit: int, wait: float) -> tuple[pa.Table, Positions] | None:
        """About `limit` further records; see `RawLog`."""
        until = time.monotonic() + wait
        while True:
            version = int(self._con.execute("pragma data_version").fetchone()[0])
            if version != self._version:
                if (came := self._fetch(limit)) is not None:
                    return came, {place: offset for place, offset in self._taken.items() if offset >= 0}
                self._version = version
            if (rest := until - time.monotonic()) <= 0:
                return None
            time.sleep(min(_POLL, rest))

    def close(self) -> None:
        """Release the log."""
        self._con.close()

    def _fetch(self, limit: int) -> pa.Table | None:
        """The next records that were not taken in yet, or None at the end of the log."""
        while rows := self._places.after(self._cursor, limit):
            seq, topic, offset, key, value = zip(*rows, strict=True)
            topics, offsets = np.array(topic), np.array(offset)
            if max(topic) >= len(self._topics):
                self._topics = self._places.names()
            taken = np.array([self._taken.get((name, 0), -1) for name in self._topics])
            fresh = offsets > taken[topics]
            self._taken |= self._upto(topics[fresh], offsets[fresh])
            self._cursor = seq[-1]
            if fresh.any():
                columns = [pa.array(offsets), pa.array(key, pa.string()), pa.array(value, pa.string())]
                return records(self._topics, topics, *columns).filter(pa.array(fresh))
        return None

    def _upto(self, topics: Ints, offsets: Ints) -> dict[Partition, int]:
        """How far these bring each topic. Offsets have no holes here: one that is missing was removed unread."""
        upto = {}
        for topic in np.unique(topics).tolist():
            mine, name = offsets[topics == topic], self._topics[topic]
            taken = self._taken.get((name, 0), -1)
            if mine[0] != taken + 1:
                raise self._places.overtaken(name, taken)
            upto[name, 0] = int(mine[-1])
        return upto
