"""What the transforms hand on: changes of segments and firings of triggers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

Row: TypeAlias = Mapping[str, Any]
"""One row of a model, by column."""

Membership: TypeAlias = Literal["entered", "exited", "updated"]


@dataclass(frozen=True, slots=True)
class SegmentChange:
    """A profile entered, exited or was updated in a segment. `before` is None on entry, `after` on exit."""

    model: str
    profile_id: int
    kind: Membership
    before: Row | None
    after: Row | None
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class TriggerFired:
    """A trigger has a row that it did not have before. `committed_at` is the source's commit time, in UTC."""

    model: str
    profile_id: int
    event_id: str
    event_at: datetime
    row: Row
    committed_at: datetime


Candidate: TypeAlias = SegmentChange | TriggerFired
"""Anything that an activation may turn into a message."""
