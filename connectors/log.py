"""The change log as the rest of ringup sees it: topics of Debezium change events, read in batches."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol, TypeAlias

import pyarrow as pa

Partition: TypeAlias = tuple[str, int]
"""A topic and the number of one of its partitions."""

Positions: TypeAlias = Mapping[Partition, int]
"""For each partition, the offset of the last record that was taken in."""

Nested: TypeAlias = Mapping[str, Mapping[str, int]]
"""Positions as they are kept in JSON: `{"topic": {"partition": offset}}`."""

RECORDS = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("key", pa.string()),
        ("value", pa.string()),
    ]
)
"""Columns of `Batch.records`. `key` and `value` are Debezium's JSON without schemas; a tombstone's `value` is null."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Raw changes with their log positions: the unit of commit.

    `records` has the columns of `RECORDS`, per source in the order of the log. No source transaction is cut in
    two, unless its end did not come within the bounded wait (`torn` counts those). `snapshot` is true when
    the changes are rows of a snapshot rather than things that just happened, so that nothing may fire from them;
    no batch mixes the two. `topics` are the ids that topics have beside their names, as far as they have any; they are
    noted with the positions, which mean nothing in another topic of that name. `decoded` is what was made of the
    records already, by topic: a large batch is decoded while the one before is computed.
    """

    records: pa.Table
    positions: Positions
    snapshot: bool
    torn: int = 0
    topics: Mapping[str, str] = field(default_factory=dict)
    decoded: Mapping[str, pa.Table] | None = None


@dataclass(frozen=True, slots=True)
class Keeper:
    """Who keeps positions, in the words of an error about them: `name` has them, `whole` is what they belong to, and
    `anew` is what to do when the log and they do not fit together any more.

    `notices_anew` says that notifications are read from their beginning at each start, whatever was read of them.
    """

    name: str
    whole: str
    anew: str
    notices_anew: bool = False


class Log(Protocol):
    """A change log that can be read from any position on. One reader, one thread."""

    def seek(self, positions: Positions, stop: Event | None = None) -> None:
        """Continue after `positions`; partitions that are not named are read from their beginning.

        Where that takes a while, `stop` ends it. Raises LogError when a position is not in the log (ahead of its end,
        or overtaken by retention).
        """

    def read(self, limit: int, wait: float) -> Batch | None:
        """Take about `limit` further records (whole transactions), waiting at most `wait` seconds for the first."""

    def acknowledge(self, positions: Positions) -> None:
        """Tell the log what was committed. Advisory: the warehouse's positions are the truth."""

    def hold(self, positions: Positions) -> None:
        """Tell the log how far somebody else is who reads it, too: what is beyond these positions must stay.

        Advisory, and from any thread. Nothing is held before.
        """

    @property
    def bootstrapped(self) -> bool:
        """Whether everything up to the end of the first snapshots was read."""

    @property
    def read_anew(self) -> Collection[str]:
        """The topics of the tables that a snapshot has read from beginning to end since `seek`, and this log, too."""

    @property
    def trouble(self) -> str | None:
        """Why nothing can be read now, and nobody knows how much there is. May be asked from other threads."""

    def lag(self) -> int:
        """How many records lie behind the last one read."""

    def close(self) -> None:
        """Release the log; it can be opened again."""


def nested(positions: Positions) -> Nested:
    """Positions as JSON can have them."""
    found: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in sorted(positions.items()):
        found.setdefault(topic, {})[str(partition)] = offset
    return found


def flat(kept: Nested) -> dict[Partition, int]:
    """What `nested` was made of."""
    return {
        (topic, int(partition)): int(offset)
        for topic, partitions in kept.items()
        for partition, offset in partitions.items()
    }
