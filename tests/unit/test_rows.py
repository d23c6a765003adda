"""Rows of Arrow as Python's."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.rows import rows_of, values_of

INSTANT = pa.timestamp("us", tz="UTC")


@given(st.lists(st.none() | st.datetimes(timezones=st.just(UTC))), st.lists(st.none() | st.datetimes()))
def test_rows_are_what_arrow_itself_would_give(instants: list[datetime | None], moments: list[datetime | None]) -> None:
    """With times of all years, and without."""
    length = min(len(instants), len(moments))
    table = pa.table(
        {
            "instant": pa.array(instants[:length], INSTANT),
            "moment": pa.array(moments[:length], pa.timestamp("us")),
            "number": pa.array(range(length)),
        }
    )
    assert rows_of(table) == table.to_pylist()


@pytest.mark.parametrize("micros", [2**63 - 1, 253_402_300_800_000_000, -62_135_596_800_000_001])
def test_a_time_beyond_all_years_is_refused(micros: int) -> None:
    """As Arrow refuses it."""
    with pytest.raises(OverflowError, match="before the year 1 or after 9999"):
        values_of(pa.chunked_array([pa.array([0, micros], INSTANT)]))
