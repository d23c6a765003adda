"""Deliveries from the outbox to a real receiver, through restarts, outages and crowds."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from queue import Queue

import pytest
from aiohttp import web

from activations import outbox
from activations.channels.webhook import WebhookChannel
from activations.dispatch import Dispatcher
from activations.outbox import Outbox
from activations.types import Receipt
from ringup.errors import ChannelError
from tests.dispatching import Receipts, dispatching, finals, live, nothing_more, running
from tests.http_receiver import HttpReceiver, ok, port_that_is_free, status
from tests.outgoing import delivery, webhook


def test_a_submitted_delivery_arrives_and_its_receipt_comes_back() -> None:
    """The receipt names the delivery, and is there for the ledger until it is recorded."""
    with HttpReceiver() as receiver, dispatching(webhook(receiver.url)) as (dispatcher, receipts):
        dispatcher.submit([delivery(1)])
        [receipt] = finals(receipts, 1)
        assert (receipt.delivery_id, receipt.seq, receipt.state) == (delivery(1).delivery_id, 1, "delivered")
        assert (receipt.attempt, receipt.status, receipt.detail) == (1, 200, "200 OK")
        assert dispatcher.receipts() == [receipt]
        assert dispatcher.receipts() == [receipt]
        dispatcher.recorded()
        assert dispatcher.receipts() == []
        assert dispatcher.waiting() == {"till": 0}


def test_each_profile_gets_its_messages_in_order_while_many_are_under_way() -> None:
    """Six hundred messages to twenty profiles: in order per profile, several at once, never more than allowed."""

    async def takes_a_moment(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.002)
        return web.Response()

    deliveries = [delivery(number, profile_id=number * 7 % 20) for number in range(1, 601)]
    with (
        HttpReceiver(takes_a_moment) as receiver,
        dispatching(webhook(receiver.url, in_flight=8)) as (dispatcher, receipts),
    ):
        for start in range(0, 600, 50):
            dispatcher.submit(deliveries[start : start + 50])
        finals(receipts, 600)
    arrived = defaultdict(list)
    for id_ in receiver.ids():
        number = int(id_.removeprefix("msg_"), 16)
        arrived[number * 7 % 20].append(number)
    assert all(numbers == sorted(numbers) for numbers in arrived.values())
    assert sum(map(len, arrived.values())) == 600
    assert 1 < receiver.most_under_way <= 8


def test_a_receiver_that_recovers_gets_the_same_message_again() -> None:
    """After three errors the message is taken, under one id, signed anew, with the number of its attempt."""
    error = status(500, "not now")
    with (
        HttpReceiver(error, error, error, ok) as receiver,
        dispatching(webhook(receiver.url)) as (dispatcher, receipts),
    ):
        dispatcher.submit([delivery(1)])
        [last] = finals(receipts, 1)
        everything = dispatcher.receipts()
    assert (last.state, last.attempt) == ("delivered", 4)
    assert [receipt.state for receipt in everything] == ["retry", "retry", "retry", "delivered"]
    assert everything[0].detail == "500 Internal Server Error: not now"
    assert receiver.ids() == [delivery(1).delivery_id] * 4
    assert len({got.body for got in receiver.got}) == 1


def test_a_held_profile_does_not_hold_the_others() -> None:
    """One profile's message is told to wait; everybody else's goes out, and its own later ones stay behind it."""
    wait = status(500, Retry_After="1")
    with HttpReceiver(wait, ok) as receiver, dispatching(webhook(receiver.url)) as (dispatcher, receipts):
        dispatcher.submit([delivery(1, profile_id=1)])
        assert receipts.get(timeout=10).state == "retry"
        dispatcher.submit([delivery(number, profile_id=number % 5) for number in range(2, 22)])
        ended = [receipt.seq for receipt in finals(receipts, 21)]
    of_the_first = [number for number in ended if number % 5 == 1]
    assert of_the_first == [1, 6, 11, 16, 21]
    assert ended[-5:] == of_the_first
    assert receiver.got[-5].at - receiver.got[0].at >= 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_too_many_requests_wait_as_long_as_the_receiver_asks(form: str) -> None:
    """Retry-After is honoured in both its forms, for the whole channel, although the schedule is shorter."""
    now = datetime.now(UTC).replace(microsecond=0)
    busy = status(
        429,
        Date=format_datetime(now, usegmt=True),
        Retry_After="1" if form == "seconds" else format_datetime(now + timedelta(seconds=1), usegmt=True),
    )
    with HttpReceiver(busy, ok) as receiver, dispatching(webhook(receiver.url)) as (dispatcher, receipts):
        dispatcher.submit([delivery(1, profile_id=1)])
        assert receipts.get(timeout=10).status == 429
        dispatcher.submit([delivery(number, profile_id=number) for number in range(2, 12)])
        finals(receipts, 11)
    assert receiver.got[1].at - receiver.got[0].at >= 1
    assert len(receiver.got) == 12


@pytest.mark.parametrize("code", [400, 410])
def test_a_refused_message_is_rejected_and_the_next_one_goes_on(code: int) -> None:
    """It is not tried again, the reason is in the receipt, and the profile is not held by it."""
    with (
        HttpReceiver(status(code, "unknown card"), ok) as receiver,
        dispatching(webhook(receiver.url)) as (
            dispatcher,
            receipts,
        ),
    ):
        dispatcher.submit([delivery(1), delivery(2)])
        first, second = finals(receipts, 2)
    assert (first.state, first.status, first.attempt) == ("rejected", code, 1)
    assert "unknown card" in first.detail
    assert second.state == "delivered"
    assert len(receiver.got) == 2


def test_messages_wait_for_a_webhook_that_is_down() -> None:
    """While nobody listens few attempts are made; when the webhook is up, all arrive once and in order."""
    port = port_that_is_free()
    with dispatching(webhook(f"http://127.0.0.1:{port}/hooks", in_flight=1)) as (dispatcher, receipts):
        dispatcher.submit([delivery(number, profile_id=number % 3) for number in range(1, 31)])
        down = [receipts.get(timeout=20) for _ in range(5)]
        assert {receipt.state for receipt in down} == {"retry"}
        assert dispatcher.waiting() == {"till": 30}
        with HttpReceiver(port=port) as receiver:
            finals(receipts, 30)
    assert sorted(receiver.ids()) == sorted(delivery(number).delivery_id for number in range(1, 31))


def test_stopping_leaves_the_unfinished_for_the_next_run(tmp_path: Path) -> None:
    """A run ends while the receiver hangs; the next run sends exactly what has no final receipt, in order."""
    release = threading.Event()

    async def hangs_from_the_fifth(request: web.Request) -> web.StreamResponse:
        if len(receiver.got) > 4 and not release.is_set():
            await asyncio.sleep(60)
        return web.Response()

    with HttpReceiver(hangs_from_the_fifth) as receiver, live(tmp_path / "live.duckdb") as con:
        box = Outbox(con)
        channel = partial(webhook, receiver.url, timeout="60s", in_flight=2)
        first, receipts = running(channel())
        first.refill(partial(outbox.pending, con))
        first.submit(box.append([], [delivery(number, profile_id=number % 2) for number in range(1, 21)]))
        finals(receipts, 4)
        began = time.monotonic()
        first.stop(grace=0.2)
        assert time.monotonic() - began < 3
        box.record(first.receipts())
        assert outbox.counts(con)["pending"] == 16
        release.set()
        sent_before = receiver.ids()

        second, receipts = running(channel())
        second.refill(partial(outbox.pending, con))
        second.submit(box.append([], [delivery(21, profile_id=1)]))
        finals(receipts, 17)
        second.stop()
        box.record(second.receipts())
        assert outbox.counts(con) == {"messages": 21, "delivered": 21, "rejected": 0, "pending": 0}
    sent_after = receiver.ids()[len(sent_before) :]
    assert not set(sent_before[:4]) & set(sent_after)
    assert set(receiver.ids()) == {delivery(number).delivery_id for number in range(1, 22)}
    for profile_id in (0, 1):
        numbers = [number for id_ in sent_after if (number := int(id_[4:], 16)) % 2 == profile_id]
        assert numbers == sorted(numbers)


def test_memory_is_bounded_and_the_outbox_holds_the_rest(tmp_path: Path) -> None:
    """Ten times as many messages as fit go out once each and in order, while new ones come in."""
    with HttpReceiver() as receiver, live(tmp_path / "live.duckdb") as con:
        box = Outbox(con)
        dispatcher, receipts = running(webhook(receiver.url), capacity=50)
        dispatcher.refill(partial(outbox.pending, con))
        most, number = 0, 0
        ended: list[Receipt] = []
        while len(ended) < 500:
            con.execute("begin")
            box.record(dispatcher.receipts())
            new = box.append(
                [], [delivery(number + n, profile_id=n % 7) for n in range(1, 101)] if number < 500 else []
            )
            con.execute("commit")
            dispatcher.recorded()
            number += len(new)
            dispatcher.submit(new)
            dispatcher.refill(partial(outbox.pending, con))
            most = max(most, *dispatcher.waiting().values())
            ended.append(receipts.get(timeout=10))
            while not receipts.empty():
                ended.append(receipts.get())
        dispatcher.stop()
        box.record(dispatcher.receipts())
        assert outbox.counts(con)["delivered"] == 500
    assert most <= 50
    assert len(receiver.ids()) == len(set(receiver.ids())) == 500
    order: defaultdict[int, list[int]] = defaultdict(list)
    for id_ in receiver.ids():
        order[(int(id_[4:], 16) - 1) % 100 % 7].append(int(id_[4:], 16))
    assert all(numbers == sorted(numbers) for numbers in order.values())


def test_one_channel_does_not_hold_another() -> None:
    """A channel that is down and full leaves its messages in the outbox; the other one goes on."""
    receipts: Receipts = Queue()
    with HttpReceiver() as receiver:
        channels = {"down": webhook(f"http://127.0.0.1:{port_that_is_free()}/hooks"), "up": webhook(receiver.url)}
        dispatcher = Dispatcher(channels, receipts.put, capacity=10)
        dispatcher.start()
        dispatcher.refill(nothing_more)
        for start in range(1, 101, 10):
            batch = [delivery(number, channel="up" if number % 2 else "down") for number in range(start, start + 10)]
            dispatcher.submit(batch)
            finals(receipts, 5)
        assert dispatcher.waiting() == {"down": 10, "up": 0}
        dispatcher.stop()
    assert len(receiver.ids()) == 50


def test_a_wall_clock_that_jumps_changes_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are counted by the monotonic clock: a clock set back by an hour holds nothing for an hour."""
    moved = time.time() - 3600
    error = status(500)
    with HttpReceiver(error, error, ok) as receiver, dispatching(webhook(receiver.url)) as (dispatcher, receipts):
        dispatcher.submit([delivery(1)])
        assert receipts.get(timeout=10).state == "retry"
        monkeypatch.setattr(time, "time", lambda: moved)
        assert finals(receipts, 1)[0].attempt == 3


def test_a_dispatcher_that_has_ended_takes_nothing() -> None:
    """Submitting after the end is an error, not a silent loss; stopping twice is not."""
    with HttpReceiver() as receiver, dispatching(webhook(receiver.url)) as (dispatcher, _):
        dispatcher.stop()
        dispatcher.stop()
        with pytest.raises(ChannelError, match="does not run"):
            dispatcher.submit([delivery(1)])


def test_a_channel_that_cannot_be_opened_is_told_at_the_start() -> None:
    """The error reaches who starts the dispatcher."""

    class Locked(WebhookChannel):
        async def open(self) -> None:
            raise ChannelError("locked", mend="Unlock it.")

    channel = webhook("http://127.0.0.1:1/hooks")
    channel.__class__ = Locked
    with pytest.raises(ChannelError, match="locked"):
        Dispatcher({"till": channel}).start()
