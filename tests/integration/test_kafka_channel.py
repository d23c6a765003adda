"""Messages on a topic of a real broker: what Kafka's own tools read, each once and in order, through stop and kill."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from activations import outbox
from activations.outbox import Outbox
from activations.plan import plan
from connectors.kafka_log import KafkaLog
from connectors.log import Partition
from ringup.changes import client_settings
from ringup.config import KafkaSettings
from tests.cloud_events import event_of
from tests.dispatching import dispatching, finals, live, running
from tests.kafka_broker import Broker, event, in_order, numbers
from tests.kafka_topics import BILLS, LINES, MARKS, NOTICES, Topics, rows_of
from tests.outgoing import NEARLY, NOW, POINTS, change, delivery, fired, kafka_topic


def test_kafkas_own_console_consumer_reads_the_events(broker: Broker) -> None:
    """A trigger that fired and a segment's change, from the decision to what a consumer prints."""
    topic = broker.topic()
    _, deliveries = plan([fired(42), change("entered", 7)], [POINTS, NEARLY], snapshot=False, now=NOW)
    with dispatching(kafka_topic(broker.kafka.bootstrap, topic)) as (dispatcher, receipts):
        dispatcher.submit(deliveries)
        ended = finals(receipts, 2)
    assert {receipt.state for receipt in ended} == {"delivered"}
    assert all(receipt.detail.startswith(f"{topic}[") for receipt in ended)
    wanted = ["--formatter-property", "print.headers=true", "--formatter-property", "print.key=true"]
    shown = broker.tool(
        "consumer.ConsoleConsumer", "--topic", topic, "--from-beginning", "--max-messages", "2", *wanted
    )
    events = {}
    for line in shown.strip().splitlines():
        headers, key, value = line.split("\t")
        pairs = [tuple(pair.split(":", 1)) for pair in headers.split(",")]
        events[key] = event_of(pairs, value)  # type: ignore[arg-type]
    assert {key: (read["type"], read["subject"], read["source"]) for key, read in events.items()} == {
        "42": ("ringup.trigger.fired", "42", "/ringup/corner-shop"),
        "7": ("ringup.segment.entered", "7", "/ringup/corner-shop"),
    }
    assert [events[str(item.profile_id)]["id"] for item in deliveries] == [item.delivery_id for item in deliveries]
    assert events["42"]["data"]["data"]["text"] == "Ada, you earned 50 points."


def test_kafkas_own_consumer_groups_shows_the_lag_of_a_project(broker: Broker) -> None:
    """How far the change log was taken in, while it is behind and when it has caught up."""
    topics = Topics(broker.kafka)
    topics.create()
    settings = client_settings(KafkaSettings(bootstrap=broker.kafka.bootstrap), "corner-shop")

    def lag() -> dict[str, int]:
        shown = broker.tool("consumer.group.ConsumerGroupCommand", "--describe", "--group", "ringup.corner-shop")
        rows = [line.split() for line in shown.splitlines() if line.startswith("ringup.corner-shop ")]
        found: Counter[str] = Counter()
        for _, topic, _, at, end, behind, *_ in rows:
            assert int(end) - int(at) == int(behind)
            found[topic] += int(behind)
        return dict(found)

    def sell(*bills: int) -> None:
        for number in bills:
            topics.row(BILLS, number, partition=number % 2, transaction=f"{number}:1")
            topics.end(f"{number}:1", bills=1)

    def taken_in(positions: dict[Partition, int], bills: int) -> dict[Partition, int]:
        with closing(KafkaLog(settings, ["pos"], [BILLS, LINES], 30.0, name="test", bootstrapped=True)) as log:
            log.seek(positions)
            while bills:
                bills -= len(rows_of(batch := log.read(1_000, 30.0)))
                assert batch is not None
                positions = {**positions, **batch.positions}
                log.acknowledge(positions)
        return positions

    sell(1, 2, 3, 4)
    positions = taken_in({}, 4)
    sell(5, 6, 7)
    assert lag() == {BILLS: 3, LINES: 0, MARKS: 6}
    taken_in(positions, 3)
    assert lag() == {BILLS: 0, LINES: 0, MARKS: 0}
    topics.delete(BILLS, LINES, MARKS, NOTICES)


def test_each_message_is_there_once_and_each_profiles_in_order(broker: Broker) -> None:
    """Three thousand messages to forty profiles, many at once."""
    topic = broker.topic()
    with dispatching(kafka_topic(broker.kafka.bootstrap, topic)) as (dispatcher, receipts):
        for start in range(1, 3001, 250):
            dispatcher.submit([delivery(number, profile_id=number * 7 % 40) for number in range(start, start + 250)])
        finals(receipts, 3000)
    messages = broker.read(topic, 3000)
    assert sorted(numbers(messages)) == list(range(1, 3001))
    assert in_order(messages)
    assert len({message.partition() for message in messages}) == 3


def test_after_a_kill_only_what_was_not_known_to_have_arrived_is_sent_again(broker: Broker, tmp_path: Path) -> None:
    """It comes under the same id, as the same record, in order; what the ledger knows comes once."""
    topic = broker.topic()
    channel = partial(kafka_topic, broker.kafka.bootstrap, topic)
    with live(tmp_path / "live.duckdb") as con:
        box = Outbox(con)
        first, receipts = running(channel())
        first.refill(partial(outbox.pending, con))
        first.submit(box.append([], [delivery(number, profile_id=number % 3) for number in range(1, 31)]))
        noted = finals(receipts, 30)[:10]
        box.record(noted)
        first.stop()  # and its other receipts are gone, as a kill would have it

        second, receipts = running(channel())
        second.refill(partial(outbox.pending, con))
        finals(receipts, 20)
        second.stop()
        box.record(second.receipts())
        assert outbox.counts(con) == {"messages": 30, "delivered": 30, "rejected": 0, "pending": 0}
    messages = broker.read(topic, 50)
    known = {receipt.seq for receipt in noted}
    assert Counter(numbers(messages)) == {number: 1 if number in known else 2 for number in range(1, 31)}
    records: dict[str, tuple[object, ...]] = {}
    again = []
    for message in messages:
        record = (message.key(), message.value(), message.headers())
        if record != records.setdefault(event(message)["id"], record):
            pytest.fail(f"{record} is not the record that it was")
        if records[event(message)["id"]] is not record:
            again.append(message)
    assert (len(records), len(again)) == (30, 20)
    assert in_order(again)


def test_stopping_finishes_what_is_under_way(broker: Broker) -> None:
    """Each message that was handed to the client before the end has its receipt; what it had is in the topic."""
    topic = broker.topic()
    with dispatching(kafka_topic(broker.kafka.bootstrap, topic)) as (dispatcher, _):
        dispatcher.submit([delivery(number, profile_id=number) for number in range(1, 501)])
        dispatcher.stop()
        assert Counter(receipt.state for receipt in dispatcher.receipts()) == {"delivered": 500}
    assert len(broker.read(topic, 500)) == 500
