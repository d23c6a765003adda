"""What stops the reading of topics, for going on would skip or tear something: told with the mend."""

from __future__ import annotations

from contextlib import closing

import pytest
from confluent_kafka import TopicPartition

from connectors.kafka_log import KafkaLog
from ringup.errors import LogError
from tests.kafka_topics import BILLS, MARKS, NOTICES, Topics, batch_of
from tests.waiting import wait_for


def test_a_position_ahead_of_the_topic_is_refused(topics: Topics) -> None:
    """Another cluster, or a topic that was made anew: going on would skip what comes."""
    with pytest.raises(LogError, match=r"up to offset 7, but it ends at offset -1") as caught:
        topics.log({(BILLS, 0): 7})
    assert caught.value.where == topics.kafka.bootstrap
    topics.delete(BILLS)
    with pytest.raises(LogError, match="there is no such topic"):
        topics.log({(BILLS, 0): 7})


def test_a_position_that_retention_has_overtaken_is_refused(topics: Topics) -> None:
    """Never a silent gap: neither at the start nor while it runs."""
    for number in range(3):
        topics.bill(number)
    topics.admin.delete_records([TopicPartition(BILLS, 0, 2)])[TopicPartition(BILLS, 0)].result()
    with pytest.raises(LogError, match="removed by retention: the topic begins at offset 2") as caught:
        topics.log({(BILLS, 0): 0}, bootstrapped=True)
    assert "let topics keep records for longer" in caught.value.mend


def test_an_empty_partition_that_retention_has_overtaken_is_refused(topics: Topics) -> None:
    """It had a position, too: that nothing was in it."""
    topics.bill(1)
    with closing(topics.log(bootstrapped=True)) as log:
        positions = batch_of(log).positions
    topics.log(positions).close()
    for number in range(3):
        topics.row(BILLS, number, 1, f"{number}:1")
    topics.admin.delete_records([TopicPartition(BILLS, 1, 2)])[TopicPartition(BILLS, 1)].result()
    with pytest.raises(LogError, match=r"pos\.shop\.bills\[1\] was empty when it was read last, .* at offset 2 now"):
        topics.log(positions)


def test_a_state_that_begins_anew_is_told_what_retention_has_removed(
    topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    """The topics do not hold all rows any more, and nobody would notice."""
    for number in range(3):
        topics.row(BILLS, number, 0)
    topics.log({}).close()
    assert "retention" not in caplog.text
    topics.admin.delete_records([TopicPartition(BILLS, 0, 2)])[TopicPartition(BILLS, 0)].result()
    topics.log({}).close()
    assert "pos.shop.bills: retention has removed the oldest changes" in caplog.text
    assert "ringup connectors snapshot" in caplog.text


def test_a_topic_that_is_deleted_meanwhile_stops_the_reader(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for a quiet one."""
    monkeypatch.setattr("connectors.kafka_log._LOOK", 0.2)
    with closing(topics.log(bootstrapped=True)) as log:
        topics.bill(1)
        batch_of(log)
        topics.delete(BILLS)
        with pytest.raises(LogError, match=r"pos\.shop\.bills: the topic is not there any more"):
            wait_for(lambda: log.read(1_000, 0.2) is not None)


def test_a_topic_that_was_made_anew_is_not_taken_for_the_one_that_was_read(topics: Topics) -> None:
    """Though it has records at the position by now. Where nobody knows which one was read, it has to be."""
    topics.bill(1)
    with closing(topics.log(bootstrapped=True)) as log:
        read = batch_of(log)
    topics.delete(BILLS)
    topics.make(BILLS, 2)
    for number in range(3):
        topics.row(BILLS, number, 0, f"{number}:1")
    with pytest.raises(LogError, match=r"pos\.shop\.bills: not the topic that was read") as caught:
        topics.log(read.positions, known=read.topics)
    assert "delete the whole state folder" in caught.value.mend
    topics.log(read.positions).close()


def test_a_topic_that_is_made_anew_meanwhile_stops_the_reader(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it was away for so short a time that nobody saw it."""
    monkeypatch.setattr("connectors.kafka_log._LOOK", 0.2)
    monkeypatch.setattr("connectors.kafka_topic_ids._AGAIN", 0.2)
    with closing(topics.log(bootstrapped=True)) as log:
        topics.bill(1)
        batch_of(log)
        topics.delete(BILLS)
        topics.make(BILLS, 2)
        for number in range(3):
            topics.row(BILLS, number, 0)
        with pytest.raises(LogError, match=r"not the topic that was read|what follows is not there any more"):
            wait_for(lambda: log.read(1_000, 0.1) is None and False)


def test_a_topic_of_notifications_may_go(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from its beginning at each start, so the next one goes on."""
    monkeypatch.setattr("connectors.kafka_log._LOOK", 0.2)
    with closing(topics.log(bootstrapped=True)) as log:
        topics.bill(1)
        positions = batch_of(log).positions
        topics.delete(NOTICES)
        with pytest.raises(LogError, match=NOTICES) as caught:
            wait_for(lambda: log.read(1_000, 0.1) is not None)
        assert caught.value.mend.startswith("start again")
    topics.log(positions, bootstrapped=True).close()


def test_transactions_need_one_partition(topics: Topics) -> None:
    """In two partitions their ENDs have no order."""
    topics.create(pos_transaction=2)
    with pytest.raises(LogError, match=f"the topic {MARKS} has 2 partitions") as caught:
        topics.log()
    assert "one partition" in caught.value.mend


def test_a_cluster_that_does_not_answer_is_told(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its address and what to look at."""
    monkeypatch.setattr("connectors.kafka_client._ANSWER", 0.5)
    log = KafkaLog({"bootstrap.servers": "127.0.0.1:1", "group.id": "ringup-test"}, ["pos"], [BILLS], name="test")
    with pytest.raises(LogError, match="no Kafka broker answers") as caught:
        log.seek({})
    assert caught.value.where == "127.0.0.1:1"
