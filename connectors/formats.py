"""What stands in the records of Kafka's topics, as Debezium's JSON without schemas, whichever converter wrote it.

Each record says by its first bytes what it is, so a topic may hold several formats: those of its connector before and
after somebody changed its converter.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message

from connectors.kafka_errors import UnknownSchema
from connectors.log import RECORDS, Partition

if TYPE_CHECKING:
    from connectors.registry import Registry

Text: TypeAlias = bytes | None
"""JSON, or nothing: a tombstone."""

_AVRO = b"\0"
_FRAME = 5
"""Bytes before an Avro record: a zero, and the number of its schema, the highest byte first."""
_SCHEMA, _PAYLOAD = b'{"schema":{', b',"payload":'
"""How JSON with its schema begins, and what follows the schema. A key's own column `schema` holds no object."""


def unreadable(value: bytes, reason: str) -> bytes:
    """What stands in the place of a record that nobody can read: it goes to quarantine, its bytes in base64."""
    return orjson.dumps({"unreadable": reason, "bytes": b64encode(value).decode()})


class Formats:
    """Reads keys and values of records. Without a registry no Avro is read; one that is silent raises Unanswered."""

    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry
        self._heads: dict[str, bytes] = {}

    def table(self, place: Partition, messages: Sequence[Message]) -> pa.Table:
        """Changes of one partition, with the columns of `RECORDS`."""
        rows = len(messages)
        topic, partition = pa.repeat(pa.scalar(place[0]), rows), pa.repeat(pa.scalar(place[1], pa.int32()), rows)
        offsets = pa.array(list(map(Message.offset, messages)), pa.int64())
        keys = self._column(f"{place[0]} key", list(map(Message.key, messages)))
        values = self._column(place[0], list(map(Message.value, messages)))
        return pa.table([topic, partition, offsets, keys, values], schema=RECORDS)

    def _column(self, kind: str, values: Sequence[bytes | None]) -> pa.Array:
        """Values of one kind as a column of `RECORDS`. Where all are JSON without schemas, none is looked at alone."""
        column = pa.array(values, pa.binary())
        if any(pc.any(pc.starts_with(column, head)).as_py() for head in (_AVRO, _SCHEMA)):
            return as_column(self.texts(kind, values))
        return as_column(column)

    def words(self, place: Partition, messages: Sequence[Message]) -> Iterator[tuple[int, bytes]]:
        """What a connector says of itself in one partition, with the offsets."""
        values = self.texts(place[0], [message.value() for message in messages])
        for message, value in zip(messages, values, strict=True):
            yield message.offset() or 0, value or b""

    def texts(self, kind: str, values: Sequence[bytes | None]) -> list[Text]:
        """Values of one kind, such as a topic's: their schemas are mostly the same."""
        texts: list[Text] = list(values)
        avro = dict[bytes, list[int]]()
        for row, value in enumerate(values):
            if not value:
                continue
            if value.startswith(_AVRO):
                avro.setdefault(value[:_FRAME], []).append(row)
            elif value.startswith(_SCHEMA):
                texts[row] = self._payload(kind, value)
        for frame, rows in avro.items():
            for row, text in zip(rows, self._avro(frame, [values[row] or b"" for row in rows]), strict=True):
                texts[row] = text
        return texts

    def _payload(self, kind: str, value: bytes) -> Text:
        """What follows the schema, which is the same in one record after the other."""
        head = self._heads.get(kind)
        if head is None or not value.startswith(head):
            head = _head(value)
            if head is None or not value.endswith(b"}"):
                return unreadable(value, "it begins like JSON with its schema, and is none")
            self._heads[kind] = head
        payload = value[len(head) : -1]
        return None if payload == b"null" else payload

    def _avro(self, frame: bytes, values: Sequence[bytes]) -> Sequence[Text]:
        if self._registry is None:
            return [unreadable(value, "it is Avro, and ringup.yml has no kafka.registry") for value in values]
        try:
            if len(frame) < _FRAME:
                raise UnknownSchema("it is shorter than the number of a schema")
            avro = self._registry.avro(int.from_bytes(frame[1:]))
        except UnknownSchema as error:
            return [unreadable(value, str(error)) for value in values]
        if (texts := avro.texts([value[_FRAME:] for value in values])) is not None:
            return texts
        found: list[Text] = []
        for value in values:
            try:
                found.append(avro.text(value[_FRAME:]))
            except Exception as error:  # whatever random bytes can lead to
                found.append(unreadable(value, f"it is not of its Avro schema: {type(error).__name__}: {error}"))
        return found


def _head(value: bytes) -> bytes | None:
    """JSON with its schema up to the payload: what stands before that is a whole schema, and not a part of one."""
    at = value.find(_PAYLOAD)
    while at >= 0:
        try:
            orjson.loads(value[len(_SCHEMA) - 1 : at])
        except orjson.JSONDecodeError:
            at = value.find(_PAYLOAD, at + 1)
        else:
            return value[: at + len(_PAYLOAD)]
    return None


def as_column(texts: Sequence[Text] | pa.BinaryArray) -> pa.Array:
    """As a column of `RECORDS`."""
    column = pa.array(texts, pa.binary())
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:  # there is something that is no UTF-8
        return pa.array([_utf8(text) for text in column.to_pylist()], pa.binary()).cast(pa.string())


def _utf8(text: Text) -> Text:
    try:
        (text or b"").decode()
    except UnicodeDecodeError as error:
        return unreadable(text or b"", f"it is no text: {error}")
    return text
