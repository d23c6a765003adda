"""Whole transactions out of topics that have no common order: a transaction is ready when all its changes have come.

Kafka keeps the order of a partition only. The END of a source transaction says how many changes each table has, and
the ENDs of a source are in the order of the commits. So changes wait until the transaction they belong to is complete,
and transactions are given out in the order of their ENDs. What belongs to none, such as the rows of a snapshot, goes
on at once, unless something before it in its partition still waits: a partition's records are given out in their order.

A connector that died may send again what it had sent already, marks included. So changes are counted by their number in
the transaction, and what comes of a transaction that was given out before goes on at once: the mirror knows it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from connectors.blocks import NONE, blocks
from connectors.chunk import Ints, ints
from connectors.log import RECORDS, Partition, Positions

_SETTLED = 10_000
"""At least so many transactions that were given out are remembered, for what may come of them again."""

_POSTGRES = re.compile(r"(\d+):\d+")
_BEGIN = b'{"status":"BEGIN"'
_AT_ONCE = 10_000
"""How many ENDs are looked at together, while all of them are whole."""


@dataclass(slots=True)
class _End:
    """The END of a transaction: its id, how many changes each of the topics has, and its own place."""

    transaction: str
    changes: list[int]
    place: Partition
    offset: int


@dataclass(slots=True)
class Assembly:
    """The changes of one source on their way into whole transactions. `topics` maps its tables to topics that are read.

    Changes have the columns of `RECORDS`, in the order in which they arrived.

    Where a transaction does not become complete within `wait` seconds after all was read, what there is of it is given
    out, and counted as torn: a source must not be held up for ever.
    """

    topics: Mapping[str, str]
    wait: float
    held: pa.Table = field(default_factory=lambda: _owned(RECORDS.empty_table()))
    _ends: list[_End] = field(default_factory=list)
    _settled: set[str] = field(default_factory=set)
    _settled_before: set[str] = field(default_factory=set)
    _marks: dict[Partition, int] = field(default_factory=dict)
    _since: float | None = None
    _tables: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._tables = {table: number for number, table in enumerate(self.topics)}

    @property
    def open(self) -> bool:
        """Whether an END waits for its changes."""
        return bool(self._ends)

    def waits_for(self, topics: Collection[str]) -> bool:
        """Whether the first transaction that waits has changes in one of these."""
        counts = zip(self.topics.values(), self._ends[0].changes, strict=True) if self._ends else ()
        return any(count and topic in topics for topic, count in counts)

    def upto(self) -> Positions:
        """How far the transaction topic was used up: before the first END that waits for its changes."""
        first = self._ends[:1]
        return {**self._marks, **{end.place: end.offset - 1 for end in first}}

    def mark(self, place: Partition, offset: int, mark: bytes) -> None:
        """Take in a record of the transaction topic. Raises ValueError, KeyError or TypeError for what is no mark."""
        self._marks[place] = offset
        if mark.startswith(_BEGIN):
            return  # it says nothing that is needed
        said = orjson.loads(mark)
        if said["status"] != "END":
            return
        transaction = _same(said["id"])
        if self._is_settled(transaction):
            return
        wanted = [0] * len(self._tables)
        for table in said["data_collections"] or ():
            if (number := self._tables.get(table["data_collection"])) is not None:
                wanted[number] = _count(table["event_count"])
        self._ends.append(_End(transaction, wanted, place, offset))

    def add(self, changes: pa.Table) -> pa.Table:
        """Take in changes, and give out what is complete now, in the order in which it is to be applied."""
        if changes.num_rows:
            self.held = pa.concat_tables([self.held, _owned(changes)])
            if not self._ends:
                self._since = None
        ready = self._whole()
        complete = {end.transaction: rank for rank, end in enumerate(self._ends[:ready])}
        if ready:
            del self._ends[:ready]
            self._since = None
        return self._release(complete)

    def _whole(self) -> int:
        """Of how many of the first ENDs all changes have come."""
        if not self._ends:
            return 0
        names, came = _counted(self.held, list(self.topics.values()))
        ready = 0
        while ends := self._ends[ready : ready + _AT_ONCE]:
            wanted = np.array([end.changes for end in ends])
            rows = pc.index_in(pa.array([end.transaction for end in ends]), names)
            whole = (came[pc.fill_null(rows, len(names)).to_numpy()] >= wanted).all(axis=1)
            if not whole.all():
                return ready + int(whole.argmin())
            ready += len(ends)
        return ready

    def _is_settled(self, transaction: str) -> bool:
        """Whether it was given out of late."""
        return transaction in self._settled or transaction in self._settled_before

    def overdue(self, now: float) -> bool:
        """Whether something has waited for too long.

        Where an END waits, later changes do not make it wait longer: a busy source would be held up for ever.
        """
        if not self.held.num_rows and not self.open:
            self._since = None
            return False
        self._since = now if self._since is None else self._since
        return now - self._since >= self.wait

    def wait_anew(self) -> None:
        """Nothing can have come of late: what waits has as long again."""
        self._since = None

    def tear(self) -> tuple[pa.Table, int]:
        """Give out all that is held as it is, and how many transactions that is."""
        torn = [name for name in self.held.column("transaction").unique().to_pylist() if name != NONE]
        ended = {end.transaction for end in self._ends}
        self._ends.clear()
        self._since = None
        whole = {name: n for n, name in enumerate(dict.fromkeys([*torn, *ended]))}
        return self._release(whole), len(whole)

    def _release(self, complete: Mapping[str, int]) -> pa.Table:
        """Take out of what is held: what belongs to no transaction or a settled one, then the complete ones."""
        self._settle(complete)
        if not self.held.num_rows:
            return self.held.select(RECORDS.names)
        owners = self.held.column("transaction").combine_chunks().dictionary_encode()
        names = owners.dictionary.to_pylist()
        of = [complete.get(n, -1 if n == NONE or self._is_settled(n) else len(complete)) for n in names]
        ranks: Ints = np.array(of, np.int64)[owners.indices.to_numpy()]
        ranks = _after_those_before(ranks, self.held)
        going = np.flatnonzero(ranks < len(complete))
        if not going.size:
            return self.held.slice(0, 0).select(RECORDS.names)
        given = self.held.take(pa.array(going[np.argsort(ranks[going], kind="stable")]))
        self.held = self.held.filter(pa.array(ranks >= len(complete))).combine_chunks()
        return given.select(RECORDS.names)

    def _settle(self, transactions: Iterable[str]) -> None:
        """They are given out; remember them for a while."""
        for name in transactions:
            self._settled.add(name)
        if len(self._settled) > _SETTLED:
            self._settled, self._settled_before = set(), self._settled


def _after_those_before(ranks: Ints, rows: pa.Table) -> Ints:
    """No record is given out before those that precede it in its partition."""
    places = rows.select(["topic", "partition"]).combine_chunks()
    topics = places.column("topic").combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    partitions = topics * (1 << 20) + ints(places, "partition")
    order = np.argsort(partitions, kind="stable")
    highest = ranks[order].copy()
    starts = np.flatnonzero(np.r_[True, np.diff(partitions[order]) != 0])
    for first, last in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
        np.maximum.accumulate(highest[first:last], out=highest[first:last])
    lifted = np.empty_like(ranks)
    lifted[order] = highest
    return lifted


def _owned(changes: pa.Table) -> pa.Table:
    """The changes with the transaction that each belongs to, and its number in it."""
    found = blocks(changes.column("value"))
    written = found.column("transaction").combine_chunks().dictionary_encode()
    owners = pa.array([_same(name) for name in written.dictionary.to_pylist()], pa.string()).take(written.indices)
    return changes.append_column("transaction", owners).append_column("number", found.column("number"))


def _counted(changes: pa.Table, topics: Sequence[str]) -> tuple[pa.Array, Ints]:
    """The transactions of changes, and how many each topic has of each, one row a transaction; a last row has none.

    What came twice counts once.
    """
    owners = changes.column("transaction").combine_chunks().dictionary_encode()
    numbers = changes.column("number").combine_chunks().dictionary_encode()
    tables = pc.index_in(changes.column("topic"), pa.array(topics, pa.string())).to_numpy()
    groups = owners.indices.to_numpy().astype(np.int64) * len(topics) + tables
    keys = np.sort(groups * len(numbers.dictionary) + numbers.indices.to_numpy())
    once = keys[np.diff(keys, prepend=-1) > 0] // max(len(numbers.dictionary), 1)
    shape = len(owners.dictionary) + 1, len(topics)
    return owners.dictionary, np.bincount(once, minlength=math.prod(shape)).reshape(shape)


def _count(said: object) -> int:
    """How many changes a table has. Raises TypeError for what is no number: it would be compared much later."""
    if type(said) is not int:
        raise TypeError("no count")
    return said


def _same(transaction: str) -> str:
    """PostgreSQL's transactions are named `number:position`, and the END has another position than the changes."""
    postgres = _POSTGRES.fullmatch(transaction)
    return postgres[1] if postgres else transaction
