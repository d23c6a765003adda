"""A cluster with TLS, logins and rights: what docs/kafka.md shows works with it, and what it refuses is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from activations.channels.kafka import KafkaChannelSettings
from connectors.kafka_access import check_access
from connectors.kafka_errors import Unanswered
from connectors.kafka_log import KafkaLog
from connectors.kafka_signals import KafkaSignals
from connectors.sources import Source
from ringup.changes import client_settings, open_log
from ringup.errors import ChannelError, LogError
from tests.dispatching import dispatching, finals, running
from tests.kafka_broker import done
from tests.kafka_topics import BILLS, LINES, Topics, rows_of, values
from tests.outgoing import delivery
from tests.secured_kafka import BLOCKS, SecuredKafka
from transforms.warehouse import Warehouse

POS = Source("pos", {"topic.prefix": "pos"}, "connectors/sources/pos.json")
OUT = "shop.messages"
PROTOCOL = ("security.protocol", "Set it to")


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
    with closing(KafkaLog(settings, ["pos"], [BILLS, LINES], 30.0, name="test", bootstrapped=True)) as log:
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


REFUSED: list[tuple[str, dict[str, str | None], str, str]] = [
    ("SASL/SCRAM", {"sasl.password": "wrong"}, "sasl.password", "kafka-configs"),
    ("SASL/PLAIN", {"sasl.username": "nobody"}, "sasl.password", "--entity-name nobody"),
    ("SASL/SCRAM", {"sasl.mechanism": "SCRAM-SHA-256"}, "sasl.mechanism", "SCRAM-SHA-512, PLAIN"),
    ("SASL/SCRAM", {"ssl.ca.location": "/etc/ssl/other-ca.pem"}, "ssl.ca.location", "the PEM file of the CA"),
    ("TLS only", {"ssl.ca.location": None}, "ssl.ca.location", "the PEM file of the CA"),
    ("SASL/SCRAM", {"bootstrap.servers": "SSL"}, *PROTOCOL),
    ("SASL/SCRAM", {"bootstrap.servers": "PLAINTEXT"}, *PROTOCOL),
    ("TLS only", {"bootstrap.servers": "PLAINTEXT"}, *PROTOCOL),
]


@pytest.mark.parametrize(("block", "client", "field", "mend"), REFUSED)
def test_a_refused_login_is_an_error_with_the_field(
    secured: SecuredKafka,
    monkeypatch: pytest.MonkeyPatch,
    block: str,
    client: dict[str, str | None],
    field: str,
    mend: str,
) -> None:
    """It says so at once, though the client itself would try for ever, and what to set instead."""
    monkeypatch.setattr("connectors.kafka_access._DOUBT", 0.5)
    settings = changed(secured, block, client)
    with pytest.raises(LogError) as caught:
        check_access(settings, [BILLS])
    assert caught.value.where == f"ringup.yml: kafka.client.{field}"
    assert mend in caught.value.mend
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(("block", "protocol"), [("SASL/SCRAM", "SASL_PLAINTEXT"), ("TLS only", "PLAINTEXT")])
def test_a_listener_that_wants_tls_and_gets_none_is_told_from_a_broker_that_is_down(
    secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch, block: str, protocol: str
) -> None:
    """It closes connections without a word, as a broker may that starts: it is waited for, then told."""
    monkeypatch.setattr("connectors.kafka_access._ANSWER", 3.0)
    with pytest.raises(Unanswered, match=f"close them; it is {protocol}") as caught:
        check_access(changed(secured, block, {"security.protocol": protocol}), [BILLS])
    assert caught.value.where == "ringup.yml: kafka.client.security.protocol"


def test_a_channel_and_signals_say_of_a_refused_login_what_is_wrong(
    secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither waits for brokers that are there."""
    monkeypatch.setattr("connectors.kafka_signals._PATIENCE", 1.0)
    config = secured.config("SASL/PLAIN", **{"sasl.password": "wrong"})
    assert config.kafka is not None
    settings = {"type": "kafka", "topic": OUT, "timeout": "1s"}
    with pytest.raises(ChannelError, match="refuse the login ringup") as refused:
        running(KafkaChannelSettings.model_validate(settings).channel("till", config))
    assert refused.value.where == "ringup.yml: channels.till.client.sasl.password"
    with pytest.raises(LogError, match="refuse the login ringup") as caught:
        KafkaSignals(config.kafka.access).make_topic(POS)
    assert caught.value.where == "ringup.yml: kafka.client.sasl.password"


def test_a_run_is_refused_until_the_commands_of_its_errors_were_run(secured: SecuredKafka, tmp_path: Path) -> None:
    """First the topics, then the group: what the mends say is what an administrator has to do, and no more."""
    config = secured.config("SASL/PLAIN", **{"sasl.username": "stranger"})
    assert config.kafka is not None
    with closing(Warehouse(tmp_path / "live.duckdb")) as warehouse:
        for what in (r"User:stranger may not read pos\.notifications, pos\.transaction", "may not commit to the group"):
            with pytest.raises(LogError, match=what) as caught:
                open_log(config, [POS], [], warehouse, lambda batch: batch)
            secured.acls(caught.value.mend.removeprefix("let an administrator run: "))
        assert caught.value.where == "ringup.yml: kafka.group"
        open_log(config, [POS], [], warehouse, lambda batch: batch).close()


def test_a_channel_or_a_signal_that_may_not_be_written_says_who_can_mend_it(secured: SecuredKafka) -> None:
    """With the command."""
    config = secured.config("SASL/PLAIN", **{"sasl.username": "connect"})
    assert config.kafka is not None
    with pytest.raises(ChannelError) as refused:
        running(KafkaChannelSettings.model_validate({"type": "kafka", "topic": OUT}).channel("till", config))
    assert f"--allow-principal User:connect --operation Write --topic {OUT}" in refused.value.mend
    config.kafka.client["sasl.username"] = "stranger"
    till = Source("till", {"topic.prefix": "till"}, "connectors/sources/till.json")
    with pytest.raises(LogError) as caught:
        KafkaSignals(config.kafka.access).make_topic(till)
    assert "--operation Create --operation Write --topic till.signals" in caught.value.mend


def changed(secured: SecuredKafka, block: str, client: dict[str, str | None]) -> dict[str, str | int | bool]:
    """The settings of a block with others over them; brokers by the listener that they are to be."""
    given = {name: secured.here(value) if value else value for name, value in client.items()}
    servers = given.pop("bootstrap.servers", None)
    config = secured.config(block, **given)
    assert config.kafka is not None
    settings = client_settings(config.kafka, config.project)
    return {**settings, "bootstrap.servers": secured.kafka.address(servers)} if servers else settings
