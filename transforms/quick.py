"""A short way to decode a small batch: in Python, for the ordinary changes that make up nearly all of them.

Planning `decode_sql` costs DuckDB more than running it on a few rows. What is not ordinary (another operation, a value
that does not fit, a type that is not listed here) is left to that statement, which defines what decoding means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import orjson
import pyarrow as pa

from transforms.decode import NEWEST, UNAVAILABLE
from transforms.project import Table

Convert: TypeAlias = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\dZ?", re.ASCII)
_GTID = re.compile(r"\d+-\d+-(\d{1,18})", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,38}(\.\d{1,38})?", re.ASCII)


class NotOrdinary(Exception):
    """Something that the SQL statement has to judge."""


def quick_decode(table: Table, values: Sequence[str | None], numbers: Sequence[int]) -> pa.Table | None:
    """The changes of one table as `decode_sql` would decode them, or None where it has to.

    `numbers` are the records' places in the batch.
    """
    converters = _converters(table)
    if converters is None:
        return None
    names, columns = list(converters), [list[Any]() for _ in converters]
    place: list[tuple[Any, ...]] = []
    try:
        for number, value in zip(numbers, values, strict=True):
            if value is None:
                continue
            change = orjson.loads(value)
            image, head = _head(change)
            place.append((number, *head))
            for name, column, convert in zip(names, columns, converters.values(), strict=True):
                raw = image.get(name)
                column.append(raw if raw is None else convert(raw))
        head_columns = [list(column) for column in zip(*place, strict=True)] or [[] for _ in _HEAD]
        arrays = [pa.array(column, kind) for column, kind in zip(head_columns, _HEAD.values(), strict=True)]
        kinds = {column.name: _arrow(column.data_type) for column in table.columns}
        arrays += [pa.array(column, kinds[name]) for name, column in zip(names, columns, strict=True)]
    except (NotOrdinary, ValueError, KeyError, TypeError, AttributeError, OverflowError, pa.ArrowException):
        return None
    decoded = pa.table(arrays, names=[*_HEAD, *names])
    return None if any(decoded.column(key).null_count for key in table.key) else decoded


_HEAD = {
    "_n": pa.int64(),
    "_seen": pa.int64(),
    "_position": pa.int64(),
    "_committed_at": pa.timestamp("us", tz="UTC"),
    "_op": pa.string(),
    "_deleted": pa.bool_(),
    "_bad": pa.string(),
}


def _head(change: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[Any, ...]]:
    op, source = change["op"], change["source"]
    if op not in ("c", "r", "u", "d"):
        raise NotOrdinary
    seen, micros = source.get("lsn"), source["ts_us"]
    if seen is None:
        seen = NEWEST if op == "r" else _by_gtid(source["gtid"])
    if type(seen) is not int or type(micros) is not int:
        raise NotOrdinary
    position = 0 if op == "r" else seen
    image = change["before"] if op == "d" else change["after"]
    return image, (seen, position, _EPOCH + timedelta(microseconds=micros), op, op == "d", None)


def _by_gtid(gtid: Any) -> int:
    """A position in MariaDB's log, as `transforms.decode` has it."""
    found = _GTID.fullmatch(gtid)
    if found is None:
        raise NotOrdinary
    return int(found[1])


def _converters(table: Table) -> dict[str, Convert] | None:
    found = {column.name: _converter(column.data_type) for column in table.columns}
    return None if None in found.values() else found  # type: ignore[return-value]


def _converter(data_type: str) -> Convert | None:
    kind = data_type.upper()
    if kind in _INTEGERS:
        return _integer
    if kind.startswith("DECIMAL("):
        return _decimal
    return {
        "VARCHAR": _text,
        "TEXT": _text,
        "BOOLEAN": _boolean,
        "DATE": _date,
        "TIMESTAMPTZ": _instant,
        "TIMESTAMP WITH TIME ZONE": _instant,
    }.get(kind)


_INTEGERS = {"TINYINT": pa.int8(), "SMALLINT": pa.int16(), "INTEGER": pa.int32(), "BIGINT": pa.int64()}


def _arrow(data_type: str) -> pa.DataType:
    kind = data_type.upper()
    if kind in _INTEGERS:
        return _INTEGERS[kind]
    if kind.startswith("DECIMAL("):
        precision, scale = kind[8:-1].split(",")
        return pa.decimal128(int(precision), int(scale))
    return {"BOOLEAN": pa.bool_(), "DATE": pa.date32(), "VARCHAR": pa.string(), "TEXT": pa.string()}.get(
        kind, pa.timestamp("us", tz="UTC")
    )


def _integer(raw: Any) -> int:
    if type(raw) is not int:
        raise NotOrdinary
    return raw


def _boolean(raw: Any) -> bool:
    if type(raw) is int and raw in (0, 1):  # MariaDB's
        return raw == 1
    if type(raw) is not bool:
        raise NotOrdinary
    return raw


def _text(raw: Any) -> str:
    if type(raw) is not str or raw == UNAVAILABLE:
        raise NotOrdinary
    return raw


def _decimal(raw: Any) -> Decimal:
    if type(raw) is not str or not _NUMBER.fullmatch(raw):
        raise NotOrdinary
    return Decimal(raw)


def _date(raw: Any) -> date:
    if type(raw) is not str or not _DAY.fullmatch(raw):
        raise NotOrdinary
    return date.fromisoformat(raw[:10])


def _instant(raw: Any) -> datetime:
    if type(raw) is not str or not _INSTANT.fullmatch(raw):
        raise NotOrdinary
    return datetime.fromisoformat(raw)
