"""Many Avro records of one schema at once, column by column.

Record by record, Python takes a step for each field of each; here numpy takes a few for each field of all of them. See
https://avro.apache.org/docs/1.12.0/specification/#binary-encoding.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Places: TypeAlias = npt.NDArray[np.int64]
"""For each record, the next byte to read. What reads a value moves them on."""

SCALE = "scale"
"""What a schema of bytes has that are a decimal: how many digits stand after the point."""

_DIGITS = 38
"""The most that a decimal has in Arrow and in DuckDB."""
_LONGEST = 63
"""Bits of a number before its last byte."""


class NotColumns(Exception):
    """Something that has to be read record by record."""


def read_columns(bodies: Sequence[bytes], schema: Any, named: Mapping[str, Any]) -> pa.Array:
    """The records as an Arrow array of what JSON has, too; bytes are in base64 then. `named` are the schema's types.

    Raises NotColumns where one of them is not what the schema says, or is not finite, or the schema has types that
    are not known here.
    """
    ends = np.cumsum([len(body) for body in bodies], dtype=np.int64)
    at = np.r_[np.int64(0), ends[:-1]]
    try:
        found = _Columns(np.frombuffer(b"".join(bodies), np.uint8), named).read(schema, at)
    except (IndexError, ValueError, KeyError) as error:  # pyarrow's are among them
        raise NotColumns from error
    if not np.array_equal(at, ends):
        raise NotColumns
    return found


class _Columns:
    """The bytes of all records, one after the other."""

    def __init__(self, data: npt.NDArray[np.uint8], named: Mapping[str, Any]) -> None:
        self._data, self._named = data, named
        self._simple: Mapping[str, Callable[[Places], pa.Array]] = {
            "null": lambda at: pa.nulls(len(at)),
            "boolean": lambda at: pa.array(self._fixed(at, 1)[:, 0] == 1),
            "int": lambda at: pa.array(self._numbers(at)),
            "long": lambda at: pa.array(self._numbers(at)),
            # The shortest decimal that is this one, as Java writes it: not the double that is nearest.
            "float": lambda at: _finite(pa.array(self._fixed(at, 4).view("<f4")[:, 0])).cast("string").cast("double"),
            "double": lambda at: _finite(pa.array(self._fixed(at, 8).view("<f8")[:, 0])),
            "string": lambda at: self._texts(at).cast(pa.string()),
            "bytes": lambda at: pa.array([b64encode(v).decode() for v in self._texts(at).to_pylist()], pa.string()),
        }

    def read(self, schema: Any, at: Places) -> pa.Array:
        """A value of each record."""
        if isinstance(schema, list):
            return self._union(schema, at)
        kind = schema if isinstance(schema, str) else schema["type"]
        if kind == "bytes" and SCALE in schema:
            return self._decimals(schema[SCALE], at)
        if kind in self._simple:
            return self._simple[kind](at)
        if isinstance(schema, str):
            return self.read(self._named[schema], at)
        if kind == "record":
            columns = [self.read(field["type"], at) for field in schema["fields"]]
            return pa.StructArray.from_arrays(columns, [field["name"] for field in schema["fields"]])
        if kind == "array":
            return self._array(schema["items"], at)
        if kind == "enum":
            return pa.array(schema["symbols"]).take(pa.array(self._numbers(at)))
        raise NotColumns(kind)

    def _union(self, kinds: list[Any], at: Places) -> pa.Array:
        """One of a type and null: the values, and null between them."""
        if len(kinds) != 2 or "null" not in kinds:
            raise NotColumns("union")
        of = self._numbers(at)
        if of.size and not 0 <= of.min() <= of.max() <= 1:
            raise NotColumns("union")
        rows = np.flatnonzero(of != kinds.index("null"))
        inner = at[rows]
        values = self.read(kinds[1 - kinds.index("null")], inner)
        at[rows] = inner
        if rows.size == at.size:
            return values
        places = np.full(at.size, -1)
        places[rows] = np.arange(rows.size)
        return values.take(pa.array(places, mask=places < 0))

    def _decimals(self, scale: int, at: Places) -> pa.Array:
        """Exact numbers, as long as there is a type for them."""
        if not 0 <= scale <= _DIGITS:
            raise NotColumns("scale")
        return pa.array([decimal(scale, v) for v in self._texts(at).to_pylist()], pa.decimal128(_DIGITS, scale))

    def _array(self, items: Any, at: Places) -> pa.Array:
        """Lists: first the first item of each, then the second, and at last all in their order."""
        counts = self._numbers(at)
        if counts.size and counts.min() < 0:  # blocks that say how many bytes they have
            raise NotColumns("array")
        parts, owners = [self.read(items, at[:0])], [np.arange(0)]
        for number in range(counts.max(initial=0)):
            rows = np.flatnonzero(counts > number)
            inner = at[rows]
            parts.append(self.read(items, inner))
            owners.append(rows)
            at[rows] = inner
        rows = np.flatnonzero(counts)
        inner = at[rows]
        if self._numbers(inner).any():  # another block
            raise NotColumns("array")
        at[rows] = inner
        order = np.argsort(np.concatenate(owners), kind="stable")
        offsets = np.r_[0, np.cumsum(counts)].astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.concat_arrays(parts).take(pa.array(order)))

    def _numbers(self, at: Places) -> Places:
        """Seven bits in each byte, the lowest first, then zigzag."""
        byte = self._data[at]
        at += 1
        value = (byte & 0x7F).astype(np.uint64)
        rows, shift = np.flatnonzero(byte > 0x7F), 7
        while rows.size:
            if shift > _LONGEST:
                raise NotColumns("number")
            place = at[rows]
            byte = self._data[place]
            at[rows] = place + 1
            value[rows] |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
            rows, shift = rows[byte > 0x7F], shift + 7
        return (value >> np.uint64(1)).view(np.int64) ^ -(value & np.uint64(1)).view(np.int64)

    def _fixed(self, at: Places, size: int) -> npt.NDArray[np.uint8]:
        found: npt.NDArray[np.uint8] = self._data[at[:, None] + np.arange(size)]
        at += size
        return found

    def _texts(self, at: Places) -> pa.Array:
        """Bytes whose number comes first."""
        sizes = self._numbers(at)
        if sizes.size and sizes.min() < 0:
            raise NotColumns("size")
        ends = np.cumsum(sizes)
        total = int(ends[-1]) if ends.size else 0
        places = np.repeat(at - (ends - sizes), sizes) + np.arange(total)
        at += sizes
        offsets = np.r_[0, ends].astype(np.int32)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self._data[places])]
        return pa.Array.from_buffers(pa.binary(), sizes.size, buffers)


def decimal(scale: int, value: bytes) -> Decimal:
    """The number whose digits without the point are these bytes, the highest first. Nothing is rounded."""
    return Decimal(f"{int.from_bytes(value, signed=True)}e{-scale}")


def _finite(numbers: pa.Array) -> pa.Array:
    if not pc.all(pc.is_finite(numbers), min_count=0).as_py():
        raise NotColumns("not finite")
    return numbers
