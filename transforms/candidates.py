"""What changed in a segment or trigger, as candidates: rows that differ, with their profile's oldest commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from ringup.errors import ProjectError
from transforms.changes import Candidate, Membership, Row, SegmentChange, TriggerFired
from transforms.project import Model
from transforms.rows import rows_of, values_of
from transforms.stage import TOUCHED_ROWS

BOOKKEEPING = ("_net", "_rows")
"""What comparing notes beside a model's columns: the net count of a row, and the places where it is kept."""


def own_columns(rows: pa.Table) -> pa.Table:
    """The model's own columns, without what was noted beside them while rows were compared."""
    return rows.drop_columns([name for name in BOOKKEEPING if name in rows.column_names])


def told(model: Model, changed: pa.Table, touched: pa.Table) -> list[Candidate]:
    """The candidates as a list; ProjectError for a row that has a value which no message can carry."""
    try:
        return list(candidates(model, changed, touched))
    except (OverflowError, ValueError, pa.ArrowException) as error:
        raise ProjectError(
            f"{model.kind} {model.name} gives a value that no message can carry: {error}",
            where=model.path,
            mend="Keep times between the years 1 and 9999, and infinity out of its columns.",
        ) from error


def candidates(model: Model, changed: pa.Table, touched: pa.Table) -> Iterator[Candidate]:
    """What the changed rows of a segment or trigger mean, oldest event first."""
    committed = dict(zip(*(values_of(touched.column(name)) for name in TOUCHED_ROWS.names), strict=True))
    before: dict[Any, Row] = {}
    after: dict[Any, Row] = {}
    trigger = model.kind == "trigger"
    for net, row in zip(changed.column("_net").to_pylist(), rows_of(own_columns(changed)), strict=True):
        side = before if net < 0 else after
        side[(row["profile_id"], row["event_id"]) if trigger else row["profile_id"]] = row
    if trigger:
        yield from _fired(model, (row for key, row in after.items() if key not in before), committed)
        return
    for profile_id in sorted(before.keys() | after.keys()):
        was, is_now = before.get(profile_id), after.get(profile_id)
        kind: Membership = "entered" if was is None else "exited" if is_now is None else "updated"
        yield SegmentChange(model.name, profile_id, kind, was, is_now, committed[profile_id])


def _fired(model: Model, rows: Iterable[Row], committed: Mapping[int, datetime]) -> Iterator[TriggerFired]:
    """The events by their time, and those of one time by their id; one without a time comes last, at its commit."""
    events = [row for row in rows if row["event_id"] is not None]
    timed = sorted(
        (row for row in events if row["event_at"] is not None),
        key=lambda row: (row["event_at"], len(str(row["event_id"])), str(row["event_id"])),  # 9 before 10
    )
    for row in (*timed, *(row for row in events if row["event_at"] is None)):
        commit = committed[row["profile_id"]]
        yield TriggerFired(model.name, row["profile_id"], str(row["event_id"]), row["event_at"] or commit, row, commit)
