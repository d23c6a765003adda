"""What the receiver of the demo got, kept in a file, so that a second demo and a crash know it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

_TAKE = """
insert into messages values (?, ?, ?, ?, 1, ?, ?)
on conflict (webhook_id) do update set times = times + 1
returning times
"""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that came. `received_at` is in seconds since 1970; `age_ms` counts from the source's commit."""

    webhook_id: str
    type: str
    profile_id: int
    event_id: str
    received_at: float
    age_ms: float
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ages:
    """Milliseconds within which half, 95 and 99 of a hundred messages came; None where none came."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Account:
    """Whether each expected event has its one message: `missing` have none, `doubled` have several ids.

    `resent` messages came more than once under one id: by that id a receiver knows them, so they are no doubles.
    """

    missing: frozenset[str]
    doubled: frozenset[str]
    resent: int


class Inbox:
    """The messages by webhook-id, in a SQLite file. For one thread; several may have one each.

    A message is in the file before `take` returns, and outlives the process, not a power cut: nothing here waits for
    the disk, since the time would count into the age of the next message.
    """

    def __init__(self, path: Path) -> None:
        self._sqlite = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        self._sqlite.execute("pragma journal_mode = wal")
        self._sqlite.execute("pragma synchronous = off")
        self._sqlite.executescript((Path(__file__).parent / "inbox.sql").read_text())

    def take(self, message: Message) -> bool:
        """Keep a message; whether it came for the first time."""
        times = self._sqlite.execute(
            _TAKE,
            (
                message.webhook_id,
                message.type,
                message.profile_id,
                message.event_id,
                message.received_at,
                message.age_ms,
            ),
        ).fetchone()
        return bool(times == (1,))

    def count(self, type: str | None = None, since: float = 0.0) -> int:
        """How many different messages came, of one type or of all."""
        row = self._sqlite.execute(
            "select count(*) from messages where received_at >= ?1 and (?2 is null or type = ?2)", (since, type)
        ).fetchone()
        return int(row[0])

    def ages(self, type: str | None = None, since: float = 0.0, events: str = "*") -> Ages:
        """How old the messages were that came since then, of one type or of all; `events` as in `west-*`."""
        rows = self._sqlite.execute(
            "select age_ms from messages where received_at >= ?1 and (?2 is null or type = ?2)"
            " and event_id glob ?3 order by age_ms",
            (since, type, events),
        ).fetchall()
        return percentiles([row[0] for row in rows])

    def account(self, type: str, events: Collection[str]) -> Account:
        """Whether each of `events` has exactly one message of the type."""
        rows = self._sqlite.execute("select event_id, times from messages where type = ?", (type,)).fetchall()
        ids = Counter(event for event, _ in rows)
        return Account(
            missing=frozenset(event for event in events if event not in ids),
            doubled=frozenset(event for event, count in ids.items() if count > 1),
            resent=sum(times > 1 for _, times in rows),
        )

    def close(self) -> None:
        """Release the file."""
        self._sqlite.close()


def percentiles(ages: Sequence[float]) -> Ages:
    """By nearest rank, from ages in ascending order: each figure is the age of a message that came."""

    def at(share: float) -> float | None:
        return round(ages[ceil(share * len(ages)) - 1], 1) if ages else None

    return Ages(p50=at(0.50), p95=at(0.95), p99=at(0.99))
