"""Changes per second through the pipeline from topics of a real broker, prepared beforehand: as `bench/pipeline.py`.

    python bench/kafka.py [--changes 1000000] [--profiles 250000]

The topics hold what Debezium writes, transactions included. `broker_cpu_s` is what the broker took of the same cores
meanwhile. It needs Kafka's jars, which Maven fetches. One JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
from confluent_kafka import Producer
from pipeline import SOURCES, bootstrap, follow, new_engine, notices, records

from connectors.kafka_log import KafkaLog
from connectors.read_ahead import ReadAhead
from ringup.local_kafka import LocalKafka

PRODUCER: dict[str, str | int | bool] = {
    "compression.type": "lz4",
    "linger.ms": 20,
    "enable.idempotence": True,
    "queue.buffering.max.messages": 200_000,
}


def with_ends(block: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The changes, after each bill the END of its transaction."""
    counts = Counter[str]()
    for topic, value in block:
        yield topic, value
        counts[topic.partition(".")[2]] += 1
        if topic == "pos.pos.points_ledger":  # a bill's last change
            transaction = json.loads(value)["transaction"]["id"]
            tables = [{"data_collection": name, "event_count": count} for name, count in counts.items()]
            end = {"status": "END", "id": transaction, "event_count": counts.total(), "data_collections": tables}
            yield "pos.transaction", json.dumps(end, separators=(",", ":"))
            counts.clear()


def write_topics(bootstrap: str, blocks: Iterable[Iterable[tuple[str, str]]]) -> None:
    """Append them all."""
    producer = Producer({"bootstrap.servers": bootstrap, **PRODUCER})
    for block in blocks:
        for topic, value in block:
            producer.produce(topic, value)
        producer.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=1_000_000)
    parser.add_argument("--profiles", type=int, default=250_000)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        LocalKafka(Path(name) / "kafka") as broker,
        closing(new_engine(Path(name))) as engine,
    ):
        topics = [table.topic for table in engine.project.tables]
        settings = {"bootstrap.servers": broker.bootstrap, "group.id": "bench"}
        write_topics(broker.bootstrap, [*records("snapshot", options.profiles), notices()])
        with closing(KafkaLog(settings, SOURCES, topics, name="bench")) as log:
            log.seek({})
            measured = bootstrap(log, engine)
        write_topics(broker.bootstrap, map(with_ends, records("changes", options.profiles, options.changes)))
        prepared = KafkaLog(settings, SOURCES, topics, name="bench", bootstrapped=True)
        with closing(ReadAhead(prepared, engine.mirror.decoder.ahead)) as log:
            log.seek(engine.warehouse.positions())
            process = psutil.Process(broker.pid)
            before = sum(process.cpu_times()[:2])
            measured |= follow(log, engine)
            took = round(sum(process.cpu_times()[:2]) - before, 1)
    print(json.dumps({"bench": "kafka", "profiles": options.profiles, **measured, "broker_cpu_s": took}))


if __name__ == "__main__":
    main()
