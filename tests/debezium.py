"""Records as Debezium's engine gives them: (topic, key, value)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

Record: TypeAlias = tuple[str, str | None, str | None]


def begin(source: str = "pos") -> Record:
    """The start of a transaction."""
    return f"{source}.transaction", '{"id":"7:1"}', '{"status":"BEGIN","id":"7:1","event_count":null,"ts_ms":1}'


def end(source: str = "pos") -> Record:
    """The end of a transaction."""
    return f"{source}.transaction", '{"id":"7:9"}', '{"status":"END","id":"7:9","event_count":3,"ts_ms":1}'


def change(table: str, row: int, op: str = "c", columns: Mapping[str, Any] | None = None) -> Record:
    """A change of one row of a table, named by source, schema and table (`pos.pos.bills`)."""
    after = None if op == "d" else {"id": row, **(columns or {})}
    before = {"id": row, **(columns or {})} if op in "ud" else None
    envelope = {"before": before, "after": after, "source": {"lsn": row}, "transaction": None, "op": op, "ts_ms": 5}
    return table, compact({"id": row}), compact({**envelope, "ts_us": 5000, "ts_ns": 5000000})


def transaction(table: str, *rows: int) -> list[Record]:
    """A whole transaction that inserts rows."""
    source = table.split(".", 1)[0]
    return [begin(source), *(change(table, row) for row in rows), end(source)]


def notice(what: str, source: str = "pos", about: str = "Initial Snapshot") -> Record:
    """A notification of the engine."""
    value = {"id": "n", "type": what, "aggregate_type": about, "additional_data": {}, "timestamp": 1}
    return f"{source}.notifications", '{"id":"n"}', compact(value)


def scanned(table: str) -> Record:
    """A notification that a snapshot has read all of a table, named by source, schema and table."""
    source, _, name = table.partition(".")
    said = {"scanned_collection": name, "status": "SUCCEEDED", "total_rows_scanned": "1"}
    value = {"id": "n", "type": "TABLE_SCAN_COMPLETED", "aggregate_type": "Initial Snapshot", "additional_data": said}
    return f"{source}.notifications", '{"id":"n"}', compact(value)


def compact(value: Any) -> str:
    """JSON as Debezium writes it."""
    return json.dumps(value, separators=(",", ":"))
