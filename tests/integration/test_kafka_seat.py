"""One ringup at a time reads for a group: who gets the seat, who is refused, and when it is free again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Event

import pytest
from confluent_kafka import Consumer, ConsumerGroupState

from connectors.kafka_client import KafkaClient
from connectors.kafka_group import Group
from connectors.kafka_log import KafkaLog
from ringup.errors import LogError
from tests.kafka_topics import BILLS, NOTICES, Topics, batch_of, rows_of
from tests.waiting import wait_for

SESSION = 6.0
"""Seconds until a broker forgets a member that is silent: as few as it allows."""


DIES = """
import json, os, sys
from connectors.kafka_seat import Seat

Seat(json.loads(sys.argv[1]), sys.argv[2]).take([sys.argv[3]], 30)
os._exit(9)
"""


def died(topics: Topics, name: str) -> None:
    """A ringup takes the seat and is gone without leaving it, as if by kill -9."""
    done = subprocess.run([sys.executable, "-c", DIES, json.dumps(topics.settings), name, NOTICES], timeout=60)
    assert done.returncode == 9


def is_free(topics: Topics) -> bool:
    """Whether somebody new gets the seat."""
    try:
        topics.log(name="new").close()
    except LogError:
        return False
    return True


@contextmanager
def foreign(topics: Topics) -> Iterator[Consumer]:
    """Somebody else's consumer, in the same group."""
    consumer = Consumer({"bootstrap.servers": topics.kafka.bootstrap, "group.id": "ringup-test", "client.id": "report"})
    with closing(consumer):
        consumer.subscribe([BILLS])
        yield consumer


def test_a_second_ringup_is_refused(topics: Topics) -> None:
    """It is told who has the seat and what to do; the first one notices nothing, and after it the seat is free."""
    with closing(topics.log(name="first", bootstrapped=True)) as log:
        with pytest.raises(LogError, match="another ringup reads for the group ringup-test: ringup-first at 127") as no:
            topics.log(name="second")
        assert (no.value.where, "within 6 s" in no.value.mend) == ("ringup.yml: kafka.group", True)
        topics.bill(1)
        assert rows_of(batch_of(log)) == [(BILLS, 1)]
    topics.log(name="second").close()


def test_of_two_at_the_same_moment_one_stays(topics: Topics) -> None:
    """Whoever comes first, and however close."""

    def enter(name: str) -> KafkaLog | None:
        try:
            return topics.log(name=name, bootstrapped=True)
        except LogError as error:
            assert "another ringup" in error.message
            return None

    with ThreadPoolExecutor(3) as threads:
        for _ in range(3):
            entered = [log for log in threads.map(enter, ["c", "a", "b"]) if log is not None]
            assert len(entered) == 1
            entered[0].close()


def test_one_that_died_has_its_seat_again_at_once(topics: Topics) -> None:
    """Though the brokers still believe that it is there; another one has to wait until they do not."""
    died(topics, "first")
    topics.log(name="first").close()
    died(topics, "first")
    with pytest.raises(LogError, match="another ringup"):
        topics.log(name="second")
    wait_for(lambda: is_free(topics), 3 * SESSION)


def test_of_two_with_the_same_name_the_later_one_goes_on(topics: Topics) -> None:
    """The earlier one stops rather than read beside it."""
    with (
        closing(topics.log(name="same", bootstrapped=True)) as before,
        closing(topics.log(name="same", bootstrapped=True)) as after,
    ):
        with pytest.raises(LogError, match="ringup-same has lost its seat in the group ringup-test"):
            wait_for(lambda: before.read(1_000, 0.1) is not None)
        topics.bill(1)
        assert rows_of(batch_of(after)) == [(BILLS, 1)]


def test_the_seat_outlasts_a_broker_that_restarts(topics: Topics) -> None:
    """Neither does it get lost, nor has another one a chance meanwhile."""
    with closing(topics.log(name="second", bootstrapped=True)) as log:
        topics.kafka.kill()
        assert log.read(1_000, 0.3) is None
        topics.kafka.start()
        with pytest.raises(LogError, match="another ringup"):
            topics.log(name="first")
        topics.bill(1)
        assert rows_of(batch_of(log, 60)) == [(BILLS, 1)]


def test_a_group_that_nobody_could_tell_of_is_told_of_later(topics: Topics) -> None:
    """Asked while the broker is dead, and again when it is back; librdkafka aborted the process then."""
    group = Group(topics.settings, "test", SESSION)
    topics.kafka.kill()
    assert group.members(0.5) is None
    topics.kafka.start()
    wait_for(lambda: group.members(5) == [])


def test_where_no_topic_is_yet_the_seat_is_taken_with_the_first_one(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two may wait for their source side by side; once something is there, one of them ends."""
    monkeypatch.setattr("connectors.kafka_log._LOOK", 0.2)

    def log(name: str) -> KafkaLog:
        return KafkaLog(topics.settings, ["later"], ["later.shop.bills"], name=name)

    with closing(log("a")) as first, closing(log("b")) as second:
        first.seek({})
        second.seek({})
        assert (first.read(1_000, 0.3), second.read(1_000, 0.3)) == (None, None)
        topics.make("later.notifications", 1)

        def ended() -> bool:
            first.read(1_000, 0.1)
            try:
                second.read(1_000, 0.1)
            except LogError as error:
                assert "another ringup reads for the group ringup-test: ringup-a" in error.message
                return True
            return False

        wait_for(ended)


def test_somebody_elses_consumer_in_the_group_is_told_once(topics: Topics, caplog: pytest.LogCaptureFixture) -> None:
    """It takes nothing away from ringup, which reads all partitions as before."""
    with closing(topics.log(bootstrapped=True)) as log:
        with foreign(topics) as other:

            def told() -> bool:
                other.poll(0.05)
                assert log.read(1_000, 0.05) is None
                return "report at 127.0.0.1 has joined it" in caplog.text

            wait_for(told)
            topics.bill(1)
            assert rows_of(batch_of(log)) == [(BILLS, 1)]
        topics.bill(2)
        assert rows_of(batch_of(log)) == [(BILLS, 2)]
    assert caplog.text.count("report at 127.0.0.1") == 1


def test_a_group_that_waits_for_a_silent_consumer_is_told(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is in the group and does not answer keeps everybody else out: it is named, with what to do."""
    monkeypatch.setattr("connectors.kafka_log._SEAT", 2.0)
    with foreign(topics) as other:
        wait_for(lambda: other.poll(0.1) is None and other.assignment())
        with pytest.raises(LogError, match="takes nobody in within 2 s: it waits for report at 127") as no:
            topics.log()
        assert "Stop that consumer" in no.value.mend


def test_ctrl_c_ends_the_wait_for_a_seat(topics: Topics) -> None:
    """Whoever waits for a silent consumer can leave at any time."""
    stop = Event()
    with foreign(topics) as other, closing(KafkaLog(topics.settings, ["pos"], [BILLS], name="test")) as log:
        wait_for(lambda: other.poll(0.1) is None and other.assignment())
        with ThreadPoolExecutor(1) as thread:
            entering = thread.submit(log.seek, {}, stop)
            wait_for(lambda: topics.group().state == ConsumerGroupState.PREPARING_REBALANCING)
            assert not entering.done()
            stop.set()
            entering.result(5)


def test_a_session_that_the_brokers_do_not_take_is_refused(topics: Topics) -> None:
    """With the setting, and between what it has to be."""
    topics.settings["session.timeout.ms"] = 100
    with pytest.raises(LogError, match=r"the brokers do not take 0\.1 s") as no:
        topics.log()
    assert no.value.where == "ringup.yml: kafka.client.session.timeout.ms"
    assert "`group.min.session.timeout.ms`" in no.value.mend


def test_who_only_looks_needs_no_seat(topics: Topics) -> None:
    """Commands ask how much is left to read while a run reads it."""
    with closing(topics.log(bootstrapped=True)) as log:
        topics.bill(1)
        client = KafkaClient(topics.settings, [BILLS])
        with closing(client):
            assert client.behind({}) == 1
        assert rows_of(batch_of(log)) == [(BILLS, 1)]


def test_leaving_does_not_wait_for_brokers_that_do_not_answer(topics: Topics) -> None:
    """Ctrl-C ends a run, though offsets are under way to a broker that hangs; when it is well, the seat gets free."""
    log = topics.log(bootstrapped=True)
    topics.bill(1)
    batch = batch_of(log)
    with topics.hanging(), ThreadPoolExecutor(1) as thread:
        log.acknowledge(batch.positions)
        began = time.monotonic()
        thread.submit(log.close).result(30)
        assert time.monotonic() - began < 30
    wait_for(lambda: is_free(topics))
