"""Times of day as a person writes them: cron's five fields, and the time zone that they are of."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError


def cron(value: str) -> str:
    """A time of cron that comes at all; ValueError for what is none."""
    try:
        next_time(value, "UTC", datetime(2026, 1, 1, tzinfo=UTC))
    except (CronSimError, StopIteration) as error:
        why = str(error) or "it never comes"
        raise ValueError(f"this is no time of cron: {why}|Write minute, hour, day, month and weekday.") from None
    return value


def zone(value: str) -> str:
    """The name of a time zone; ValueError for what is none."""
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no time zone has this name|Write one such as Europe/Berlin, or UTC.") from None


def next_time(value: str, zone: str, after: datetime) -> datetime:
    """The first of these times after another, in UTC; one that a change of clocks leaves out is made up for at once."""
    return next(CronSim(value, after.astimezone(ZoneInfo(zone)))).astimezone(UTC)
