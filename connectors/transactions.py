"""Whole transactions: the changes of a source's open transaction are held back until its end has come."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from connectors.chunk import EMPTY, Ints, ints, value
from connectors.topics import TRANSACTION, ends_transaction


class Transactions:
    """Takes in chunks in the order of the log and gives out what belongs to whole transactions.

    A transaction that stays open for `wait` seconds after the log's end was reached is given out as it is, and counted
    as torn: a capture process that died must not hold up its source for ever.
    """

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._held: dict[int, pa.Table] = {}
        self._since: dict[int, float] = {}
        self._torn: set[int] = set()

    @property
    def held(self) -> int:
        """How many records are held back."""
        return sum(chunk.num_rows for chunk in self._held.values())

    def add(self, chunk: pa.Table) -> pa.Table:
        """Take in further records; gives those that may go on, the ones that were held before first."""
        kinds, sources = ints(chunk, "kind"), ints(chunk, "source")
        released, passing = [], np.ones(chunk.num_rows, dtype=bool)
        for source in np.unique(sources).tolist():
            rows = np.flatnonzero(sources == source)
            end, begin = _bounds(chunk, rows[kinds[rows] == TRANSACTION])
            if end is not None:
                self._torn.discard(source)
                self._since.pop(source, None)
                released.append(self._held.pop(source, EMPTY))
            if source in self._held:
                begin = int(rows[0])
            if begin is not None and source not in self._torn:
                open_rows = rows[rows >= begin]
                passing[open_rows] = False
                self._held[source] = pa.concat_tables([self._held.get(source, EMPTY), chunk.take(open_rows)])
        return pa.concat_tables([*released, chunk if passing.all() else chunk.filter(passing)])

    def overdue(self, now: float) -> tuple[pa.Table, int]:
        """At the end of the log: what was held for too long, and how many transactions that is."""
        for source in self._held:
            self._since.setdefault(source, now)
        late = [source for source, since in self._since.items() if now - since >= self._wait]
        self._torn.update(late)
        for source in late:
            del self._since[source]
        return pa.concat_tables([EMPTY, *(self._held.pop(source) for source in late)]), len(late)


def _bounds(chunk: pa.Table, marks: Ints) -> tuple[int | None, int | None]:
    """Of a source's BEGIN and END records: the row of the last END, and of the first BEGIN after it."""
    begin = None
    for row in reversed(marks.tolist()):
        if ends_transaction(value(chunk, row)):
            return row, begin
        begin = row
    return None, begin
