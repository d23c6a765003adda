"""Messages on a topic of a real broker: what Kafka's own tools read, through restarts, refusals and kills."""

from __future__ import annotations

import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from activations import outbox
from activations.outbox import Outbox
from activations.plan import plan
from connectors.kafka_log import KafkaLog
from connectors.log import Partition
from ringup.changes import client_settings
from ringup.config import KafkaSettings
from ringup.errors import ChannelError, ConfigError
from ringup.local_kafka import LocalKafka, java
from tests.cloud_events import event_of
from tests.dispatching import dispatching, finals, live, running
from tests.http_receiver import port_that_is_free
from tests.kafka_topics import BILLS, LINES, MARKS, NOTICES, Topics, rows_of
from tests.outgoing import NEARLY, NOW, POINTS, change, delivery, fired, kafka_topic

GUARDED = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
_numbers = count(1)


class Broker:
    """A broker that lets everybody do everything until a rule says otherwise."""

    def __init__(self, kafka: LocalKafka) -> None:
        self.kafka = kafka
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 2})

    def topic(self, name: str | None = None, **config: str) -> str:
        """Make a topic with three partitions, once the broker says that it is there."""
        name = name or f"shop.messages.{next(_numbers)}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        done(self.admin.create_topics([NewTopic(name, 3, 1, config=settings)], operation_timeout=10))
        wait_for(lambda: len(self.admin.list_topics(name, 10).topics[name].partitions) == 3)
        return name

    def delete(self, topic: str) -> None:
        """Remove a topic."""
        done(self.admin.delete_topics([topic], operation_timeout=10))

    def rule(self, kind: ResourceType, name: str, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
        """Let everybody do this, or nobody."""
        binding = AclBinding(kind, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, permission)
        done(self.admin.create_acls([binding]))
        return binding

    def unrule(self, rules: Iterable[AclBinding]) -> None:
        """Take rules back."""
        parts = ("restype", "name", "resource_pattern_type", "principal", "host", "operation", "permission_type")
        filters = [AclBindingFilter(*(getattr(rule, part) for part in parts)) for rule in rules]
        done(self.admin.delete_acls(filters))

    def read(self, topic: str, expected: int) -> list[Message]:
        """So many records of a topic, and what came with them; those of one partition in their order."""
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": "reader", "log_level": 2})
        messages: list[Message] = []
        with closing(consumer):
            consumer.assign([TopicPartition(topic, number, 0) for number in range(3)])
            until = time.monotonic() + 20
            while len(messages) < expected and time.monotonic() < until:
                messages += consumer.consume(10_000, 0.2)
            messages += consumer.consume(10_000, 0.2)
        assert [message.error() for message in messages if message.error()] == []
        return messages

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Dead for a while, by SIGKILL; up again afterwards, whatever happened."""
        self.kafka.kill()
        try:
            yield
        finally:
            self.kafka.start()

    def tool(self, main: str, *words: str) -> str:
        """What one of Kafka's own commands prints."""
        command = java("broker", f"org.apache.kafka.tools.{main}", "--bootstrap-server", self.kafka.bootstrap, *words)
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def done(futures: dict[Any, Any]) -> None:
    """Wait for what the broker was asked for."""
    for future in futures.values():
        future.result()


def wait_for(true: Callable[[], object], patience: float = 30.0) -> None:
    """Wait until it is so."""
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def event(message: Message) -> dict[str, Any]:
    """The CloudEvent in a record."""
    value = message.value()
    assert value is not None
    return event_of(message.headers() or [], value)  # type: ignore[arg-type]


def numbers(messages: Iterable[Message]) -> list[int]:
    """Which of the numbered deliveries they are."""
    return [event(message)["data"]["data"]["number"] for message in messages]


def in_order(messages: Iterable[Message]) -> bool:
    """Whether each profile's deliveries came in their order, and by one partition."""
    by_profile = defaultdict(list)
    for message in messages:
        by_profile[message.key()].append(message)
    return all(
        len({message.partition() for message in mine}) == 1 and numbers(mine) == sorted(numbers(mine))
        for mine in by_profile.values()
    )


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path) -> Iterator[Broker]:
    with LocalKafka(tmp_path_factory.mktemp("kafka") / "broker", GUARDED) as kafka:
        yield Broker(kafka)


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
        with closing(KafkaLog(settings, ["pos"], [BILLS, LINES], 30.0, bootstrapped=True)) as log:
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
    assert lag() == {BILLS: 3, MARKS: 6}
    taken_in(positions, 3)
    assert lag() == {BILLS: 0, MARKS: 0}
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


def test_a_broker_that_is_killed_is_waited_for(broker: Broker) -> None:
    """Nobody loses a message or gets one twice; what keeps them is told meanwhile, and then that it is over."""
    topic = broker.topic()
    channel = kafka_topic(broker.kafka.bootstrap, topic, timeout="500ms")
    with dispatching(channel) as (dispatcher, receipts):
        batches = [[delivery(n, profile_id=n % 50) for n in range(start, start + 100)] for start in range(1, 3001, 100)]
        for batch in batches[:15]:
            dispatcher.submit(batch)
        finals(receipts, 200)
        with broker.killed():
            for batch in batches[15:]:
                dispatcher.submit(batch)
            told = f"takes no messages; they wait: not acknowledged within 0.5 s: {broker.kafka.bootstrap}"
            wait_for(lambda: str(dispatcher.troubles()["till"]).startswith(told))
            assert dispatcher.waiting()["till"] > 0
        wait_for(lambda: dispatcher.waiting() == {"till": 0})
        assert dispatcher.troubles() == {"till": None}
        states = Counter(receipt.state for receipt in dispatcher.receipts())
    assert (states["delivered"], states["rejected"]) == (3000, 0)
    messages = broker.read(topic, 3000)
    assert sorted(numbers(messages)) == list(range(1, 3001))
    assert in_order(messages)


@pytest.mark.parametrize("length", [30_000, 2_000_000])
def test_a_message_that_is_too_large_is_rejected_alone(broker: Broker, length: int) -> None:
    """By the broker's limit or the client's own; its neighbours and its profile's next one arrive."""
    topic = broker.topic(max_message_bytes="20000")
    large = replace(delivery(500, profile_id=1), body=f'{{"data":{{"number":500,"text":"{"x" * length}"}}}}')
    beside = [delivery(number, profile_id=number) for number in range(1, 300)]
    with dispatching(kafka_topic(broker.kafka.bootstrap, topic)) as (dispatcher, receipts):
        dispatcher.submit([*beside[1:150], large, delivery(501, profile_id=1), *beside[150:]])
        ended = finals(receipts, 300)
        [rejected] = [receipt for receipt in ended if receipt.state == "rejected"]
        assert (rejected.seq, rejected.attempt) == (500, 1)
        assert rejected.detail.endswith("Message size too large")
    assert sorted(numbers(broker.read(topic, 299))) == [*range(2, 300), 501]


def test_a_topic_that_is_missing_is_told_at_the_start(broker: Broker) -> None:
    """With the field and how to make it; nobody makes it by accident."""
    with pytest.raises(ChannelError, match="the topic nowhere is not there") as caught:
        running(kafka_topic(broker.kafka.bootstrap, "nowhere"))
    assert caught.value.where == "ringup.yml: channels.till.topic"
    assert f"kafka-topics --bootstrap-server {broker.kafka.bootstrap} --create --topic nowhere" in caught.value.mend
    assert "nowhere" not in broker.admin.list_topics(timeout=10).topics


def test_a_topic_may_be_made_by_the_broker(broker: Broker) -> None:
    """Where the client is told so, the first message makes it."""
    topic = f"made.by.the.broker.{next(_numbers)}"
    channel = kafka_topic(broker.kafka.bootstrap, topic, client={"allow.auto.create.topics": True})
    with dispatching(channel) as (dispatcher, receipts):
        dispatcher.submit([delivery(1)])
        assert finals(receipts, 1)[0].detail == f"{topic}[0]@0"


def test_a_topic_that_goes_is_waited_for(broker: Broker) -> None:
    """Messages to a topic that was deleted are not lost: they go into the one that is made in its place."""
    topic = broker.topic()
    soon = {"topic.metadata.refresh.interval.ms": 200, "topic.metadata.propagation.max.ms": 200}
    channel = kafka_topic(broker.kafka.bootstrap, topic, timeout="500ms", client=soon)
    with dispatching(channel) as (dispatcher, receipts):
        dispatcher.submit([delivery(number) for number in range(1, 4)])
        finals(receipts, 3)
        broker.delete(topic)
        dispatcher.submit([delivery(number) for number in range(4, 7)])
        wait_for(lambda: "is not there" in str(dispatcher.troubles()["till"]))
        broker.topic(topic)
        finals(receipts, 3)
        assert dispatcher.troubles() == {"till": None}
    assert numbers(broker.read(topic, 3)) == [4, 5, 6]


def test_a_login_that_may_not_write_is_waited_for(broker: Broker) -> None:
    """Taken away, the right to write is missed and told; given back, messages go on. Nothing is lost."""
    topic = broker.topic()
    with dispatching(kafka_topic(broker.kafka.bootstrap, topic, timeout="500ms")) as (dispatcher, receipts):
        dispatcher.submit([delivery(1)])
        finals(receipts, 1)
        rules = [
            broker.rule(ResourceType.TOPIC, topic, AclOperation.WRITE, AclPermissionType.DENY),
            broker.rule(ResourceType.TOPIC, topic, AclOperation.DESCRIBE, AclPermissionType.ALLOW),
            broker.rule(ResourceType.TOPIC, topic, AclOperation.READ, AclPermissionType.ALLOW),
        ]
        dispatcher.submit([delivery(number, profile_id=number) for number in range(2, 30)])
        wait_for(lambda: f"may not write to {topic}" in str(dispatcher.troubles()["till"]))
        broker.unrule(rules)
        finals(receipts, 28)
    assert sorted(numbers(broker.read(topic, 29))) == list(range(1, 30))


def test_a_topic_that_this_login_may_not_see_is_told_at_the_start(broker: Broker) -> None:
    """With what the login needs."""
    topic = broker.topic()
    rule = broker.rule(ResourceType.TOPIC, topic, AclOperation.DESCRIBE, AclPermissionType.DENY)
    with pytest.raises(ChannelError, match=f"may not write to {topic}") as caught:
        running(kafka_topic(broker.kafka.bootstrap, topic))
    assert "ACLs" in caught.value.mend
    broker.unrule([rule])


def test_a_client_that_failed_for_good_is_replaced(broker: Broker) -> None:
    """The producer of a login that may not be one is dead for good; when it may, the messages go out by a new one."""
    topic = broker.topic()
    cluster, deny = (ResourceType.BROKER, "kafka-cluster"), AclPermissionType.DENY
    allowed = broker.rule(*cluster, AclOperation.ALL, AclPermissionType.ALLOW)
    rules = [
        broker.rule(*cluster, AclOperation.IDEMPOTENT_WRITE, deny),
        broker.rule(ResourceType.TOPIC, "*", AclOperation.WRITE, deny),
        broker.rule(ResourceType.TOPIC, "*", AclOperation.DESCRIBE, AclPermissionType.ALLOW),
        broker.rule(ResourceType.TOPIC, "*", AclOperation.READ, AclPermissionType.ALLOW),
    ]
    with dispatching(kafka_topic(broker.kafka.bootstrap, topic, timeout="500ms")) as (dispatcher, receipts):
        dispatcher.submit([delivery(number, profile_id=number) for number in range(1, 30)])
        wait_for(lambda: "Cluster authorization failed" in str(dispatcher.troubles()["till"]))
        broker.unrule([*rules, allowed])
        finals(receipts, 29)
    assert sorted(numbers(broker.read(topic, 29))) == list(range(1, 30))


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


def test_brokers_that_do_not_answer_hold_neither_the_start_nor_the_end() -> None:
    """Messages wait; why is told, and stopping takes no longer than it may."""
    bootstrap = f"127.0.0.1:{port_that_is_free()}"
    with dispatching(kafka_topic(bootstrap, "t", timeout="300ms")) as (dispatcher, receipts):
        dispatcher.submit([delivery(number, profile_id=number) for number in range(1, 4)])
        first = receipts.get(timeout=10)
        assert (first.state, first.attempt) == ("unknown", 1)
        assert f"not acknowledged within 0.3 s: {bootstrap}/bootstrap: Connect to" in first.detail
        assert dispatcher.waiting() == {"till": 3}
        began = time.monotonic()
        dispatcher.stop(grace=0.2)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("client", [{"ssl.ca.lokation": "ca.pem"}, {"max.in.flight": 10}, {"batch.size": "large"}])
def test_settings_that_the_client_does_not_take_are_told_at_the_start(client: dict[str, Any]) -> None:
    """Among them what would break the order; the error has the client's own words."""
    with pytest.raises(ConfigError, match=next(iter(client)).replace(".", r"\.")) as caught:
        running(kafka_topic("127.0.0.1:1", "t", client=client))
    assert caught.value.where == "ringup.yml: channels.till.client"
