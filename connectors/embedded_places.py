"""Where in the embedded log reading goes on, and up to where it may be trimmed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TypeAlias

from connectors.log import Keeper, Partition, Positions
from ringup.errors import LogError

WAREHOUSE = Keeper(
    "the warehouse", "this state folder", "delete the whole state folder: then the sources are read anew"
)

Row: TypeAlias = tuple[int, int, int, str | None, str | None]
"""Number, topic, offset, key and value of a record."""


class Places:
    """Finds records of a log by their positions. A record's number (`seq`) is its place among all topics."""

    def __init__(self, con: sqlite3.Connection, path: Path, keeper: Keeper = WAREHOUSE) -> None:
        self._con, self._path, self._keeper = con, path, keeper

    def check(self, positions: Positions) -> None:
        """Raise LogError when a position is beyond the end of the log."""
        ends = {name: end for _, name, end in self._topics()}
        for (topic, partition), offset in positions.items():
            if partition != 0 or offset >= ends.get(topic, 0):
                raise LogError(
                    f"{self._keeper.name} has taken in {topic} up to offset {offset}, but the log ends at offset "
                    f"{ends.get(topic, 0) - 1}",
                    mend=f"restore the log that belongs to {self._keeper.whole}, or {self._keeper.anew}",
                    where=str(self._path),
                )

    def begins(self) -> dict[Partition, int]:
        """The offset with which each topic begins: that of its oldest record, or of the next one."""
        found = {}
        for topic, name, end in self._topics():
            row = self._following(topic, -1)
            found[name, 0] = end if row is None else row[1]
        return found

    def first_beyond(self, positions: Positions) -> int:
        """The number of the first record that is not taken in by `positions`; LogError when it was removed already."""
        first = last(self._con) + 1
        for topic, name, end in self._topics():
            taken = positions.get((name, 0), -1)
            if taken + 1 == end:
                continue
            row = self._following(topic, taken)
            if row is None or row[1] != taken + 1:
                raise self.overtaken(name, taken)
            first = min(first, row[0])
        return first

    def first_there(self, positions: Positions) -> int:
        """The number of the first record beyond `positions` that is there, whatever was removed before it."""
        end = last(self._con) + 1  # first of all, for the log goes on growing
        found = [self._following(topic, positions.get((name, 0), -1)) for topic, name, _ in self._topics()]
        return min((row[0] for row in found if row is not None), default=end)

    def after(self, seq: int, limit: int) -> list[Row]:
        """The records that come after one, up to `limit`, in their order over all topics."""
        return self._con.execute(
            "select seq, topic, offset, key, value from records where seq > ? order by seq limit ?", [seq, limit]
        ).fetchall()

    def names(self) -> list[str]:
        """The names of the topics, in the order of their numbers, which count from 0."""
        return [name for (name,) in self._con.execute("select name from topics order by id")]

    def overtaken(self, topic: str, taken: int) -> LogError:
        """What to do when records were removed that were not read."""
        return LogError(
            f"the log no longer holds what follows offset {taken} of {topic}",
            mend=self._keeper.anew,
            where=str(self._path),
        )

    def _topics(self) -> list[tuple[int, str, int]]:
        """Number and name of each topic, and the offset that its next record gets."""
        return self._con.execute("select id, name, next from topics").fetchall()

    def _following(self, topic: int, offset: int) -> tuple[int, int] | None:
        """Number and offset of the record that comes after `offset` in a topic. Its numbers rise with its offsets."""
        row: tuple[int, int] | None = self._con.execute(
            "select seq, offset from records where topic = ? and partition = 0 and offset > ? order by offset limit 1",
            [topic, offset],
        ).fetchone()
        return row


def last(con: sqlite3.Connection) -> int:
    """The number of the last record."""
    return int(con.execute("select coalesce(max(seq), 0) from records").fetchone()[0])
