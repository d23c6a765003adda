"""Whether reading can go on where the warehouse or the lake stands: never over a gap, and never in another topic."""

from __future__ import annotations

import logging
from collections.abc import Collection

from connectors.log import Keeper, Partition, Positions
from ringup.errors import LogError

log = logging.getLogger("ringup.kafka")

REREAD = (
    "delete the whole state folder and start; topics hold only what retention has left, so have the tables read again, "
    "too: ringup connectors snapshot SOURCE TABLE"
)


WAREHOUSE = Keeper("the warehouse", "this state folder", REREAD, notices_anew=True)


def mend_remade(topics: Collection[str], keeper: Keeper = WAREHOUSE) -> str:
    """What to do when topics were deleted, be they there again or not."""
    if keeper.notices_anew and all(topic.endswith(".notifications") for topic in topics):
        return "start again: what connectors notify is always read from its beginning"
    return f"a topic that was deleted takes its positions with it: {keeper.anew}"


def check_position(
    place: Partition, offset: int, bounds: tuple[int, int] | None, servers: str, keeper: Keeper = WAREHOUSE
) -> None:
    """Raise LogError unless a partition with these `bounds` (None: it is not there) can be read on after `offset`.

    The offset is -1 where there was nothing to read when it was noted.
    """
    topic, number = place
    low, high = bounds or (0, 0)
    if offset >= 0 and (bounds is None or offset >= high):
        raise LogError(
            f"{keeper.name} has taken in {topic}[{number}] up to offset {offset}, "
            + (f"but it ends at offset {high - 1}" if bounds else "but there is no such topic"),
            where=servers,
            mend=f"name the cluster that belongs to {keeper.whole}, or {keeper.anew}",
        )
    if offset + 1 < low:
        read = f"was taken in up to offset {offset}" if offset >= 0 else "was empty when it was read last"
        raise LogError(
            f"{topic}[{number}] {read}, and what follows was removed by retention: the topic begins at "
            f"offset {low} now",
            where=servers,
            mend=f"let topics keep records for longer than ringup may stand still, and {keeper.anew}",
        )


def tell_of_gaps(begins: Positions) -> None:
    """Warn of tables whose topics begin there, when a state that begins anew does not get all that was."""
    if short := sorted({topic for (topic, _), offset in begins.items() if offset}):
        log.warning(
            "%s: retention has removed the oldest changes, so rows may be missing. Have these tables read again: "
            "ringup connectors snapshot SOURCE TABLE",
            ", ".join(short),
        )
