"""Times as cron has them, in a time zone of one's own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ringup.config import load_config
from ringup.errors import ConfigError
from ringup.times import next_time


def test_the_time_is_that_of_the_clock_on_the_wall() -> None:
    """Three in the morning in Berlin is one or two in UTC, by the season; what a change skips comes right after."""
    nights = [datetime(2026, 3, 28, tzinfo=UTC)]
    for _ in range(3):
        nights.append(next_time("30 2 * * *", "Europe/Berlin", nights[-1]))
    assert [night.isoformat()[:16] for night in nights[1:]] == [
        "2026-03-28T01:30",
        "2026-03-29T01:00",
        "2026-03-30T00:30",
    ]
    assert next_time("0 3 * * *", "UTC", nights[0]) == datetime(2026, 3, 28, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("{cron: every night}", "this is no time of cron"),
        ("{cron: 0 3 31 2 *}", "this is no time of cron"),
        ("{cron: 0 3 * * *, time_zone: Berlin}", "no time zone has this name"),
        ("{time_zone: UTC}", "cron"),
    ],
)
def test_what_is_no_time_is_an_error_with_its_field(tmp_path: Path, schedule: str, words: str) -> None:
    """Before anything starts, with what to write."""
    (tmp_path / "ringup.yml").write_text(f"project: shop\nschedule: {schedule}\n")
    with pytest.raises(ConfigError, match=words) as refused:
        load_config(tmp_path, {})
    assert "schedule" in str(refused.value.where)
    assert refused.value.mend
