"""Topics as Debezium writes them, produced by hand into a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import psutil
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic  # type: ignore[attr-defined]

from connectors.kafka_log import KafkaLog
from connectors.log import Batch, Partition
from ringup.errors import LogError
from ringup.local_kafka import LocalKafka
from tests.waiting import wait_for

BILLS, LINES, MARKS, NOTICES = "pos.shop.bills", "pos.shop.lines", "pos.transaction", "pos.notifications"


class Topics:
    """The topics of one source, `pos`, with two tables."""

    def __init__(self, kafka: LocalKafka) -> None:
        self.kafka = kafka
        # A member that is silent is forgotten as soon as the broker allows.
        self.settings: dict[str, str | int | bool] = {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "ringup-test",
            "session.timeout.ms": 6_000,
        }
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True, "linger.ms": 0})

    def create(self, **partitions: int) -> None:
        """Make the topics anew, none of them holding anything: two partitions for each table unless told otherwise."""
        counts = {BILLS: 2, LINES: 2, MARKS: 1, NOTICES: 1} | {n.replace("_", "."): c for n, c in partitions.items()}
        self.delete(*counts)
        for name, count in counts.items():
            if count:
                self.make(name, count)

    def make(self, name: str, partitions: int) -> None:
        """Make one topic."""
        for done in self.admin.create_topics([NewTopic(name, partitions, 1)], operation_timeout=10).values():
            done.result()
        wait_for(lambda: self._there().get(name) == partitions)

    def delete(self, *names: str) -> None:
        """Remove those that are there, and wait until the broker has."""
        for done in self.admin.delete_topics(list(names), operation_timeout=10).values():
            try:
                done.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
        wait_for(lambda: self._there().keys().isdisjoint(names))

    def grow(self, name: str, partitions: int) -> None:
        """Give a topic more partitions."""
        for done in self.admin.create_partitions([NewPartitions(name, partitions)], operation_timeout=10).values():
            done.result()
        wait_for(lambda: self._there().get(name) == partitions)

    def _there(self) -> dict[str, int]:
        """The topics with their number of partitions: the broker hears a moment later what its controller did."""
        return {name: len(topic.partitions) for name, topic in self.admin.list_topics(timeout=10).topics.items()}

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """The broker keeps its connections, and does not answer."""
        assert self.kafka.pid is not None
        broker = psutil.Process(self.kafka.pid)
        broker.suspend()
        try:
            yield
        finally:
            broker.resume()

    def put(self, topic: str, value: str | None, partition: int = 0, key: str | None = None) -> None:
        """Append a record, durably."""
        failed: list[object] = []
        self._producer.produce(
            topic, value, key, partition, on_delivery=lambda error, _: failed.append(error) if error else None
        )
        assert self._producer.flush(30) == 0
        assert not failed, failed

    def row(self, topic: str, number: int, partition: int = 0, transaction: str | None = None) -> None:
        """A created row of a transaction; without one, a row of a snapshot."""
        self.put(topic, change(number, transaction), partition, json.dumps({"id": number}))

    def end(self, transaction: str, **counts: int) -> None:
        """BEGIN and END of a transaction that changed so many rows of each table."""
        tables = [{"data_collection": f"shop.{name}", "event_count": count} for name, count in counts.items()]
        self.put(
            MARKS, json.dumps({"status": "BEGIN", "id": transaction, "data_collections": None}, separators=(",", ":"))
        )
        self.put(
            MARKS, json.dumps({"status": "END", "id": transaction, "data_collections": tables}, separators=(",", ":"))
        )

    def bill(self, number: int) -> None:
        """A bill, and the END of its transaction."""
        self.row(BILLS, number, 0, f"{number}:1")
        self.end(f"{number}:9", bills=1)

    def notice(self, kind: str = "COMPLETED") -> None:
        """The end of the first snapshot."""
        self.put(NOTICES, json.dumps({"aggregate_type": "Initial Snapshot", "type": kind, "additional_data": {}}))

    def scanned(self, table: str) -> None:
        """A notification that a snapshot has read all of a table."""
        said = {"scanned_collection": table.removeprefix("pos."), "status": "SUCCEEDED"}
        words = {"aggregate_type": "Initial Snapshot", "type": "TABLE_SCAN_COMPLETED", "additional_data": said}
        self.put(NOTICES, json.dumps(words))

    def group(self) -> Any:
        """What the broker says of the group."""
        name = str(self.settings["group.id"])
        return self.admin.describe_consumer_groups([name])[name].result(10)

    def log(
        self,
        positions: Mapping[Partition, int] | None = None,
        *,
        bootstrapped: bool = False,
        wait: float = 30.0,
        name: str = "test",
        known: Mapping[str, str] | None = None,
    ) -> KafkaLog:
        """A reader of them, in its seat."""
        log = KafkaLog(self.settings, ["pos"], [BILLS, LINES], wait, name=name, bootstrapped=bootstrapped, topics=known)
        try:
            log.seek(positions or {})
        except LogError:
            log.close()
            raise
        return log


def values(bootstrap: str, topic: str) -> list[str]:
    """What the first partition of a topic holds now, tombstones left out; nothing where there is no such topic."""
    place = TopicPartition(topic, 0, 0)
    with closing(Consumer({"bootstrap.servers": bootstrap, "group.id": "ringup-look"})) as consumer:
        if topic not in consumer.list_topics(timeout=10).topics:
            return []
        _, end = consumer.get_watermark_offsets(place, timeout=10)
        consumer.assign([place])
        found: list[str] = []
        while consumer.position([place])[0].offset < end:
            if (message := consumer.poll(1)) is not None and (value := message.value()) is not None:
                found.append(value.decode())
        return found


def change(number: int, transaction: str | None) -> str:
    """A created row as Debezium writes it, or one that a snapshot read."""
    envelope = {
        "before": None,
        "after": {"id": number},
        "source": {"lsn": number, "ts_us": number},
        "transaction": transaction and {"id": transaction, "total_order": number, "data_collection_order": 1},
        "op": "c" if transaction else "r",
        "ts_ms": 1,
    }
    return json.dumps(envelope, separators=(",", ":"))


def rows_of(batch: Batch | None) -> list[tuple[str, int]]:
    """Which rows of which topics a batch brings, tombstones left out."""
    if batch is None:
        return []
    pairs = zip(batch.records["topic"].to_pylist(), batch.records["value"].to_pylist(), strict=True)
    return [(topic, json.loads(value)["after"]["id"]) for topic, value in pairs if value is not None]


def batch_of(log: KafkaLog, patience: float = 30.0) -> Batch:
    """The next batch; the test fails when none comes."""
    batch = log.read(1_000, patience)
    assert batch is not None
    return batch
