"""Reading topics of a real broker: whole transactions, and positions to go on from."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from confluent_kafka import Consumer, TopicPartition

from connectors.kafka_client import KafkaClient
from connectors.kafka_errors import Unanswered
from connectors.kafka_log import KafkaLog
from connectors.log import Partition
from tests.kafka_topics import BILLS, LINES, MARKS, NOTICES, Topics, batch_of, rows_of
from tests.waiting import wait_for


def test_a_snapshot_then_whole_transactions(topics: Topics) -> None:
    """Rows of the snapshot are no news. A transaction over several topics and partitions is one batch, in order."""
    for number in range(4):
        topics.row(BILLS, number, partition=number % 2)
    topics.notice()
    with closing(topics.log()) as log:
        seen: list[tuple[str, int]] = []
        while not log.bootstrapped:
            batch = log.read(1_000, 0.2)
            assert batch is None or batch.snapshot
            seen += rows_of(batch)
        assert sorted(seen) == [(BILLS, number) for number in range(4)]
        topics.row(BILLS, 10, 0, "5:100")
        topics.row(LINES, 11, 0, "5:101")
        topics.row(LINES, 12, 1, "5:102")
        topics.end("5:109", bills=1, lines=2)
        batch = batch_of(log)
        assert not batch.snapshot
        assert sorted(rows_of(batch)) == [(BILLS, 10), (LINES, 11), (LINES, 12)]
        assert log.lag() == 0


def test_a_transaction_waits_for_all_its_changes(topics: Topics) -> None:
    """Neither the END alone nor half of the changes is enough; a later transaction does not overtake it."""
    with closing(topics.log(bootstrapped=True)) as log:
        topics.row(BILLS, 1, 0, "7:1")
        topics.end("7:9", bills=1, lines=1)
        topics.row(BILLS, 2, 1, "8:1")
        topics.end("8:9", bills=1)
        assert log.read(1_000, 0.5) is None
        assert log.lag() == 2
        topics.row(LINES, 3, 1, "7:2")
        assert rows_of(batch_of(log)) == [(BILLS, 1), (LINES, 3), (BILLS, 2)]


def test_the_topic_of_the_transactions_may_come_with_the_first_one(topics: Topics) -> None:
    """It is looked for as long as changes wait for it, and nothing is torn for want of it."""
    topics.create(pos_transaction=0)
    with closing(topics.log(bootstrapped=True)) as log:
        topics.row(BILLS, 1, 0, "5:1")
        assert log.read(1_000, 0.3) is None
        topics.make(MARKS, 1)
        topics.end("5:9", bills=1)
        batch = batch_of(log, patience=5.0)
        assert (rows_of(batch), batch.torn) == ([(BILLS, 1)], 0)


def test_a_transaction_without_its_rest_goes_on_after_a_while(topics: Topics) -> None:
    """What there is is given out and counted as torn; what comes of it later is not held up again."""
    with closing(topics.log(bootstrapped=True, wait=0.3)) as log:
        topics.row(BILLS, 1, 0, "7:1")
        batch = batch_of(log)
        assert (rows_of(batch), batch.torn) == ([(BILLS, 1)], 1)
        topics.row(LINES, 2, 0, "7:2")
        batch = batch_of(log)
        assert (rows_of(batch), batch.torn) == ([(LINES, 2)], 0)


def test_it_goes_on_where_the_positions_say(topics: Topics) -> None:
    """A reader that starts after any batch gets exactly what followed it."""
    with closing(topics.log(bootstrapped=True)) as log:
        batches = []
        for number in range(5):
            topics.row(BILLS, number, number % 2, f"{number}:1")
            topics.put(BILLS, None, number % 2)
            topics.row(LINES, 100 + number, 0, f"{number}:2")
            topics.end(f"{number}:9", bills=1, lines=1)
            batches.append(batch_of(log))
    for place, batch in enumerate(batches):
        with closing(topics.log(batch.positions, bootstrapped=True)) as again:
            seen: list[tuple[str, int]] = []
            while len(seen) < 2 * (4 - place):
                seen += rows_of(batch_of(again))
            bills = [sorted(seen[first : first + 2]) for first in range(0, len(seen), 2)]
            assert bills == [sorted(rows_of(later)) for later in batches[place + 1 :]]
            assert rows_of(again.read(1_000, 0.1)) == []


def test_new_topics_and_partitions_are_read_too(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debezium makes a topic with a table's first row, and an administrator may give one more partitions."""
    monkeypatch.setattr("connectors.kafka_log._LOOK", 0.2)
    topics.create(pos_shop_lines=0)
    with closing(topics.log(bootstrapped=True)) as log:
        topics.end("7:9", lines=1)
        assert log.read(1_000, 0.3) is None
        topics.make(LINES, 1)
        topics.row(LINES, 1, 0, "7:1")
        assert rows_of(batch_of(log)) == [(LINES, 1)]


def test_partitions_that_are_added_are_read_from_their_beginning(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the time before they were found is lost."""
    monkeypatch.setattr("connectors.kafka_log._LOOK", 0.2)
    with closing(topics.log(bootstrapped=True)) as log:
        topics.grow(BILLS, 3)
        topics.row(BILLS, 1, 2, "7:1")
        topics.end("7:9", bills=1)
        assert rows_of(batch_of(log)) == [(BILLS, 1)]


def test_the_group_shows_how_far_it_is(topics: Topics) -> None:
    """Ordinary tools show the lag, as the positions are committed to the consumer group, too."""
    with closing(topics.log(bootstrapped=True)) as log:
        topics.row(BILLS, 1, 0, "7:1")
        topics.end("7:9", bills=1)
        log.acknowledge(batch_of(log).positions)
    place = TopicPartition(BILLS, 0)
    with closing(Consumer({"bootstrap.servers": topics.kafka.bootstrap, "group.id": "ringup-test"})) as tool:
        assert tool.committed([place], timeout=10)[0].offset == 1


def test_a_broker_that_restarts_is_waited_for(topics: Topics) -> None:
    """kill -9 of the broker: reading goes on when it is back, and nothing is lost or comes twice."""
    with closing(topics.log(bootstrapped=True)) as log:
        topics.row(BILLS, 1, 0, "7:1")
        topics.end("7:9", bills=1)
        assert rows_of(batch_of(log)) == [(BILLS, 1)]
        assert log.trouble is None
        topics.kafka.kill()
        wait_for(lambda: log.read(1_000, 0.3) is None and "no Kafka broker answers" in (log.trouble or ""))
        topics.kafka.start()
        topics.row(BILLS, 2, 0, "8:1")
        topics.end("8:9", bills=1)
        assert rows_of(batch_of(log, 60)) == [(BILLS, 2)]
        wait_for(lambda: log.read(1_000, 0.1) is None and log.trouble is None)


def test_half_a_transaction_waits_while_the_broker_is_away(topics: Topics) -> None:
    """The rest cannot come then: that is no reason to give out the half."""
    with closing(topics.log(bootstrapped=True, wait=1.0)) as log:
        topics.row(BILLS, 1, 0, "7:1")
        wait_for(lambda: log.read(1_000, 0.05) is None and log.lag() == 1, 10)
        topics.kafka.kill()
        assert log.read(1_000, 4.0) is None
        topics.kafka.start()
        topics.row(LINES, 2, 0, "7:2")
        topics.end("7:9", bills=1, lines=1)
        batch = batch_of(log, 60)
        assert (sorted(rows_of(batch)), batch.torn) == ([(BILLS, 1), (LINES, 2)], 0)


def test_a_transaction_without_its_rest_does_not_hold_up_a_busy_source(topics: Topics) -> None:
    """Though something comes all the time, and the reader is never idle."""
    with closing(topics.log(bootstrapped=True, wait=0.5)) as log:
        topics.row(BILLS, 0, 0, "0:1")
        topics.end("0:9", bills=1, lines=1)
        seen: list[tuple[str, int]] = []
        torn, number, until = 0, 0, time.monotonic() + 20
        while not torn and time.monotonic() < until:
            number += 1
            topics.bill(number)
            batch = log.read(1_000, 0.05)
            seen += rows_of(batch)
            torn += batch.torn if batch is not None else 0
        assert torn
        assert seen[:2] == [(BILLS, 0), (BILLS, 1)]


def test_a_broker_that_dies_at_the_start_is_waited_for(topics: Topics) -> None:
    """It answered a moment ago, so its address is right."""
    topics.row(BILLS, 1, 0, "7:1")
    topics.end("7:9", bills=1)
    settings = {"bootstrap.servers": topics.kafka.bootstrap, "group.id": "ringup-test"}
    with closing(KafkaLog(settings, ["pos"], [BILLS, LINES], name="test", bootstrapped=True)) as log:
        log.cluster()
        topics.kafka.kill()
        with ThreadPoolExecutor(1) as thread:
            back = thread.submit(topics.kafka.start)
            log.seek({(MARKS, 0): 0})
            back.result()
        assert rows_of(batch_of(log, 60)) == [(BILLS, 1)]


def test_a_broker_that_dies_when_the_snapshot_ends_is_asked_again(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How far the snapshot reaches is asked of the cluster, and no answer is no reason to give up."""
    failures = [Unanswered("no Kafka broker answers", mend="start it")] * 2
    ends = KafkaClient.ends

    def answer(
        client: KafkaClient, partitions: Iterable[Partition], patience: float | None = 1.0
    ) -> dict[Partition, int]:
        if failures and patience is not None:  # at the start it is waited for
            raise failures.pop()
        return ends(client, partitions, patience)

    monkeypatch.setattr(KafkaClient, "ends", answer)
    topics.row(BILLS, 1)
    topics.notice()
    with closing(topics.log()) as log:
        seen: list[tuple[str, int]] = []
        until = time.monotonic() + 30
        while not log.bootstrapped and time.monotonic() < until:
            seen += rows_of(log.read(1_000, 0.1))
        assert (seen, failures) == ([(BILLS, 1)], [])


def test_a_table_was_read_anew_when_the_snapshot_and_its_rows_were_read(topics: Topics) -> None:
    """Notifications of the time before the reader began say nothing of it, and rows may come after them."""
    topics.notice()
    topics.notice("STARTED")
    topics.scanned(BILLS)
    topics.notice()
    with closing(topics.log({}, bootstrapped=True)) as log:
        topics.row(LINES, 1)
        assert rows_of(batch_of(log)) == [(LINES, 1)]
        assert log.read_anew == set()
        topics.notice("STARTED")
        topics.scanned(BILLS)
        topics.scanned("pos.shop.undeclared")
        topics.row(BILLS, 2, 1)
        assert rows_of(batch_of(log)) == [(BILLS, 2)]
        assert log.read(1_000, 0.2) is None
        assert log.read_anew == set()
        topics.notice()
        wait_for(lambda: log.read(1_000, 0.1) is None and log.read_anew == {BILLS})


def test_marks_that_cannot_be_read_are_passed_over(topics: Topics, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever wrote them: the run goes on, and says where they are."""
    with closing(topics.log(bootstrapped=True)) as log:
        counted = '{"status":"END","id":"6:9","data_collections":[{"data_collection":"shop.bills","event_count":"1"}]}'
        for mark in ("no json", '{"id":"6:9"}', None, counted):
            topics.put(MARKS, mark)
        for notice in ("no json", '{"aggregate_type":7,"type":"COMPLETED"}', "null"):
            topics.put(NOTICES, notice)
        topics.row(BILLS, 1, 0, "7:1")
        topics.end("7:9", bills=1)
        batch = batch_of(log)
        assert (rows_of(batch), batch.torn) == ([(BILLS, 1)], 0)
    for topic, offset in [*((MARKS, n) for n in range(4)), *((NOTICES, n) for n in range(3))]:
        assert f"{topic}[0] has at offset {offset} what cannot be read" in caplog.text
