"""What every channel has in common: how one attempt ends, and when the next one is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Protocol

from activations.types import Delivery, State

if TYPE_CHECKING:
    from ringup.config import Config

LONGEST_RETRY_AFTER = timedelta(days=1).total_seconds()
"""A receiver that asks for a longer wait than this is asked again after it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended.

    `channel_down`: nobody is there to take any message, or the receiver asks for fewer of them; so the whole
    channel waits. Otherwise a failure is the message's own, and only its profile waits. `retry_after` is the
    receiver's wish, in seconds.
    """

    state: State
    detail: str
    status: int | None = None
    retry_after: float = 0.0
    channel_down: bool = False


class Channel(Protocol):
    """A way out. `send` is called in one event loop, for many messages at once, and reports failures as outcomes."""

    @property
    def retry(self) -> Sequence[timedelta]:
        """The longest wait before each further attempt; the last one repeats for as long as it takes."""

    @property
    def in_flight(self) -> int:
        """How many messages may be under way at once."""

    async def open(self) -> None:
        """Get ready, in the event loop that will send."""

    async def send(self, delivery: Delivery) -> Outcome:
        """Try once, within the channel's time limit."""

    async def close(self) -> None:
        """Give back connections."""


class MakesChannel(Protocol):
    """A channel's settings: what ringup.yml says under the channel's name."""

    def channel(self, name: str, config: Config) -> Channel:
        """A channel with these settings, of this name in the project of `config`.

        Raises ConfigError when they do not suffice there.
        """


def wait_before_retry(schedule: Sequence[timedelta], failures: int, retry_after: float, random: Random) -> float:
    """Seconds to wait after so many failures in a row: full jitter over the schedule's step, or as long as asked."""
    step = schedule[min(failures, len(schedule)) - 1]
    return max(random.uniform(0, step.total_seconds()), min(retry_after, LONGEST_RETRY_AFTER))
