"""The heart: what is kept change by change equals what is computed anew, whatever comes in whatever order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringup.engine import Engine
from tests.shop import COMMITTED, SHOP, batch
from tests.till import BY_NAME, Till, operations, perform
from transforms import held
from transforms.compact import compact
from transforms.prove import prove
from transforms.warehouse import quoted


class Undone(Exception):
    """Something went wrong after a batch was applied, and before it was committed."""


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
