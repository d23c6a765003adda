"""A Kafka channel whose brokers die, whose topic is missing or closed to it, or whose messages are refused."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka.admin import AclOperation, AclPermissionType, ResourceType  # type: ignore[attr-defined]

from ringup.errors import ChannelError, ConfigError
from tests.dispatching import dispatching, finals, running
from tests.http_receiver import port_that_is_free
from tests.kafka_broker import Broker, in_order, numbers, unused
from tests.outgoing import delivery, kafka_topic
from tests.waiting import wait_for


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
    topic = f"made.by.the.broker.{next(unused)}"
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
    assert f"--allow-principal User:ANONYMOUS --operation Write --topic {topic}" in caught.value.mend
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
    assert caught.value.where == f"ringup.yml: channels.till.client.{next(iter(client))}"
