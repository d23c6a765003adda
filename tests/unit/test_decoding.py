"""A large batch is decoded ahead, a small one when it is applied: it makes no difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ringup.engine import Engine
from tests.live import BILLS, MEMBERS, bill, rows
from tests.shop import COMMITTED, SHOP, batch, change

STATE = (
    'select bill_id, loyalty_card, total, profile_id, _position, _deleted from live.pos."bills tail" order by all',
    "select profile_id, visits, spend from live.marts.customers order by all",
    'select topic, "offset", reason from live.ringup.quarantine order by all',
)
ADA = (MEMBERS, change("c", None, {"member_id": 1, "loyalty_card": "A", "first_name": "Ada"}, 50))


def came(op: str, number: int, lsn: int) -> tuple[str, str]:
    """A change of a bill."""
    row = bill(number, "A", f"{lsn}.00")
    return BILLS, change(op, row, None, lsn) if op == "d" else change(op, None, row, lsn)


BATCHES = (
    [ADA, ("pos.pos.gifts", "{}")],
    [came("c", 1, 100), came("u", 1, 101), came("c", 2, 102), (BILLS, "no json"), (BILLS, change("u", None, None, 1))],
    [came("d", 2, 103), (BILLS, None), came("t", 1, 104), came("c", 3, 105)],
    [came("c", 1, 100), came("r", 4, 99), came("u", 3, 106)],
)


def state_after(path: Path, batches: Sequence[Sequence[tuple[str, str | None]]], *, ahead: bool) -> list[Any]:
    """What there is of bills, customers and quarantined changes."""
    engine = Engine(path, SHOP)
    engine.start(COMMITTED)
    for number, records in enumerate(batches):
        prepared = engine.mirror.decoder.ahead(batch(records, start=100 * number))
        assert (prepared.decoded is not None) == ahead
        with engine.warehouse.transaction():
            engine.apply(prepared)
    found = [rows(engine, sql) for sql in STATE]
    engine.close()
    return found


def test_a_batch_that_was_decoded_ahead_leads_to_the_same_state(tmp_path: Path) -> None:
    """Whatever came before, and whatever cannot be decoded."""
    when_applied = state_after(tmp_path / "applied.duckdb", BATCHES, ahead=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transforms.decoding.SMALL_BATCH", 0)
        assert state_after(tmp_path / "ahead.duckdb", BATCHES, ahead=True) == when_applied
    bills, customers, quarantined = when_applied
    assert [number for number, *_ in bills] == [1, 2, 3, 4]
    assert [visits for _, visits, _ in customers] == [3]
    assert len(quarantined) == 3
