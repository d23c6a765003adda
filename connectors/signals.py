"""Debezium's signals in the embedded engine: lines of a file, which it reads and empties."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from connectors.postgres import NUDGE


def _file(state: Path, source: str) -> Path:
    return state / "signals" / f"{source}.json"


def signals(state: Path, source: str) -> dict[str, str]:
    """The settings with which a source's engine listens."""
    file = _file(state, source)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return {
        "signal.enabled.channels": "file",
        "signal.file": str(file),
        "signal.poll.interval.ms": "500",
        "message.prefix.exclude.list": NUDGE,
    }


def ask_for_snapshot(state: Path, source: str, tables: Sequence[str]) -> None:
    """Let the source's engine read these tables (`schema.table`) again, as they are now, between two changes.

    Streaming rests meanwhile and goes on where it was: no change is missed.
    """
    data = {"type": "BLOCKING", "data-collections": [re.escape(table) for table in tables]}
    with _file(state, source).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": str(uuid4()), "type": "execute-snapshot", "data": data}) + "\n")
