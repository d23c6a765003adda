"""Whole transactions out of topics that have no common order: a transaction is ready when all its changes have come.

Kafka keeps the order of a partition only. The END of a source transaction says how many changes each table has, and
the ENDs of a source are in the order of the commits. So changes wait until the transaction they belong to is complete,
and transactions are given out in the order of their ENDs. What belongs to none, such as the rows of a snapshot, goes
on at once, unless something before it in its partition still waits: a partition's records are given out in their order.

A connector that died may send again what it had sent already, marks included. So changes are counted by their number in
the transaction, and what comes of a transaction that was given out before goes on at once: the mirror knows it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from connectors.chunk import Ints, ints
from connectors.log import RECORDS, Partition, Positions

_TRANSACTION = (
    r'"transaction":\{"id":"(?P<id>[^"]*)","total_order":(?P<number>[0-9]{1,18})'
    r'(?:(?P<truncated>,"data_collection_order":1\},"op":"t")|[,}])'
)
_SETTLED = 10_000
"""At least so many transactions that were given out are remembered, for what may come of them again."""

_BEGIN = b'{"status":"BEGIN"'
_POSTGRES = re.compile(r"(\d+):\d+")
_GTID = r"^\d+-\d+-\d+$"
_NONE = ""
_NO_NUMBERS: Ints = np.empty(0, np.int64)

Numbers: TypeAlias = dict[str, dict[str, Ints]]
"""The numbers that changes have in their transaction, by transaction and topic."""


@dataclass(slots=True)
class _End:
    """The END of a transaction: its id, how many changes each topic has, and its own place."""

    transaction: str
    changes: dict[str, int]
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
    held: pa.Table = field(default_factory=lambda: _arranged(RECORDS.empty_table())[0])
    _ends: list[_End] = field(default_factory=list)
    _came: Numbers = field(default_factory=dict)
    _settled: set[str] = field(default_factory=set)
    _settled_before: set[str] = field(default_factory=set)
    _marks: dict[Partition, int] = field(default_factory=dict)
    _since: float | None = None

    @property
    def open(self) -> bool:
        """Whether an END waits for its changes."""
        return bool(self._ends)

    def waits_for(self, topics: Collection[str]) -> bool:
        """Whether the first transaction that waits has changes in one of these."""
        return any(topic in topics for end in self._ends[:1] for topic in end.changes)

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
        counts = ((self.topics.get(c["data_collection"]), c["event_count"]) for c in said["data_collections"] or ())
        wanted = {topic: _count(count) for topic, count in counts if topic is not None}
        self._ends.append(_End(transaction, wanted, place, offset))

    def add(self, changes: pa.Table) -> pa.Table:
        """Take in changes, and give out what is complete now, in the order in which it is to be applied."""
        fresh: Numbers = {}
        if changes.num_rows:
            arranged, fresh = _arranged(changes)
            self.held = pa.concat_tables([self.held, arranged])
            if not self._ends:
                self._since = None
        complete: dict[str, int] = {}
        ready = 0
        for end in self._ends:
            if not self._whole(end, fresh.get(end.transaction, {})):
                break
            complete[end.transaction] = ready
            ready += 1
        if ready:
            del self._ends[:ready]
            self._since = None
        given = self._release(complete)
        for transaction, tables in fresh.items():
            if not self._is_settled(transaction):
                came = self._came.setdefault(transaction, {})
                for topic, numbers in tables.items():
                    came[topic] = np.union1d(came[topic], numbers) if topic in came else numbers
        return given

    def _whole(self, end: _End, fresh: Mapping[str, Ints]) -> bool:
        """Whether all changes of a transaction have come, with those that are `fresh`."""
        came = self._came.get(end.transaction, {})
        for topic, count in end.changes.items():
            known, new = came.get(topic, _NO_NUMBERS), fresh.get(topic, _NO_NUMBERS)
            if len(known) + len(new) < count or (len(known) and len(new) and len(np.union1d(known, new)) < count):
                return False
        return True

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
        torn = [name for name in self.held.column("transaction").unique().to_pylist() if name != _NONE]
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
        of = [complete.get(n, -1 if n == _NONE or self._is_settled(n) else len(complete)) for n in names]
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
            self._came.pop(name, None)
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


def _arranged(changes: pa.Table) -> tuple[pa.Table, Numbers]:
    """The changes with the transaction that each belongs to, an empty text for none; and their numbers in it."""
    found = pc.extract_regex(changes.column("value"), _TRANSACTION)
    written = pc.fill_null(pc.struct_field(found, "id"), _NONE).combine_chunks().dictionary_encode()
    names = [_same(name) for name in written.dictionary.to_pylist()]
    owners = pc.take(pa.array(names, pa.string()), written.indices)
    truncated = pc.fill_null(pc.not_equal(pc.struct_field(found, "truncated"), ""), False)
    if pc.any(truncated).as_py():
        owners = _without_unended(owners, truncated.combine_chunks())
    numbers = pc.fill_null(pc.cast(pc.struct_field(found, "number"), pa.int64()), 0)
    return changes.append_column("transaction", owners), _numbered(owners, changes.column("topic"), numbers)


def _without_unended(owners: pa.Array, truncated: pa.Array) -> pa.Array:
    """MariaDB's TRUNCATE is a transaction of its own, whose END never comes: it belongs to none."""
    gtids = pc.match_substring_regex(owners, _GTID)
    return pc.if_else(pc.and_(truncated, gtids), _NONE, owners)


def _numbered(owners: pa.Array, topics: pa.ChunkedArray, numbers: pa.ChunkedArray) -> Numbers:
    """The numbers of the changes that came, each once, by transaction and topic."""
    owner, topic = owners.dictionary_encode(), topics.combine_chunks().dictionary_encode()
    names, tables = owner.dictionary.to_pylist(), topic.dictionary.to_pylist()
    groups = owner.indices.to_numpy().astype(np.int64) * len(tables) + topic.indices.to_numpy()
    order = np.lexsort((numbers.to_numpy(), groups))
    groups, sorted_numbers = groups[order], numbers.to_numpy()[order]
    if not groups.size:
        return {}
    first = np.r_[True, (np.diff(groups) != 0) | (np.diff(sorted_numbers) != 0)]
    groups, sorted_numbers = groups[first], sorted_numbers[first]
    starts = np.flatnonzero(np.r_[True, np.diff(groups) != 0])
    came: Numbers = {}
    for group, begin, end in zip(
        groups[starts].tolist(), starts.tolist(), [*starts[1:].tolist(), groups.size], strict=True
    ):
        name = names[group // len(tables)]
        if name != _NONE:
            came.setdefault(name, {})[tables[group % len(tables)]] = sorted_numbers[begin:end]
    return came


def _count(said: object) -> int:
    """How many changes a table has. Raises TypeError for what is no number: it would be compared much later."""
    if type(said) is not int:
        raise TypeError("no count")
    return said


def _same(transaction: str) -> str:
    """PostgreSQL's transactions are named `number:position`, and the END has another position than the changes."""
    postgres = _POSTGRES.fullmatch(transaction)
    return postgres[1] if postgres else transaction
