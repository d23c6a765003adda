"""Reading topics of a real broker as they are: every record once, in the order of its partition."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import cast

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, Producer, TopicPartition

from connectors.kafka_errors import Unanswered, UnknownSchema
from connectors.kafka_raw import KafkaRaw
from connectors.log import RECORDS, Partition, Positions
from connectors.raw import RawLog
from connectors.registry import Registry
from ringup.errors import LogError
from tests.kafka_topics import BILLS, LINES, MARKS, Topics, batch_of, change, rows_of
from tests.waiting import wait_for

Text = str | None


@contextmanager
def raw_of(
    topics: Topics, positions: Positions | None = None, registry: object = None, **settings: int
) -> Iterator[KafkaRaw]:
    """A raw reader of the topics, after `positions`."""
    own = {name.replace("_", "."): value for name, value in settings.items()}
    reader = KafkaRaw({**topics.settings, **own}, ["pos"], [BILLS, LINES], cast("Registry | None", registry))
    with closing(reader):
        reader.seek(positions or {})
        yield reader


class Found:
    """What a raw reader gave so far."""

    def __init__(self, reader: RawLog) -> None:
        self._reader = reader
        self.rows: dict[Partition, list[tuple[int, Text]]] = defaultdict(list)
        self.positions: Positions = {}

    def until(self, count: int, limit: int = 1_000, patience: float = 30.0) -> None:
        """Read until so many records have come, and not one more; offsets rise, and positions are true of them."""

        def enough() -> bool:
            if (came := self._reader.read(limit, 0.2)) is not None:
                records, self.positions = came
                assert records.schema == RECORDS
                for row in records.to_pylist():
                    mine = self.rows[row["topic"], row["partition"]]
                    assert not mine or mine[-1][0] < row["offset"]
                    mine.append((row["offset"], row["value"]))
                for place, mine in self.rows.items():
                    assert self.positions[place] >= mine[-1][0]
            return self.count >= count

        wait_for(enough, patience)
        assert self.count == count

    @property
    def count(self) -> int:
        """How many records came."""
        return sum(len(mine) for mine in self.rows.values())

    def offsets(self) -> Mapping[Partition, list[int]]:
        """Those of each partition."""
        return {place: [offset for offset, _ in mine] for place, mine in self.rows.items()}


def test_everything_comes_as_it_is(topics: Topics) -> None:
    """Changes, tombstones and marks, unfinished transactions, too; and the group hears nothing of it."""
    settings = topics.settings | {"group.id": "ringup-raw"}
    topics.row(BILLS, 1, 0, "5:1")
    topics.put(BILLS, None, 0, '{"id":1}')
    topics.row(BILLS, 2, 1, "5:2")
    topics.end("5:9", bills=2)
    topics.row(LINES, 3, 1, "6:1")
    with closing(KafkaRaw(settings, ["pos"], [BILLS, LINES])) as reader:
        begins = reader.seek({})
        assert begins == dict.fromkeys([(BILLS, 0), (BILLS, 1), (LINES, 0), (LINES, 1), (MARKS, 0)], 0)
        found = Found(reader)
        found.until(6)
        assert found.rows[BILLS, 0] == [(0, change(1, "5:1")), (1, None)]
        assert found.rows[BILLS, 1] == [(0, change(2, "5:2"))]
        assert [value and value[:17] for _, value in found.rows[MARKS, 0]] == ['{"status":"BEGIN"', '{"status":"END","']
        assert found.positions == {(BILLS, 0): 1, (BILLS, 1): 0, (LINES, 1): 0, (MARKS, 0): 1}
        assert reader.read(10, 0.1) is None
        group = topics.admin.describe_consumer_groups(["ringup-raw"])["ringup-raw"].result(10)
        assert (group.state, group.members) == (ConsumerGroupState.DEAD, []), "nobody was ever in it"
    with closing(Consumer(settings)) as tool:
        assert tool.committed([TopicPartition(BILLS, 0)], timeout=10)[0].offset < 0


def test_it_reads_beside_the_pipeline(topics: Topics) -> None:
    """With the same settings: neither takes anything from the other, and the seat stays taken."""
    with closing(topics.log(bootstrapped=True)) as log, raw_of(topics) as reader:
        found = Found(reader)
        for number in range(3):
            topics.bill(number)
            batch = batch_of(log)
            assert rows_of(batch) == [(BILLS, number)]
            log.acknowledge(batch.positions)
            found.until(3 * (number + 1))
        assert len(topics.group().members) == 1


def test_it_goes_on_where_the_positions_say(topics: Topics) -> None:
    """A reader that starts after any read gets exactly what follows, whatever the size of the reads."""
    for number in range(6):
        topics.row(BILLS, number, number % 2, f"{number}:1")
        topics.row(LINES, number, 0, f"{number}:2")
    places: list[tuple[Positions, Mapping[Partition, list[int]]]] = [({}, {})]
    with raw_of(topics) as reader:
        found = Found(reader)
        while found.count < 12:
            found.until(found.count + 1, limit=1)
            places.append((found.positions, found.offsets()))
    whole = found.offsets()
    for positions, before in places[::4]:
        with raw_of(topics, positions) as reader:
            rest = Found(reader)
            rest.until(12 - sum(map(len, before.values())))
            for place, offsets in whole.items():
                assert before.get(place, []) + rest.offsets().get(place, []) == offsets
            assert reader.read(10, 0.1) is None
    with raw_of(topics, {**positions, ("pos.shop.undeclared", 0): 7}) as reader:
        assert reader.read(10, 0.1) is None


def test_what_was_aborted_is_read_over(topics: Topics) -> None:
    """It leaves a hole in the offsets, which counts as read also where it is the end."""
    producer = Producer({"bootstrap.servers": topics.kafka.bootstrap, "transactional.id": "test"})
    producer.init_transactions(30)
    topics.row(BILLS, 1)
    producer.begin_transaction()
    producer.produce(BILLS, "aborted", partition=0)
    producer.flush(30)
    producer.abort_transaction(30)
    with raw_of(topics) as reader:
        found = Found(reader)
        found.until(1)
        assert reader.read(10, 0.5) is None
        topics.row(LINES, 2)
        found.until(2)
        assert found.positions == {(BILLS, 0): 2, (LINES, 0): 0}
    with raw_of(topics, found.positions) as reader:
        topics.row(BILLS, 3)
        found = Found(reader)
        found.until(1)
        assert found.offsets() == {(BILLS, 0): [3]}


def test_new_topics_and_partitions_are_read_too(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """From their beginning, though they are found later."""
    monkeypatch.setattr("connectors.kafka_raw._LOOK", 0.2)
    topics.create(pos_shop_lines=0)
    with raw_of(topics) as reader:
        topics.make(LINES, 1)
        topics.row(LINES, 1)
        topics.grow(BILLS, 3)
        topics.row(BILLS, 2, 2)
        found = Found(reader)
        found.until(2)
        assert found.positions == {(LINES, 0): 0, (BILLS, 2): 0}


def test_a_broker_that_restarts_is_waited_for(topics: Topics) -> None:
    """The trouble is told, reading goes on when it is back, and nothing is lost or comes twice."""
    with raw_of(topics) as reader:
        found = Found(reader)
        topics.row(BILLS, 1)
        found.until(1)
        assert reader.trouble is None
        topics.kafka.kill()
        wait_for(lambda: reader.read(10, 0.3) is None and "no Kafka broker answers" in (reader.trouble or ""))
        topics.kafka.start()
        topics.row(BILLS, 2)
        found.until(2, patience=60)
        assert found.offsets() == {(BILLS, 0): [0, 1]}
        wait_for(lambda: reader.read(10, 0.1) is None and reader.trouble is None)


class Silent:
    """A registry that does not answer, and then knows no schema."""

    def __init__(self) -> None:
        self.answers = self.closed = False

    def avro(self, number: int) -> None:
        """No schema."""
        if self.answers:
            raise UnknownSchema(f"the registry knows no schema {number}")
        raise Unanswered("the schema registry does not answer", mend="start it")

    def close(self) -> None:
        """Nothing to leave."""
        self.closed = True


def test_a_registry_that_is_away_is_waited_for(topics: Topics) -> None:
    """What came is kept, and read when it answers; what cannot be read then stands there with its bytes."""
    registry = Silent()
    with raw_of(topics, registry=registry) as reader:
        topics.put(BILLS, "\0\0\0\0\7\2")
        topics.row(BILLS, 1)
        wait_for(lambda: reader.read(10, 0.1) is None and reader.trouble == "the schema registry does not answer")
        topics.row(BILLS, 2)
        assert reader.read(10, 0.1) is None
        registry.answers = True
        found = Found(reader)
        found.until(3)
        assert reader.trouble is None
        unreadable = '{"unreadable":"the registry knows no schema 7","bytes":"AAAAAAcC"}'
        assert found.rows[BILLS, 0] == [(0, unreadable), (1, change(1, None)), (2, change(2, None))]
    assert registry.closed


def removed(topics: Topics, place: Partition, upto: int) -> None:
    """Let retention take a partition's records up to an offset."""
    topics.admin.delete_records([TopicPartition(*place, upto)])[TopicPartition(*place)].result()


def refused(topics: Topics, positions: Positions, words: Collection[str]) -> None:
    """A start after these positions is an error that says so, about the lake."""
    with pytest.raises(LogError) as caught, raw_of(topics, positions):
        pass
    told = f"{caught.value.message} {caught.value.mend}"
    for word in [*words, "the folder of the lake"]:
        assert word in told


def test_a_gap_is_refused(topics: Topics) -> None:
    """Neither a start nor a reader that runs passes over what it cannot read; a lake without the topic begins later."""
    for number in range(4):
        topics.row(BILLS, number)
    refused(topics, {(BILLS, 0): 7}, ["the lake has taken in pos.shop.bills[0] up to offset 7", "ends at offset 3"])
    refused(topics, {(BILLS, 9): 7}, ["there is no such topic", "name the cluster that belongs to this lake"])
    with raw_of(topics, {(BILLS, 0): 3}, fetch_message_max_bytes=1_000, queued_min_messages=1) as reader:
        for number in range(4, 20):
            topics.put(BILLS, json.dumps({"number": number, "long": "x" * 2_000}))
        assert reader.read(1, 30) is not None
        removed(topics, (BILLS, 0), 19)
        with pytest.raises(LogError, match=r"was read up to offset \d+, and what follows is not there any") as caught:
            wait_for(lambda: reader.read(1, 0.2) is not None and False)
        assert "move the folder of the lake away" in caught.value.mend
    refused(topics, {(BILLS, 0): 3}, ["the topic begins at offset 19"])
    with raw_of(topics) as reader:
        assert reader.seek({(MARKS, 0): -1})[BILLS, 0] == 19
        found = Found(reader)
        found.until(1)
        assert found.positions == {(BILLS, 0): 19}
