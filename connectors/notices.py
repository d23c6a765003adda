"""What Debezium notifies of its snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification: what it is `about`, what happened (`type`), and what `more` it says."""

    about: str
    type: str
    more: Mapping[str, Any]

    @property
    def of_snapshot(self) -> bool:
        """Whether it is about a snapshot."""
        return self.about.endswith("Snapshot")

    @property
    def of_first(self) -> bool:
        """Whether it is about a source's first snapshot."""
        return self.about == "Initial Snapshot"

    @property
    def ends_first(self) -> bool:
        """Whether a source's first snapshot is complete, be it that it was so before."""
        return self.of_first and self.type in ("COMPLETED", "SKIPPED")


def read_notice(notice: str | bytes) -> Notice:
    """Read a notification. Raises ValueError for what is none: anybody can write into a topic."""
    said = orjson.loads(notice)
    match said:
        case {"aggregate_type": str(about), "type": str(kind)}:
            more = said.get("additional_data")
            return Notice(about, kind, more if isinstance(more, dict) else {})
    raise ValueError("no notification")
