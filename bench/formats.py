"""Changes per second from a broker's bytes into a mirror table: JSON, JSON with schemas, and Avro, in one run.

    python bench/formats.py [--changes 200000]

Broker and schema registry are real and share the machine; the topics are filled beforehand, and every batch commits
durably. `ratio` compares with JSON without schemas. One JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from fastavro import parse_schema, schemaless_writer

from connectors.kafka_log import KafkaLog
from connectors.registry import Registry
from ringup.local_kafka import LocalKafka
from ringup.local_registry import LocalRegistry
from transforms.mirror import Mirror
from transforms.project import Column, Table
from transforms.warehouse import Warehouse

LIMIT = 50_000
A_BILL = 6
COLUMNS = {
    "bill_id": ("bigint", "long"),
    "line_no": ("integer", "int"),
    "product_id": ("integer", "int"),
    "quantity": ("integer", "int"),
    "amount": ("decimal(12,2)", "string"),
    "retail_discount": ("decimal(12,2)", "string"),
    "coupon_discount": ("decimal(12,2)", "string"),
    "coupon_match_discount": ("decimal(12,2)", "string"),
    "sold_at": ("timestamptz", "string"),
}
SOURCE = {
    "version": "string", "connector": "string", "name": "string", "ts_ms": "long", "snapshot": "?string",
    "db": "string", "sequence": "?string", "ts_us": "?long", "ts_ns": "?long", "schema": "string", "table": "string",
    "txId": "?long", "lsn": "?long", "xmin": "?long", "origin": "?string", "origin_lsn": "?long",
}  # fmt: skip
BLOCK = {"id": "string", "total_order": "long", "data_collection_order": "long"}
Fields: TypeAlias = dict[str, str]
Write: TypeAlias = Callable[[dict[str, Any]], bytes]


def record(name: str, fields: Fields) -> dict[str, Any]:
    """An Avro record; a question mark says that a field may be null."""
    kinds = {field: ["null", kind[1:]] if kind.startswith("?") else kind for field, kind in fields.items()}
    return {"type": "record", "name": name, "fields": [{"name": field, "type": kind} for field, kind in kinds.items()]}


def envelope() -> dict[str, Any]:
    """The schema of a change of the table, as Debezium has it."""
    row = record("Value", {name: kind if name == "bill_id" else f"?{kind}" for name, (_, kind) in COLUMNS.items()})
    fields: dict[str, Any] = {
        "before": ["null", row],
        "after": ["null", "Value"],
        "source": record("Source", SOURCE),
        "transaction": ["null", record("block", BLOCK)],
        "op": "string",
        **{name: ["null", "long"] for name in ("ts_ms", "ts_us", "ts_ns")},
    }
    return {
        "type": "record",
        "name": "Envelope",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
    }


def connect_schema() -> dict[str, Any]:
    """Roughly the schema that the JSON converter puts before each record."""
    row = [{"type": kind, "optional": True, "field": name} for name, (_, kind) in COLUMNS.items()]
    source = [{"type": kind, "optional": True, "field": name} for name, kind in SOURCE.items()]
    rows = [{"type": "struct", "fields": row, "optional": True, "name": "V", "field": f} for f in ("before", "after")]
    return {"type": "struct", "fields": [*rows, {"type": "struct", "fields": source, "field": "source"}], "name": "E"}


def changes(count: int) -> Iterator[dict[str, Any]]:
    """Lines of bills, six a transaction."""
    at = 1_795_643_674_453_728
    for number in range(count):
        row = {
            "bill_id": number // A_BILL, "line_no": number % A_BILL, "product_id": 1_000_000 + number % 20_000,
            "quantity": 1, "amount": "12.49", "retail_discount": "0.50", "coupon_discount": "0.00",
            "coupon_match_discount": "0.00", "sold_at": "2026-03-01T10:00:00.123456Z",
        }  # fmt: skip
        source = dict.fromkeys(SOURCE, None) | {
            "version": "3.6.3.Final", "connector": "postgresql", "name": "pos", "ts_ms": at // 1000,
            "snapshot": "false", "db": "shop", "sequence": '["28565456","28565456"]', "ts_us": at, "ts_ns": at * 1000,
            "schema": "shop", "table": "lines", "txId": number // A_BILL, "lsn": 28_565_456 + number,
        }  # fmt: skip
        block = {"id": f"{number // A_BILL}:{number}", "total_order": number % A_BILL + 1, "data_collection_order": 1}
        end = {"op": "c", "ts_ms": at // 1000, "ts_us": at, "ts_ns": at * 1000}
        yield {"before": None, "after": row, "source": source, "transaction": block, **end}


def avro_writer(registry: LocalRegistry) -> Write:
    """Writes records with the number that the registry gives their schema."""
    with SchemaRegistryClient({"url": registry.url}) as client:
        number: int = client.register_schema("lines-value", Schema(json.dumps(envelope()), "AVRO"))
    parsed = parse_schema(envelope())

    def write(change: dict[str, Any]) -> bytes:
        stream = BytesIO()
        schemaless_writer(stream, parsed, change)
        return b"\0" + number.to_bytes(4) + stream.getvalue()

    return write


def fill(kafka: LocalKafka, source: str, count: int, write: Write) -> None:
    """The topics of a source, filled."""
    topic, marks = f"{source}.shop.lines", f"{source}.transaction"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for done in admin.create_topics([NewTopic(name, 1, 1) for name in (topic, marks)]).values():
        done.result()
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 50, "compression.type": "lz4"})
    for number, change in enumerate(changes(count)):
        producer.produce(topic, write(change))
        if number % A_BILL == A_BILL - 1 or number == count - 1:
            tables = [{"data_collection": "shop.lines", "event_count": number % A_BILL + 1}]
            end = {"status": "END", "id": f"{number // A_BILL}:{number}", "data_collections": tables}
            producer.produce(marks, orjson.dumps(end))
        if number % 10_000 == 0:
            producer.flush()
    producer.flush()


def measure(kafka: LocalKafka, registry: LocalRegistry, source: str, count: int, folder: Path) -> float:
    """Changes per second of a source's topics."""
    kinds = tuple(Column(name, kind) for name, (kind, _) in COLUMNS.items())
    key = ("bill_id", "line_no")
    table = Table("pos", "lines", f"{source}.shop.lines", kinds, key, None, {}, None, "bench")
    warehouse = Warehouse(folder / f"{source}.duckdb")
    mirror = Mirror(warehouse, (table,))
    mirror.complete = True
    settings = {"bootstrap.servers": kafka.bootstrap, "group.id": f"bench-{source}"}
    reader = Registry(registry.url, {})
    with closing(KafkaLog(settings, [source], [table.topic], name="bench", bootstrapped=True, registry=reader)) as log:
        log.seek({})
        taken, began = 0, time.perf_counter()
        while taken < count:
            if (batch := log.read(LIMIT, 1.0)) is None:
                continue
            with warehouse.transaction():
                applied = mirror.apply(batch)
                warehouse.commit_positions(batch)
            assert applied.quarantined == 0
            taken += applied.rows
        seconds = time.perf_counter() - began
    warehouse.close()
    return count / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=200_000)
    count = parser.parse_args().changes
    with (
        tempfile.TemporaryDirectory() as name,
        LocalKafka(Path(name) / "kafka") as kafka,
        LocalRegistry(Path(name) / "registry") as registry,
    ):
        head = b'{"schema":' + orjson.dumps(connect_schema()) + b',"payload":'
        writers: dict[str, Write] = {
            "json": orjson.dumps,
            "json_with_schemas": lambda change: head + orjson.dumps(change) + b"}",
            "avro": avro_writer(registry),
        }
        for source, write in writers.items():
            fill(kafka, source, count, write)
        plain = 0.0
        for source in writers:
            rate = measure(kafka, registry, source, count, Path(name))
            plain = plain or rate
            figures = {"changes": count, "changes_per_s": round(rate), "ratio": round(rate / plain, 2)}
            print(json.dumps({"bench": "formats", "format": source, **figures}), flush=True)


if __name__ == "__main__":
    main()
