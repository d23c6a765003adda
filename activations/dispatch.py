"""Deliveries go out, in a thread of their own, so that no slow receiver ever holds up the pipeline."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from activations.channels.base import Channel
from activations.lane import Lane
from activations.types import Delivery, Receipt
from ringup.errors import ChannelError

CAPACITY = 10_000
"""Deliveries held in memory for each channel; what is beyond stays in the outbox."""

GRACE = 3.0
"""Seconds that deliveries under way have to end when the run ends."""


class Fetch(Protocol):
    """Reads unfinished deliveries of a channel from the outbox, in order."""

    def __call__(self, channel: str, *, after: int, limit: int) -> list[Delivery]:
        """At most `limit` of those whose `seq` is higher than `after`."""


class _Door:
    """The pipeline's side of a lane: what has gone in, and whether the outbox has more."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.entered = 0
        self.last_seq = 0
        self.outbox_has_more = True

    def inside(self) -> int:
        return self.entered - self.lane.finished


class Dispatcher:
    """Sends deliveries by their channels. All but `waiting` is called by one thread.

    What the channels deliver is always the outbox, in its order. As long as a channel keeps up, `submit` hands new
    deliveries straight to it. When its memory is full, they stay in the outbox, and `refill` fetches them from there
    when there is room again. A start is the same: the outbox may have more, so the first `refill` asks.
    """

    def __init__(
        self,
        channels: Mapping[str, Channel],
        on_receipt: Callable[[Receipt], None] = lambda receipt: None,
        *,
        capacity: int = CAPACITY,
    ) -> None:
        """`on_receipt` is called in the dispatcher's thread with every receipt, beside `receipts`; it must not wait."""
        self._channels = dict(channels)
        self._on_receipt = on_receipt
        self._capacity = capacity
        self._receipts: deque[Receipt] = deque()
        self._unrecorded: list[Receipt] = []
        self._doors = {name: _Door(Lane(channel, self._note)) for name, channel in self._channels.items()}
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._ending = asyncio.Event()
        self._grace = GRACE
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Begin. Raises what a channel raises when it cannot be opened."""
        self._thread.start()
        self._started.result()

    def submit(self, deliveries: Sequence[Delivery]) -> None:
        """Hand over committed deliveries, in order. Those that find no room stay in the outbox, for `refill`."""
        for name in dict.fromkeys(delivery.channel for delivery in deliveries):
            door = self._doors[name]
            if not door.outbox_has_more:
                mine = [delivery for delivery in deliveries if delivery.channel == name]
                room = self._capacity - door.inside()
                door.outbox_has_more = len(mine) > room
                self._enter(door, mine[: max(room, 0)])

    def refill(self, fetch: Fetch) -> None:
        """Fetch from the outbox for the channels that left something there and have room; nothing to do is cheap."""
        for name, door in self._doors.items():
            room = self._capacity - door.inside()
            if door.outbox_has_more and room >= self._capacity // 2:
                fetched = fetch(name, after=door.last_seq, limit=room)
                door.outbox_has_more = len(fetched) == room
                self._enter(door, fetched)

    def receipts(self) -> list[Receipt]:
        """The receipts to be written to the ledger; they are given again until `recorded` says that they are in it."""
        self._unrecorded += [self._receipts.popleft() for _ in range(len(self._receipts))]
        return list(self._unrecorded)

    def recorded(self) -> None:
        """What `receipts` gave last is in the ledger, durably."""
        self._unrecorded.clear()

    def waiting(self) -> dict[str, int]:
        """For each channel, the deliveries in memory that are not finished. From any thread."""
        return {name: door.inside() for name, door in self._doors.items()}

    def troubles(self) -> dict[str, str | None]:
        """For each channel what keeps messages from arriving; None where they arrive. From any thread."""
        return {name: door.lane.trouble for name, door in self._doors.items()}

    def stop(self, grace: float = GRACE) -> None:
        """End, giving what is under way `grace` seconds. Unfinished deliveries stay in the outbox, for the next run.

        The last receipts are there afterwards.
        """
        if self._thread.is_alive():
            self._grace = grace
            self._loop().call_soon_threadsafe(self._ending.set)
            self._thread.join()

    def _enter(self, door: _Door, deliveries: list[Delivery]) -> None:
        if deliveries:
            door.entered += len(deliveries)
            door.last_seq = deliveries[-1].seq
            self._loop().call_soon_threadsafe(door.lane.add, deliveries)

    def _loop(self) -> asyncio.AbstractEventLoop:
        if not self._thread.is_alive():
            raise ChannelError("the dispatcher does not run", mend="Start it, and submit nothing after its end.")
        return self._started.result()

    def _note(self, receipt: Receipt) -> None:
        self._receipts.append(receipt)
        self._on_receipt(receipt)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        try:
            for channel in self._channels.values():
                await channel.open()
        except BaseException as error:
            self._started.set_exception(error)
        else:
            self._started.set_result(asyncio.get_running_loop())
            await self._ending.wait()
            await asyncio.gather(*(door.lane.close(self._grace) for door in self._doors.values()))
        for channel in self._channels.values():
            await channel.close()
