"""A cluster with TLS, logins and rights: what docs/kafka.md shows works with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from activations.channels.kafka import KafkaChannelSettings
from connectors.kafka_log import KafkaLog
from connectors.kafka_signals import KafkaSignals
from connectors.sources import Source
from ringup.changes import client_settings
from tests.dispatching import dispatching, finals
from tests.kafka_broker import done
from tests.kafka_topics import BILLS, LINES, Topics, rows_of, values
from tests.outgoing import delivery
from tests.secured_kafka import BLOCKS, SecuredKafka

POS = Source("pos", {"topic.prefix": "pos"}, "connectors/sources/pos.json")
OUT = "shop.messages"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, kafka_jars: None) -> Iterator[SecuredKafka]:
    """A broker with the rights that the docs grant, and the topics of a source."""
    secured = SecuredKafka(tmp_path_factory.mktemp("secured"))
    with secured.kafka:
        secured.add_users()
        secured.grant()
        topics = Topics(secured.kafka)
        topics.create()
        topics.make(OUT, 1)
        yield secured


@pytest.fixture
def topics(secured: SecuredKafka) -> Topics:
    """The topics of the source, empty."""
    topics = Topics(secured.kafka)
    topics.create()
    return topics


@pytest.mark.parametrize("block", BLOCKS)
def test_ringup_works_with_each_block_of_the_docs(secured: SecuredKafka, topics: Topics, block: str) -> None:
    """It reads whole transactions and commits, sends a channel's messages, and makes and writes the signals' topic."""
    config = secured.config(block)
    assert config.kafka is not None
    settings = client_settings(config.kafka, config.project)
    topics.delete("pos.signals")
    with closing(KafkaLog(settings, ["pos"], [BILLS, LINES], 30.0, bootstrapped=True)) as log:
        log.seek({})
        topics.row(BILLS, 1, 0, "7:1")
        topics.end("7:9", bills=1)
        batch = log.read(1_000, 30.0)
        assert batch is not None
        assert rows_of(batch) == [(BILLS, 1)]
        log.acknowledge(batch.positions)
    place = TopicPartition(BILLS, 0)
    with closing(Consumer(settings)) as tool:
        assert tool.committed([place], timeout=10)[0].offset == 1

    channel = KafkaChannelSettings.model_validate({"type": "kafka", "topic": OUT}).channel("till", config)
    with dispatching(channel) as (dispatcher, receipts):
        dispatcher.submit([delivery(1)])
        assert finals(receipts, 1)[0].state == "delivered"

    KafkaSignals(config.kafka.access).ask_for_snapshot(POS, ["shop.bills"])
    [signal] = values(secured.kafka.bootstrap, "pos.signals")
    assert "execute-snapshot" in signal


def test_the_rights_of_a_connector_suffice(secured: SecuredKafka, topics: Topics) -> None:
    """Its login makes and writes its topics, and reads its signals with the group that Debezium takes."""
    connect = secured.login("connect")
    wanted = ["pos.transaction", "pos.notifications", "pos.shop.bills", "__debezium-heartbeat.pos"]
    topics.delete(*wanted, "pos.signals")
    admin, producer = AdminClient(connect), Producer({**connect, "enable.idempotence": True})
    done(admin.create_topics([NewTopic(name, 1, 1) for name in wanted], operation_timeout=10))
    failed: list[object] = []
    for name in wanted:
        producer.produce(name, "{}", on_delivery=lambda error, _: failed.append(error) if error else None)
    assert producer.flush(30) == 0
    assert failed == []
    KafkaSignals(secured.login("ringup")).ask_for_snapshot(POS, ["shop.bills"])
    with closing(Consumer({**connect, "group.id": "kafka-signal", "auto.offset.reset": "earliest"})) as consumer:
        consumer.subscribe(["pos.signals"])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        consumer.commit(asynchronous=False)
