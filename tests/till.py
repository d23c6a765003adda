"""Source databases that a property test does things to, and the change events that come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.shop import TABLES, change

CARDS = ("A", "B", "C", None)
BY_NAME = {table.relation: table for table in TABLES}


@dataclass
class Till:
    """The source databases: what is in them, and the change events that every table wrote so far."""

    rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = field(
        default_factory=lambda: {name: {} for name in BY_NAME}
    )
    events: dict[str, list[tuple[str, str | None]]] = field(default_factory=lambda: {name: [] for name in BY_NAME})
    effects: dict[str, list[tuple[tuple[Any, ...], dict[str, Any] | None]]] = field(
        default_factory=lambda: {name: [] for name in BY_NAME}
    )
    lsn: int = 100

    def put(self, name: str, row: dict[str, Any]) -> None:
        """Insert a row, or update the one with its key."""
        key = tuple(row[column] for column in BY_NAME[name].key)
        before = self.rows[name].get(key)
        self.lsn += 8
        self._write(name, key, change("u" if before else "c", before, row, self.lsn), row)

    def drop(self, name: str, key: tuple[Any, ...]) -> None:
        """Delete a row, if it is there."""
        if (before := self.rows[name].get(key)) is not None:
            self.lsn += 8
            self._write(name, key, change("d", before, None, self.lsn), None)

    def rename(self, name: str, key: tuple[Any, ...], new: tuple[Any, ...]) -> None:
        """Change a primary key: Debezium sends a delete, a tombstone and a create with one LSN."""
        before = self.rows[name].get(key)
        if before is None or new in self.rows[name]:
            return
        row = before | dict(zip(BY_NAME[name].key, new, strict=True))
        self.lsn += 8
        self._write(name, key, change("d", before, None, self.lsn), None)
        self.events[name].append((BY_NAME[name].topic, None))
        self.effects[name].append((key, None))
        self._write(name, new, change("c", None, row, self.lsn), row)

    def _write(self, name: str, key: tuple[Any, ...], value: str, row: dict[str, Any] | None) -> None:
        self.events[name].append((BY_NAME[name].topic, value))
        self.effects[name].append((key, row))
        if row is None:
            del self.rows[name][key]
        else:
            self.rows[name][key] = row


ids = st.integers(1, 4)
cents = st.integers(0, 9_999).map(lambda n: f"{n / 100:.2f}")
operations = st.one_of(
    st.tuples(st.just("member"), ids, st.sampled_from(CARDS)),
    st.tuples(st.just("bill"), ids, st.sampled_from(CARDS), cents),
    st.tuples(st.just("line"), ids, ids, cents),
    st.tuples(st.just("rate"), ids, ids),
    st.tuples(st.just("drop"), st.sampled_from(sorted(BY_NAME)), ids, ids),
    st.tuples(st.just("rename"), st.sampled_from(sorted(BY_NAME)), ids, ids),
)


def perform(till: Till, operation: tuple[Any, ...]) -> None:
    match operation:
        case ("member", number, card):
            till.put("crm.members", {"member_id": number, "loyalty_card": card, "first_name": f"M{number}"})
        case ("bill", number, card, total):
            sold_at = f"2026-03-0{number}T10:00:00.000000Z"
            till.put("pos.bills", {"bill_id": number, "loyalty_card": card, "sold_at": sold_at, "total": total})
        case ("line", bill, line, amount):
            till.put("pos.bill_lines", {"bill_id": bill, "line_no": line, "amount": amount})
        case ("rate", number, factor):
            till.put("pos.rates", {"rate_id": number, "factor": factor})
        case ("drop", name, first, second):
            till.drop(name, (first, second)[: len(BY_NAME[name].key)])
        case ("rename", name, first, second):
            size = len(BY_NAME[name].key)
            till.rename(name, (first, 1)[:size], (second, 2)[:size])
