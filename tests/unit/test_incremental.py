"""The heart: what is kept change by change equals what is computed anew, whatever comes in whatever order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringup.engine import Engine
from tests.shop import COMMITTED, SHOP, TABLES, batch, change
from transforms import held
from transforms.compact import compact
from transforms.prove import prove
from transforms.warehouse import quoted


class Undone(Exception):
    """Something went wrong after a batch was applied, and before it was committed."""


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


def expected(till: Till, taken: dict[str, int]) -> dict[str, set[tuple[Any, ...]]]:
    """What the mirror must hold, with profiles found by plain reasoning rather than by ringup's own SQL."""
    rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
    for name, effects in till.effects.items():
        state = rows[name] = {}
        for key, row in effects[: taken[name]]:
            state.pop(key, None)
            if row is not None:
                state[key] = row
    owner: dict[str, int] = {}
    for member in rows["crm.members"].values():
        card = member["loyalty_card"]
        if card is not None:
            owner[card] = min(owner.get(card, member["member_id"]), member["member_id"])
    bills = {key[0]: owner.get(row["loyalty_card"]) for key, row in rows["pos.bills"].items()}
    return {
        "crm.members": {(key[0], key[0]) for key in rows["crm.members"]},
        "pos.bills": {(key[0], bills[key[0]]) for key in rows["pos.bills"]},
        "pos.bill_lines": {(*key, bills.get(key[0])) for key in rows["pos.bill_lines"]},
        "pos.rates": {(key[0], None) for key in rows["pos.rates"]},
    }


def mirrored(engine: Engine, name: str) -> set[tuple[Any, ...]]:
    table = BY_NAME[name]
    keys = ", ".join(table.key)
    found = [
        row
        for part in (table.name, f"{table.name} tail")
        for row in engine.warehouse.con.execute(
            f"select {keys}, profile_id from {quoted('live', table.source, part)} where not _deleted"
        ).fetchall()
    ]
    assert len(found) == len(set(found)), f"{name} holds a row twice"
    return set(found)


@pytest.fixture
def engines() -> Iterator[Any]:
    """Opens engines, each on a file of its own; whoever asks for one closes it."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = count()

        def fresh() -> Engine:
            engine = Engine(Path(folder) / f"{next(numbers)}.duckdb", SHOP)
            engine.start(COMMITTED)
            return engine

        yield fresh


@settings(
    max_examples=int(os.environ.get("RINGUP_EXAMPLES", "40")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_what_is_kept_equals_what_is_computed_anew_after_every_batch(
    engines: Any, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    """Inserts, updates, deletes, key changes, resends, any order across tables, held in memory or not: always right."""
    monkeypatch.setattr(held, "HELD", data.draw(st.sampled_from([held.HELD, 0]), label="held"))
    engine = engines()
    till, taken, sent = Till(), dict.fromkeys(BY_NAME, 0), 0
    try:
        for _ in range(data.draw(st.integers(1, 5), label="batches")):
            for operation in data.draw(st.lists(operations, max_size=8), label="operations"):
                perform(till, operation)
            records: list[tuple[str, str | None]] = []
            for name in data.draw(st.permutations(sorted(BY_NAME)), label="order"):
                behind = data.draw(st.integers(0, min(taken[name], 4)), label="resent")
                upto = data.draw(st.integers(taken[name], len(till.events[name])), label="upto")
                records += till.events[name][taken[name] - behind : upto]
                taken[name] = upto
            if not records:
                continue
            if data.draw(st.booleans(), label="undone"):
                with pytest.raises(Undone), engine.warehouse.transaction():
                    engine.apply(batch(records, start=sent))
                    raise Undone
            with engine.warehouse.transaction():
                engine.apply(batch(records, start=sent))
            sent += len(records)
            if data.draw(st.booleans(), label="compact"):
                compact(engine.warehouse, engine.mirror, at_least=1)
            for name, rows in expected(till, taken).items():
                assert mirrored(engine, name) == rows
            report = prove(engine.warehouse.reader(), SHOP)
            assert report.differ == 0, report
    finally:
        engine.close()
