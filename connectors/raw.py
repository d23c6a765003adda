"""The change log as it is: every record of every topic, for the lake."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

from connectors.log import Keeper, Partition, Positions

LAKE = Keeper(
    "the lake", "this lake", "move the folder of the lake away: another one begins with what the log holds by then"
)


class RawLog(Protocol):
    """A change log beside which another reader may be. No transactions, no snapshots, and nothing is acknowledged.

    One thread. In the embedded log only what is held (`Log.hold`) is safe from being removed before it is read.
    """

    @property
    def trouble(self) -> str | None:
        """Why nothing can be read now. May be asked from other threads."""

    def seek(self, positions: Positions) -> dict[Partition, int]:
        """Continue after `positions`; partitions that are not named from the beginning of what the log still has.

        Returns where those begin that were not named. Raises LogError when a position is not in the log (ahead of its
        end, or overtaken by retention); it may be called again.
        """

    def read(self, limit: int, wait: float) -> tuple[pa.Table, Positions] | None:
        """About `limit` further records, and how far each partition was read by now.

        They have the columns of `RECORDS`, those of a partition in the order of their offsets. None where nothing came
        within `wait` seconds. Partitions of which nothing was read have no position. Raises LogError when what follows
        was removed before it was read.
        """

    def close(self) -> None:
        """Release the log."""
