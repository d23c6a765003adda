"""Order, waits and limits of a channel's messages, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activations.channels.base import LONGEST_RETRY_AFTER, Outcome, wait_before_retry
from activations.lane import Lane
from activations.types import FINAL, Delivery, Receipt
from tests.outgoing import delivery
from tests.virtual_time import run

DELIVERED = Outcome("delivered", "200 OK", 200)
REJECTED = Outcome("rejected", "400 Bad Request", 400)
RETRY = Outcome("retry", "500 Internal Server Error", 500)
UNKNOWN = Outcome("unknown", "no answer within 5 s")
DOWN = Outcome("retry", "no connection", channel_down=True)
SCHEDULE = tuple(timedelta(seconds=seconds) for seconds in (1, 5, 30))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt as the receiver sees it, in seconds since the start."""

    delivery: Delivery
    began: float
    ended: float
    beside: int


@dataclass
class Scripted:
    """A channel that answers each message by its script, and delivers it when the script is over."""

    script: dict[int, list[Outcome]] = field(default_factory=dict)
    retry: Sequence[timedelta] = SCHEDULE
    in_flight: int = 4
    takes: float = 0.01
    down_until: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    under_way: int = 0

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, delivery: Delivery) -> Outcome:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.under_way += 1
        beside = self.under_way
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.under_way -= 1
            self.attempts.append(Attempt(delivery, began, loop.time(), beside))
        if began < self.down_until:
            return DOWN
        script = self.script.get(delivery.seq)
        return script.pop(0) if script else DELIVERED


def sent(channel: Scripted, deliveries: Sequence[Delivery]) -> list[Receipt]:
    """Send all of them to their end, and return the receipts."""

    async def main() -> list[Receipt]:
        receipts: list[Receipt] = []
        done = asyncio.Event()

        def on_receipt(receipt: Receipt) -> None:
            receipts.append(receipt)
            if lane.finished == len(deliveries):
                done.set()

        lane = Lane(channel, on_receipt, Random(1))
        lane.add(deliveries)
        await done.wait()
        return receipts

    return run(main())


outcomes = st.sampled_from([RETRY, UNKNOWN, DOWN, REJECTED, DELIVERED])


@given(
    st.lists(st.tuples(st.integers(1, 5), st.lists(outcomes, max_size=4)), min_size=1, max_size=25),
    st.integers(1, 5),
)
@settings(max_examples=150)
def test_every_message_ends_once_and_a_profile_gets_its_own_in_order(
    messages: list[tuple[int, list[Outcome]]], in_flight: int
) -> None:
    """Whatever the receiver answers: one final receipt each, order per profile, and never more at once than allowed."""
    deliveries = [delivery(seq, profile_id) for seq, (profile_id, _) in enumerate(messages, start=1)]
    channel = Scripted({seq: list(script) for seq, (_, script) in enumerate(messages, start=1)}, in_flight=in_flight)
    receipts = sent(channel, deliveries)
    finals = [receipt.seq for receipt in receipts if receipt.state in FINAL]
    assert sorted(finals) == [item.seq for item in deliveries]
    assert max(attempt.beside for attempt in channel.attempts) <= in_flight
    attempts = Counter(attempt.delivery.seq for attempt in channel.attempts)
    assert attempts == Counter(receipt.seq for receipt in receipts)
    for profile_id in {item.profile_id for item in deliveries}:
        its = [attempt for attempt in channel.attempts if attempt.delivery.profile_id == profile_id]
        assert [attempt.delivery.seq for attempt in its] == sorted(attempt.delivery.seq for attempt in its)
        assert all(earlier.ended <= later.began for earlier, later in pairwise(its))


def test_a_held_message_holds_its_own_profile_alone() -> None:
    """While one profile waits an hour as asked, all the others are served at once."""
    channel = Scripted({1: [Outcome("retry", "500", 500, retry_after=3600)]})
    sent(channel, [delivery(seq, profile_id=seq % 10) for seq in range(1, 101)])
    ended = defaultdict(list)
    for attempt in channel.attempts:
        ended[attempt.delivery.profile_id].append(attempt.ended)
    assert min(ended[1][1:]) >= 3600
    assert max(max(times) for profile_id, times in ended.items() if profile_id != 1) < 1


def test_the_last_wait_of_the_schedule_repeats_for_as_long_as_it_takes() -> None:
    """A message that is neither taken nor refused is tried on and on, each wait within its step of the schedule."""
    channel = Scripted({1: [RETRY, UNKNOWN] * 100})
    receipts = sent(channel, [delivery(1)])
    assert [receipt.attempt for receipt in receipts] == list(range(1, 202))
    assert receipts[-1].state == "delivered"
    waits = [later.began - earlier.ended for earlier, later in pairwise(channel.attempts)]
    steps = [1, 5, *[30] * 198]
    assert all(0 <= wait <= step for wait, step in zip(waits, steps, strict=True))
    assert sum(waits[2:]) > 198 * 30 * 0.35


def test_a_success_forgets_the_failures_before_it() -> None:
    """The next message of the profile starts at the beginning of the schedule."""
    channel = Scripted({1: [RETRY] * 20} | {number: [RETRY] for number in range(2, 12)})
    sent(channel, [delivery(number) for number in range(1, 12)])
    later = [attempt for attempt in channel.attempts if attempt.delivery.seq > 1]
    assert len(later) == 20
    assert all(second.began - first.ended <= 1 for first, second in zip(later[::2], later[1::2], strict=True))


def test_a_channel_that_is_down_is_asked_by_one_message_at_a_time() -> None:
    """Hours without a receiver cost a few attempts, not thousands; then all messages go out at once."""
    channel = Scripted(down_until=4 * 3600, in_flight=4)
    receipts = sent(channel, [delivery(seq, profile_id=seq) for seq in range(1, 1001)])
    while_down = [attempt for attempt in channel.attempts if attempt.began < channel.down_until]
    assert max(attempt.beside for attempt in while_down if attempt.began > 0) == 1
    assert len(while_down) < 4 * 3600 / 10
    assert sum(receipt.state == "delivered" for receipt in receipts) == 1000
    up = [attempt for attempt in channel.attempts if attempt.began >= channel.down_until]
    assert up[-1].ended - up[0].began == pytest.approx(1000 / 4 * 0.01, abs=0.05)


def test_a_receiver_that_asks_for_fewer_messages_gets_none_until_then() -> None:
    """Too many requests hold the whole channel for as long as the receiver asks, also the longest of several."""
    busy = [Outcome("retry", "429", 429, retry_after=wish, channel_down=True) for wish in (60, 90)]
    channel = Scripted({1: [busy[0]], 2: [busy[1]]})
    sent(channel, [delivery(seq, profile_id=seq) for seq in range(1, 51)])
    later = [attempt.began for attempt in channel.attempts if attempt.began > 0.01]
    assert min(later) >= 90


def test_messages_come_in_while_others_wait() -> None:
    """A message that is added later goes out in its turn, not before the profile's earlier one."""

    async def main() -> list[int]:
        channel, done = Scripted({1: [RETRY] * 5}), asyncio.Event()
        lane = Lane(channel, lambda receipt: done.set() if lane.finished == 3 else None)
        lane.add([delivery(1)])
        await asyncio.sleep(0.005)
        lane.add([delivery(2), delivery(3, profile_id=2)])
        await done.wait()
        return [attempt.delivery.seq for attempt in channel.attempts]

    order = run(main())
    assert order.index(3) < order.index(2)
    assert order[-1] == 2
    assert order.count(1) == 6


def test_an_error_of_the_channel_itself_is_a_retry() -> None:
    """A mistake in a channel's code neither loses the message nor stops the others."""

    class Broken(Scripted):
        async def send(self, delivery: Delivery) -> Outcome:
            outcome = await super().send(delivery)
            if outcome is RETRY:
                raise RuntimeError("a mistake")
            return outcome

    receipts = sent(Broken({1: [RETRY, RETRY]}), [delivery(1), delivery(2)])
    assert [receipt.detail for receipt in receipts if receipt.state == "retry"] == ["RuntimeError: a mistake"] * 2
    assert [receipt.seq for receipt in receipts if receipt.state == "delivered"] == [1, 2]


def test_closing_lets_what_is_under_way_end_and_begins_nothing_more() -> None:
    """Messages under way end with their receipt, those that take too long are unknown, the rest is not touched."""

    async def main(takes: float) -> tuple[list[str], int]:
        receipts: list[Receipt] = []
        channel = Scripted(takes=takes, in_flight=2)
        lane = Lane(channel, receipts.append)
        lane.add(delivery(seq, profile_id=seq) for seq in range(1, 6))
        await asyncio.sleep(0.001)
        await lane.close(grace=1)
        await asyncio.sleep(3600)
        return [receipt.state for receipt in receipts], len(channel.attempts)

    assert run(main(takes=0.5)) == (["delivered"] * 2, 2)
    assert run(main(takes=50)) == (["unknown"] * 2, 2)


@given(st.integers(1, 50), st.floats(0, 1e12), st.randoms(use_true_random=False))
def test_a_wait_is_within_its_step_and_at_least_what_was_asked_for(failures: int, asked: float, random: Random) -> None:
    """Full jitter over the step, the receiver's wish honoured up to a day."""
    wait = wait_before_retry(SCHEDULE, failures, asked, random)
    step = (1, 5, 30)[min(failures, 3) - 1]
    wish = min(asked, LONGEST_RETRY_AFTER)
    assert wish <= wait <= max(step, wish)


def test_trouble_is_told_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever runs it learns that messages do not arrive, once, and why."""
    channel = Scripted({1: [REJECTED], 2: [DOWN, DOWN]})

    async def send() -> list[str | None]:
        lane, seen = Lane(channel, lambda receipt: None, Random(1)), []
        for profile in (1, 2, 3):
            lane.add([delivery(profile, profile)])
            await asyncio.sleep(0.1)
            seen.append(lane.trouble)
        await asyncio.sleep(60)
        return [*seen, lane.trouble]

    seen = run(send())
    assert seen[0] == "refuses messages for good: 400 Bad Request"
    assert seen[1] == "takes no messages; they wait: no connection"
    assert seen[-1] is None
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "refuses messages for good" in warnings[0]
