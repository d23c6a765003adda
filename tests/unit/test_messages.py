"""The JSON of messages is exact."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from activations.messages import encode


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_a_decimal_keeps_every_digit(value: Decimal) -> None:
    """What a reader gets back is the same number, also to the last zero."""
    read = Decimal(orjson.loads(encode({"value": value}))["value"])
    assert read.as_tuple() == value.as_tuple()


@given(st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)), st.integers(-840, 840))
@example(datetime(2026, 3, 1, 12), 0)
def test_a_time_with_a_zone_is_the_same_instant_in_utc(value: datetime, minutes: int) -> None:
    """Times are UTC with microseconds, whatever zone they came in."""
    zoned = value.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    text = orjson.loads(encode({"value": zoned}))["value"]
    assert text.endswith("+00:00")
    assert len(text) == len("2026-03-01T12:00:00.123456+00:00")
    assert datetime.fromisoformat(text) == zoned


@given(st.integers())
def test_an_integer_of_any_size_arrives_whole(value: int) -> None:
    """Up to 64 bits it is a number, beyond that a string, as JSON readers would round it."""
    read = orjson.loads(encode({"value": [value]}))["value"][0]
    assert int(read) == value
    assert isinstance(read, int) == (-(2**63) <= value < 2**64)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (float("nan"), None),
        (Decimal("1E+3"), "1000"),
        (Decimal("12.50"), "12.50"),
        (date(2026, 3, 1), "2026-03-01"),
        (datetime(2026, 3, 1, 9), "2026-03-01T09:00:00.000000"),
        (datetime(2026, 7, 1, 9, tzinfo=ZoneInfo("Europe/Vienna")), "2026-07-01T07:00:00.000000+00:00"),
        (timedelta(days=1, microseconds=5), "86400.000005"),
        (b"\x00\xff", "AP8="),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"a": [Decimal("0.10")]}, {"a": ["0.10"]}),
        ({1: "one"}, {"1": "one"}),
        (1 + 2j, "(1+2j)"),
    ],
)
def test_each_kind_of_value_has_one_rendering(value: object, shown: object) -> None:
    """Every value that a model can hold is written in a documented way."""
    assert orjson.loads(encode({"value": value})) == {"value": shown}


def test_a_large_integer_does_not_change_how_its_neighbours_look() -> None:
    """One value beyond 64 bits leaves the others as they are."""
    row = {"big": 2**70, "total": Decimal("3.10"), "at": datetime(2026, 3, 1, tzinfo=UTC), "yes": True, "n": 5}
    assert orjson.loads(encode(row)) == {
        "big": str(2**70),
        "total": "3.10",
        "at": "2026-03-01T00:00:00.000000+00:00",
        "yes": True,
        "n": 5,
    }
