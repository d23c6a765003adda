"""What stands in a record of Kafka, by its first bytes: JSON, JSON with its schema, Avro, or what nobody can read."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any, cast

import orjson
import pytest

from connectors.avro import Avro
from connectors.formats import Formats, as_column
from connectors.kafka_errors import UnknownSchema
from connectors.registry import Registry
from tests.unit.test_avro import ROW, written

TOPIC = "pos.shop.bills"
PLAIN = '{"before":null,"after":{"id":1,"note":"Grüße, \\"payload\\": 7"},"op":"c","ts_ms":5}'


class Known:
    """A registry that knows one schema, as number 7."""

    def avro(self, number: int) -> Avro:
        if number != 7:
            raise UnknownSchema(f"the registry knows no schema {number}")
        return Avro(json.dumps(ROW))


def read(*values: bytes | None, registry: bool = True) -> list[Any]:
    """The values of a topic."""
    return Formats(cast(Registry, Known()) if registry else None).texts(TOPIC, values)


def with_schema(payload: str, schema: Any) -> bytes:
    """As Kafka's JSON converter writes it with `schemas.enable`."""
    return f'{{"schema":{json.dumps(schema, separators=(",", ":"))},"payload":{payload}}}'.encode()


def avro(number: int, *values: Any) -> list[bytes]:
    """As an Avro converter writes it: a zero, the number of the schema, the record."""
    return [b"\0" + number.to_bytes(4) + body for body in written(ROW, *values)]


def reason(text: Any) -> str:
    """Why a record could not be read."""
    said = orjson.loads(text)
    assert said.keys() == {"unreadable", "bytes"}
    return str(said["unreadable"])


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "struct", "fields": [{"type": "int64", "optional": False, "field": "id"}], "name": "pos.Value"},
        {"type": "struct", "fields": [{"type": "string", "default": ',"payload":', "field": "payload"}]},
        {"type": "struct", "parameters": {"a": "b", "payload": "c"}, "fields": []},
    ],
)
def test_json_with_its_schema_is_the_same_text_without(schema: Any) -> None:
    """To the letter, whatever words the schema holds."""
    assert read(with_schema(PLAIN, schema), PLAIN.encode(), with_schema(PLAIN, schema)) == [PLAIN.encode()] * 3


def test_a_schema_may_change_in_the_middle() -> None:
    """Each record is taken by its own."""
    first, second = ({"type": "struct", "fields": [{"field": name}]} for name in ("a", "b"))
    records = [with_schema('{"a":1}', first), with_schema('{"b":2}', second), with_schema('{"a":3}', first)]
    assert read(*records) == [b'{"a":1}', b'{"b":2}', b'{"a":3}']


def test_a_key_with_columns_of_these_names_is_a_key() -> None:
    """A table may have columns `schema` and `payload`, and no others in its key."""
    key = b'{"schema":"public","payload":5}'
    assert read(key, with_schema(key.decode(), {"type": "struct"})) == [key, key]


def test_nothing_stays_nothing() -> None:
    """A tombstone, with its schema or without."""
    assert read(None, b"", with_schema("null", {"type": "struct"})) == [None, b"", None]


def test_avro_is_read_by_the_schema_that_it_names() -> None:
    """Few records one by one, many at once, and between others."""
    (one,) = avro(7, {"id": 1, "weight": 2.5})
    assert [orjson.loads(text) for text in read(one, PLAIN.encode())] == [{"id": 1, "weight": 2.5}, orjson.loads(PLAIN)]
    many = [value for number in range(300) for value in avro(7, {"id": number, "weight": None})]
    assert [orjson.loads(text)["id"] for text in read(*many)] == list(range(300))


def test_what_cannot_be_read_is_kept_with_its_reason() -> None:
    """The others go on, and the bytes are all there for another try."""
    (good,) = avro(7, {"id": 1, "weight": None})
    (foreign,) = avro(8, {"id": 2, "weight": None})
    found = read(good, foreign, good[:-1], b"\0\0", b'{"schema":{"type":"struct"},"load":1}')
    assert orjson.loads(found[0]) == {"id": 1, "weight": None}
    assert reason(found[1]) == "the registry knows no schema 8"
    assert b64decode(orjson.loads(found[1])["bytes"]) == foreign
    assert reason(found[2]).startswith("it is not of its Avro schema")
    assert reason(found[3]) == "it is shorter than the number of a schema"
    assert reason(found[4]) == "it begins like JSON with its schema, and is none"


def test_one_bad_record_of_many_spoils_no_other() -> None:
    """Where all of them cannot be read at once, each is read by itself."""
    many = [value for number in range(300) for value in avro(7, {"id": number, "weight": None})]
    *found, bad = read(*many, many[0][:-1])
    assert [orjson.loads(text)["id"] for text in found] == list(range(300))
    assert reason(bad).startswith("it is not of its Avro schema")


def test_avro_without_a_registry_is_told() -> None:
    """With the setting that is missing."""
    assert "kafka.registry" in reason(read(*avro(7, {"id": 1, "weight": None}), registry=False)[0])


def test_bytes_that_are_no_text_are_kept_too() -> None:
    """Others of the same batch go on."""
    good, bad, nothing = as_column([PLAIN.encode(), b"\xff\xfe", None]).to_pylist()
    assert (good, nothing) == (PLAIN, None)
    assert reason(bad).startswith("it is no text")
