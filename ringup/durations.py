"""Durations as a person writes them: a number and a unit."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_DURATION = r"(\d+(?:\.\d+)?) ?(ms|[smhd]|(?:second|minute|hour|day)s?)"


def duration(value: object) -> object:
    """`500ms`, `5s`, `30m`, `2h`, `1d`, or with the unit in full (`5 minutes`), as a timedelta."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(_DURATION, value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError("this is not a duration|Write a number and a unit: 500ms, 5s, 30m, 2h or 1d.")
    try:
        return float(match[1]) * _UNITS[match[2] if match[2] == "ms" else match[2][0]]
    except OverflowError:
        raise ValueError("this is longer than anybody waits|Write a shorter duration.") from None


def shown(value: timedelta) -> str:
    """A timedelta as it is written in ringup.yml."""
    unit = next((name for name, span in _UNITS.items() if value and not value % span), "ms")
    return f"{value // _UNITS[unit]}{unit}"


Duration = Annotated[
    timedelta,
    BeforeValidator(duration),
    PlainSerializer(shown),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION}$", "examples": ["500ms", "5s", "30m"]}),
]
