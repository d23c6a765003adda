"""What waits for one channel: each profile's messages in order, as many under way at once as the channel takes."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from activations.channels.base import LONGEST_RETRY_AFTER, Channel, Outcome, wait_before_retry
from activations.types import FINAL, Delivery, Receipt

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Conversation:
    """One profile's messages on one channel, the oldest first. Only that one may be under way."""

    waiting: deque[Delivery] = field(default_factory=deque)
    attempts: int = 0
    failures: int = 0


class Lane:
    """Sends what it is given, all in one event loop. Times are the loop's, so that no clock change disturbs a wait.

    While the channel is down it waits as a whole, by its schedule, and then tries with one message at a time.
    `finished` counts the deliveries that came to their end, `trouble` says why the last one did not arrive.
    """

    def __init__(self, channel: Channel, on_receipt: Callable[[Receipt], None], random: Random | None = None) -> None:
        self._channel = channel
        self._on_receipt = on_receipt
        self._random = random or Random()
        self._conversations: dict[int, Conversation] = {}
        self._ready: deque[Conversation] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._downs = 0
        self._hold: asyncio.TimerHandle | None = None
        self._closing = False
        self.finished = 0
        self.trouble: str | None = None

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Take deliveries, in the order in which each profile shall get them."""
        for delivery in deliveries:
            conversation = self._conversations.get(delivery.profile_id)
            if conversation is None:
                conversation = self._conversations[delivery.profile_id] = Conversation()
                self._ready.append(conversation)
            conversation.waiting.append(delivery)
        self._go_on()

    async def close(self, grace: float) -> None:
        """Begin nothing more; give what is under way `grace` seconds to end. The rest stays in the outbox."""
        self._closing = True
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _go_on(self) -> None:
        if self._closing or self._hold:
            return
        at_once = 1 if self._downs else self._channel.in_flight
        while self._ready and len(self._under_way) < at_once:
            self._under_way.add(asyncio.ensure_future(self._attempt(self._ready.popleft())))

    async def _attempt(self, conversation: Conversation) -> None:
        delivery = conversation.waiting[0]
        conversation.attempts += 1
        try:
            outcome = await self._channel.send(delivery)
        except asyncio.CancelledError:
            outcome = Outcome("unknown", "the run ended while the message was under way")
        except Exception as error:
            log.exception("channel %s failed in a way of its own", delivery.channel)
            outcome = Outcome("retry", f"{type(error).__name__}: {error}")
        task = asyncio.current_task()
        assert task is not None
        self._under_way.discard(task)
        receipt = Receipt(
            delivery_id=delivery.delivery_id,
            seq=delivery.seq,
            state=outcome.state,
            attempt=conversation.attempts,
            at=datetime.now(UTC),
            detail=outcome.detail,
            status=outcome.status,
        )
        self._tell(delivery.channel, outcome)
        self._settle(conversation, outcome)
        self._go_on()
        self._on_receipt(receipt)

    def _tell(self, channel: str, outcome: Outcome) -> None:
        """Say it when messages begin to fail, and when they arrive again."""
        known = self.trouble
        if outcome.state == "delivered":
            self.trouble = None
        elif outcome.channel_down or outcome.state == "rejected":
            what = "takes no messages; they wait" if outcome.channel_down else "refuses messages for good"
            self.trouble = f"{what}: {outcome.detail}"
        if self.trouble and known is None:
            log.warning("channel %s %s", channel, self.trouble)
        elif known and self.trouble is None:
            log.info("channel %s takes messages again", channel)

    def _settle(self, conversation: Conversation, outcome: Outcome) -> None:
        if outcome.channel_down:
            self._ready.appendleft(conversation)
            self._hold_channel(outcome)
            return
        self._downs = 0
        if outcome.state in FINAL:
            self.finished += 1
            profile_id = conversation.waiting.popleft().profile_id
            conversation.attempts = conversation.failures = 0
            if conversation.waiting:
                self._ready.append(conversation)
            else:
                del self._conversations[profile_id]
            return
        conversation.failures += 1
        asyncio.get_running_loop().call_later(self._wait(conversation.failures, outcome), self._again, conversation)

    def _again(self, conversation: Conversation) -> None:
        self._ready.append(conversation)
        self._go_on()

    def _hold_channel(self, outcome: Outcome) -> None:
        """The first message that finds the channel down sets the wait; one under way beside it may prolong it."""
        loop = asyncio.get_running_loop()
        if self._hold is None:
            self._downs += 1
            until = loop.time() + self._wait(self._downs, outcome)
        else:
            until = max(self._hold.when(), loop.time() + min(outcome.retry_after, LONGEST_RETRY_AFTER))
            self._hold.cancel()
        self._hold = loop.call_at(until, self._open_again)

    def _open_again(self) -> None:
        self._hold = None
        self._go_on()

    def _wait(self, failures: int, outcome: Outcome) -> float:
        return wait_before_retry(self._channel.retry, failures, outcome.retry_after, self._random)
