"""Avro records as the JSON that Kafka's JSON converter would have written of them."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache, partial
from io import BytesIO
from typing import Any, TypeAlias

import duckdb
import numpy as np
import orjson
import pyarrow as pa
from fastavro import parse_schema, schemaless_reader

from connectors.avro_columns import SCALE, NotColumns, decimal, read_columns

_MANY = 250
"""Records of one schema from which columns are faster than records."""

_MEANT = ("name", "namespace", "fields", "items", "values", "symbols", "size")
"""What is left of a schema besides its types. The JSON converter writes what logical types are made of, but of decimals
the number: `decimal.format` is NUMERIC."""

_DECIMAL = "org.apache.kafka.connect.data.Decimal"

Mend: TypeAlias = Callable[[Any], Any]


class Avro:
    """The schema that records were written with, and how to read them. Raises ValueError where it is none."""

    def __init__(self, schema: str) -> None:
        written, self._named = orjson.loads(schema), dict[str, Any]()
        try:
            self._schema = parse_schema(_plain(written), self._named)
            self._mend = _mender(self._schema, self._named)
        except Exception as error:  # fastavro's own are of several kinds
            raise ValueError(f"{type(error).__name__}: {error}") from error
        self.hiding_null = tuple(_hiding_null(written))
        """Columns that can be null and have a default, which the converter writes instead: nobody can tell."""

    def text(self, body: bytes) -> bytes:
        """One record. Raises an exception of whatever kind where the bytes are none of this schema."""
        stream = BytesIO(body)
        found = schemaless_reader(stream, self._schema, None)
        if stream.tell() != len(body):
            raise ValueError(f"it ends at byte {stream.tell()} of {len(body)}")
        found = found if self._mend is None else self._mend(found)
        return orjson.dumps(found, default=_written, option=orjson.OPT_SERIALIZE_NUMPY)

    def texts(self, bodies: Sequence[bytes]) -> Sequence[bytes] | None:
        """Many records; None where they are few, or have to be read one by one."""
        if len(bodies) < _MANY:
            return None
        try:
            records = pa.table([read_columns(bodies, self._schema, self._named)], ["record"])
        except NotColumns:
            return None
        found = _sql().from_arrow(records).project("to_json(record)::varchar as text").to_arrow_table()
        texts: Sequence[bytes] = found.column("text").cast(pa.binary()).to_pylist()
        return texts


def _written(value: bytes | Decimal) -> str | orjson.Fragment:
    """What orjson has no words for. A decimal's are Java's, with as many digits as it has."""
    return orjson.Fragment(str(value)) if isinstance(value, Decimal) else b64encode(value).decode()


@cache
def _sql() -> duckdb.DuckDBPyConnection:
    """A database with nothing in it, that writes JSON."""
    return duckdb.connect()


def _plain(schema: Any) -> Any:
    """A schema without what is only said about it."""
    if isinstance(schema, list):
        return [_plain(kind) for kind in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {name: schema[name] for name in _MEANT if name in schema}
    if (scale := _scale(schema)) is not None:
        kept[SCALE] = scale
    if not kept:
        return _plain(schema["type"])
    for name in kept.keys() & {"items", "values"}:
        kept[name] = _plain(kept[name])
    if "fields" in kept:
        kept["fields"] = [{"name": field["name"], "type": _plain(field["type"])} for field in kept["fields"]]
    return {"type": schema["type"], **kept}


def _scale(schema: Mapping[str, Any]) -> int | None:
    """Digits after the point of a decimal, in the words of Avro or in those of Kafka Connect; None where it is none."""
    if schema["type"] not in ("bytes", "fixed"):
        return None
    if schema.get("logicalType") == "decimal":
        return int(schema.get("scale", 0))
    return int(schema["connect.parameters"]["scale"]) if schema.get("connect.name") == _DECIMAL else None


def _mender(schema: Any, named: Mapping[str, Any]) -> Mend | None:
    """What makes of the values of a schema the numbers that Java would write; None where it has none."""
    match schema:
        case "double":
            return _number
        case "float":
            return lambda value: np.float32(value) if math.isfinite(value) else _number(value)
        case list():
            mend = next(filter(None, (_mender(kind, named) for kind in schema)), None)
            return mend and partial(_unless_null, mend)
        case {"type": "bytes" | "fixed"} if SCALE in schema:
            return partial(decimal, schema[SCALE])
        case {"type": "record", "fields": fields}:
            mends = {field["name"]: mend for field in fields if (mend := _mender(field["type"], named)) is not None}
            return partial(_in_record, mends) if mends else None
        case {"type": "array", "items": items}:
            mend = _mender(items, named)
            return mend and partial(_in_list, mend)
        case {"type": "map", "values": items}:
            mend = _mender(items, named)
            return mend and partial(_in_map, mend)
        case str() if schema in named:
            return _mender(named[schema], named)
    return None


def _unless_null(mend: Mend, value: Any) -> Any:
    return mend(value) if isinstance(value, float | bytes | dict | list) else value


def _in_record(mends: Mapping[str, Mend], record: Mapping[str, Any]) -> Any:
    return {**record, **{name: mend(record[name]) for name, mend in mends.items()}}


def _in_list(mend: Mend, values: Sequence[Any]) -> Any:
    return [mend(value) for value in values]


def _in_map(mend: Mend, values: Mapping[str, Any]) -> Any:
    return {name: mend(value) for name, value in values.items()}


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _hiding_null(envelope: Any) -> Iterator[str]:
    """Of the row in a change event, the columns that can be null and have another default."""
    fields = envelope.get("fields", ()) if isinstance(envelope, Mapping) else ()
    rows = (kind for field in fields if field["name"] in ("before", "after") for kind in field["type"])
    for row in rows:
        for column in row.get("fields", ()) if isinstance(row, Mapping) else ():
            if isinstance(column["type"], list) and "null" in column["type"] and column.get("default") is not None:
                yield column["name"]
