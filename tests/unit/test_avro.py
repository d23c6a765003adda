"""Avro records become the JSON that Kafka's JSON converter would have written, one by one and many at once."""

from __future__ import annotations

import itertools
import json
import math
from base64 import b64encode
from decimal import Decimal
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.avro import Avro

SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "string": st.text(),
    "bytes": st.binary(),
}
ROW = {
    "type": "record",
    "name": "Row",
    "fields": [{"name": "id", "type": "long"}, {"name": "weight", "type": ["null", "double"]}],
}
ROWS = {
    "type": "record",
    "name": "Two",
    "fields": [{"name": "before", "type": ["null", ROW]}, {"name": "after", "type": "Row"}],
}


def kinds(depth: int = 2) -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    """Schemas as Debezium's converters write them, each with its values."""
    simple = st.sampled_from(list(SIMPLE.items()))
    if not depth:
        return simple
    inner = kinds(depth - 1)
    return st.one_of(
        simple,
        inner.map(lambda kind: (["null", kind[0]], st.none() | kind[1])),
        inner.map(lambda kind: ([kind[0], "null"], kind[1] | st.none())),
        inner.map(lambda kind: ({"type": "array", "items": kind[0]}, st.lists(kind[1], max_size=4))),
        st.lists(inner, min_size=1, max_size=4).map(record),
    ).filter(lambda kind: not (isinstance(kind[0], list) and any(isinstance(part, list) for part in kind[0])))


NUMBER = itertools.count()


def record(inner: list[tuple[Any, st.SearchStrategy[Any]]]) -> tuple[Any, st.SearchStrategy[Any]]:
    """A record with these fields, `a` and so on."""
    names = "abcdefgh"[: len(inner)]
    fields = [{"name": name, "type": kind} for name, (kind, _) in zip(names, inner, strict=True)]
    values = st.fixed_dictionaries({name: value for name, (_, value) in zip(names, inner, strict=True)})
    return {"type": "record", "name": f"R{next(NUMBER)}", "fields": fields}, values


def written(schema: Any, *values: Any) -> list[bytes]:
    """The values in Avro."""
    bodies, parsed = [], parse_schema(json.loads(json.dumps(schema)))
    for value in values:
        stream = BytesIO()
        schemaless_writer(stream, parsed, value)
        bodies.append(stream.getvalue())
    return bodies


def as_json(schema: Any, value: Any) -> Any:
    """A value as the JSON converter has it."""
    if isinstance(schema, list):
        return None if value is None else as_json(next(kind for kind in schema if kind != "null"), value)
    match schema if isinstance(schema, str) else schema["type"]:
        case "bytes":
            return b64encode(value).decode()
        case "float":
            return float(str(np.float32(value)))
        case "array":
            return [as_json(schema["items"], item) for item in value]
        case "record":
            return {field["name"]: as_json(field["type"], value[field["name"]]) for field in schema["fields"]}
    return value


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_was_written_is_read(data: st.DataObject) -> None:
    """Whatever the schema, the same comes out of one record and of many."""
    schema, values = data.draw(st.lists(kinds(), min_size=1, max_size=6).map(record))
    records = data.draw(st.lists(values, min_size=1, max_size=6))
    bodies, wanted = written(schema, *records), [as_json(schema, value) for value in records]
    avro = Avro(json.dumps(schema))
    assert [json.loads(avro.text(body)) for body in bodies] == wanted
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("connectors.avro._MANY", 1)
        texts = avro.texts(bodies)
    assert texts is not None
    assert [json.loads(text) for text in texts] == wanted


def test_a_type_that_is_named_again_is_the_same() -> None:
    """A change event has the type of its rows twice, the second time by name."""
    first, second = (
        {"before": None, "after": {"id": 1, "weight": None}},
        {"before": {"id": 1, "weight": 0.5}, "after": {"id": -2, "weight": 1e300}},
    )
    bodies = written(ROWS, *[first, second] * 200)
    avro = Avro(json.dumps(ROWS))
    texts = avro.texts(bodies)
    assert texts is not None
    assert [json.loads(text) for text in texts] == [first, second] * 200
    assert [json.loads(avro.text(body)) for body in bodies[:2]] == [first, second]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["float", "double"])
def test_what_is_no_number_is_told_as_java_does(kind: str, number: float) -> None:
    """JSON has no word for it, so it is a text; it is not taken for null."""
    schema = {"type": "record", "name": "R", "fields": [{"name": "a", "type": ["null", kind]}]}
    avro, bodies = Avro(json.dumps(schema)), written(schema, {"a": number}) * 300
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(number)]
    assert json.loads(avro.text(bodies[0])) == {"a": words}
    assert avro.texts(bodies) is None


def test_what_is_only_said_about_a_type_changes_nothing() -> None:
    """Logical types but decimals, defaults, Connect's own names: the JSON converter writes what they are made of."""
    schema = {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis", "connect.name": "x"}},
            {"name": "text", "type": [{"type": "string", "connect.default": "new"}, "null"], "default": "new"},
            {"name": "raw", "type": {"type": "bytes", "connect.version": 1, "connect.name": "x"}},
        ],
    }
    plain = json.loads(json.dumps(schema))
    for field in plain["fields"]:
        field["type"].pop("logicalType", None) if isinstance(field["type"], dict) else None
    (body,) = written(plain, {"at": 1, "text": None, "raw": b"\x04\xd2"})
    assert json.loads(Avro(json.dumps(schema)).text(body)) == {"at": 1, "text": None, "raw": "BNI="}


CONNECT = {"connect.version": 1, "connect.name": "org.apache.kafka.connect.data.Decimal"}
DECIMALS = [
    (0, {"logicalType": "decimal", "precision": 20}),
    (2, {"logicalType": "decimal", "precision": 64, "scale": 2, "connect.parameters": {"scale": "2"}, **CONNECT}),
    (0, {"connect.parameters": {"scale": "0"}, **CONNECT}),
    (7, {"connect.parameters": {"scale": "7"}, **CONNECT}),
    (-3, {"connect.parameters": {"scale": "-3"}, **CONNECT}),
]


@pytest.mark.parametrize(("scale", "said"), DECIMALS)
@pytest.mark.parametrize("number", [0, 12, -1, 2**63, 2**64 - 1, -(10**37), 10**60 + 1])
def test_a_decimal_is_a_number(scale: int, said: dict[str, Any], number: int) -> None:
    """As it is with `decimal.format=NUMERIC`: to the last digit, whichever converter wrote it and however many."""
    kind = {"type": "bytes", **said}
    schema = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "a", "type": kind}, {"name": "b", "type": ["null", kind]}],
    }
    plain = json.loads(json.dumps(schema).replace("logicalType", "x"))
    digits = number.to_bytes(number.bit_length() // 8 + 1, signed=True)
    avro, bodies = Avro(json.dumps(schema)), written(plain, {"a": digits, "b": digits}, {"a": digits, "b": None})
    texts = [avro.text(body) for body in bodies]
    found = [
        json.loads(text, parse_int=Decimal, parse_float=Decimal) for text in [*texts, *(avro.texts(bodies * 200) or ())]
    ]
    exact = Decimal(f"{number}e{-scale}")
    assert all(record["a"] == exact and record["b"] in (exact, None) for record in found)
    assert found[1]["b"] is None
    if scale <= 0 <= number:
        assert texts[0] == f'{{"a":{exact},"b":{exact}}}'.encode()


@pytest.mark.parametrize("spoil", [lambda body: body[:-1], lambda body: body + b"\0", lambda body: b"\xff" * 20])
def test_bytes_that_are_not_of_the_schema_are_refused(spoil: Any) -> None:
    """Nothing is guessed: neither where a byte is missing nor where one is too many, and one spoils no other."""
    good = written(ROWS, {"before": None, "after": {"id": 1, "weight": 2.5}})[0]
    avro = Avro(json.dumps(ROWS))
    with pytest.raises((ValueError, EOFError, IndexError)):
        avro.text(spoil(good))
    assert avro.texts([*[good] * 300, spoil(good)]) is None


def test_a_column_whose_null_cannot_be_seen_is_named() -> None:
    """Where it can be null and has another default, the converter writes the default."""
    column = {"name": "state", "type": ["string", "null"], "default": "new"}
    row = {"type": "record", "name": "V", "fields": [{"name": "id", "type": "long", "default": 7}, column]}
    schema = {"type": "record", "name": "E", "fields": [{"name": "before", "type": ["null", row]}]}
    assert Avro(json.dumps(schema)).hiding_null == ("state",)
    assert Avro(json.dumps(ROWS)).hiding_null == ()


@pytest.mark.parametrize("schema", ['{"type": "record"}', "{", '{"type": "strange"}'])
def test_what_is_no_schema_is_refused(schema: str) -> None:
    """The registry may hold anything."""
    with pytest.raises(ValueError, match=r".+"):
        Avro(schema)
