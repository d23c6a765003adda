"""The small shop's engine at work: what it takes in, and what is in its warehouse."""

from __future__ import annotations

from typing import Any

from ringup.engine import Engine
from tests.shop import batch

BILLS, MEMBERS, LINES = "pos.pos.bills", "crm.crm.members", "pos.pos.bill_lines"


def bill(number: int, card: str | None, total: Any = "10.00") -> dict[str, Any]:
    """A bill as the till writes it."""
    return {"bill_id": number, "loyalty_card": card, "sold_at": "2026-03-01T10:00:00Z", "total": total}


def take(engine: Engine, *records: tuple[str, str | None], snapshot: bool = False) -> Any:
    """Let an engine take in records, in a transaction of its own; what comes of them."""
    with engine.warehouse.transaction():
        return engine.apply(batch(records, snapshot=snapshot))


def rows(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    """What a query says of the engine's warehouse."""
    return engine.warehouse.con.execute(sql).fetchall()
