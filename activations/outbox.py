"""The ledgers of what goes out: decisions, messages and the receipts of their attempts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from operator import attrgetter
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from activations.seen import DIGITS, Seen
from activations.types import Decision, Delivery, Receipt
from transforms.inbox import Inbox

INSTANT = pa.timestamp("us", tz="UTC")
DECISIONS = pa.schema(
    {
        "activation": pa.string(),
        "profile_id": pa.int64(),
        "event_id": pa.string(),
        "verdict": pa.string(),
        "rules": pa.string(),
        "decided_at": INSTANT,
    }
)
OUTBOX = pa.schema(
    {
        "delivery_id": pa.string(),
        "seq": pa.int64(),
        "activation": pa.string(),
        "channel": pa.string(),
        "profile_id": pa.int64(),
        "event_id": pa.string(),
        "kind": pa.string(),
        "body": pa.string(),
        "committed_at": INSTANT,
        "created_at": INSTANT,
    }
)
RECEIPTS = pa.schema(
    {
        "delivery_id": pa.string(),
        "seq": pa.int64(),
        "state": pa.string(),
        "attempt": pa.int64(),
        "ended_at": INSTANT,
        "detail": pa.string(),
        "status": pa.int64(),
    }
)
LEDGERS = {"decisions": DECISIONS, "outbox": OUTBOX, "receipts": RECEIPTS}

SQL = dict(
    section.split("\n", maxsplit=1)
    for section in files("activations").joinpath("outbox.sql").read_text(encoding="utf-8").split("-- name: ")[1:]
)
"""The statements of `outbox.sql`, by name."""


class Outbox:
    """Writes the ledgers, always inside the caller's transaction. One per warehouse, on its writing connection.

    After a rollback it can be used on: a number that was given away is not given again, and an id that was noted
    as seen is looked up before it is believed.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        connection.execute(SQL["create"])
        row = connection.execute("select coalesce(max(seq), 0) from live.ringup.outbox").fetchone()
        assert row is not None
        self._seq: int = row[0]
        self._seen = Seen()
        digits = connection.execute(SQL["digits"], {"digits": DIGITS})
        while chunk := digits.fetchone():
            self._seen.load(chunk[0])
        self._arriving = {ledger: Inbox(schema) for ledger, schema in LEDGERS.items()}
        for ledger, inbox in self._arriving.items():
            connection.register(f"arriving {ledger}", inbox)
            connection.execute(
                f'prepare "add {ledger}" as insert into live.ringup.{ledger} by name select * from "arriving {ledger}"'
            )
        # The first Arrow table that DuckDB reads takes it half a second of imports: not in front of a message.
        self._insert("receipts", RECEIPTS.empty_table())

    def append(self, decisions: Sequence[Decision], deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Add them, and return the deliveries that are new, numbered. One that is in the outbox already is left out."""
        if decisions:
            written: dict[int, str] = {}
            rules = [written.get(id(d.rules)) or written.setdefault(id(d.rules), _rules(d)) for d in decisions]
            moments = [decision.at for decision in decisions]
            self._insert("decisions", _table(DECISIONS, decisions, rules=rules, decided_at=moments))
        new = [delivery.numbered(self._seq + n) for n, delivery in enumerate(self._unknown(deliveries), start=1)]
        if new:
            self._seq = new[-1].seq
            self._insert("outbox", _table(OUTBOX, new))
        return new

    def record(self, receipts: Sequence[Receipt]) -> None:
        """Add the receipts of attempts."""
        if receipts:
            self._insert("receipts", _table(RECEIPTS, receipts, ended_at=[receipt.at for receipt in receipts]))

    def _unknown(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        by_id = {delivery.delivery_id: delivery for delivery in deliveries}
        perhaps = self._seen.add(list(by_id))
        if perhaps:
            profiles = [by_id[delivery_id].profile_id for delivery_id in perhaps]
            found = self._connection.execute(SQL["known"], {"profiles": profiles, "ids": perhaps})
            for (delivery_id,) in found.fetchall():
                del by_id[delivery_id]
        return list(by_id.values())

    def _insert(self, ledger: str, arriving: pa.Table) -> None:
        self._arriving[ledger].table = arriving
        self._connection.execute(f'execute "add {ledger}"').fetchall()


def pending(
    connection: duckdb.DuckDBPyConnection, channel: str, *, after: int = 0, limit: int = 10_000
) -> list[Delivery]:
    """The oldest unfinished deliveries of a channel whose `seq` is higher than `after`, in order."""
    found = connection.execute(SQL["pending"], {"channel": channel, "after": after, "limit": limit})
    return [Delivery(*row) for row in found.fetchall()]


def counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many messages there are, and how many of them are `delivered`, `rejected` and `pending`."""
    return _rows(connection.execute(SQL["counts"]))[0]


def messages(connection: duckdb.DuckDBPyConnection, profile_id: int, *, limit: int = 20) -> list[dict[str, Any]]:
    """The newest messages of a profile, the last one first, each with its body, its state and its last attempt."""
    found = _rows(connection.execute(SQL["messages"], {"profile_id": profile_id, "limit": limit}))
    return [{**row, "body": orjson.loads(row["body"])} for row in found]


def _rows(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _table(
    schema: pa.Schema, items: Sequence[Decision] | Sequence[Delivery] | Sequence[Receipt], **given: Any
) -> pa.Table:
    columns = {field.name: given.get(field.name) or list(map(attrgetter(field.name), items)) for field in schema}
    return pa.table(columns, schema=schema)


def _rules(decision: Decision) -> str:
    verdicts = [{"rule": rule.rule, "passed": rule.passed, "saw": rule.saw} for rule in decision.rules]
    return orjson.dumps(verdicts).decode()
