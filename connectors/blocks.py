"""The block of a change that says which source transaction it belongs to, and what its number in it is.

Debezium writes it near the end, with only the operation and times behind it. So the end of a change is looked at first,
which costs a fifth of looking for the block in all of it; where it is not there, the whole change is searched.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

NONE = ""
"""The transaction of what belongs to none."""

BLOCKS = pa.schema([("transaction", pa.string()), ("number", pa.int64())])
"""Columns of what is found."""

_KEY = '"transaction":'
_END = 256
_BLOCK = r'\{"id":"(?P<id>[^"]*)","total_order":(?P<number>[0-9]{1,18})[,}]'
_NULL = r'^null(,"op":"[a-z]")?(,"ts_[mun]s":[0-9]+)*\}$'
_TRUNCATE = b'"op":"t"'
_TRUNCATED = (
    r'"transaction":\{"id":"[0-9]+-[0-9]+-[0-9]+","total_order":[0-9]{1,18},'
    r'"data_collection_order":1\},"op":"t"'
)
"""MariaDB's TRUNCATE is a transaction of its own, whose END never comes: it belongs to none."""


def blocks(values: pa.ChunkedArray) -> pa.Table:
    """The transaction of each change as it is written, and its number in it: `NONE` and 0 where there is none."""
    return pa.Table.from_batches([_blocks(chunk) for chunk in values.chunks], schema=BLOCKS)


def _blocks(values: pa.StringArray) -> pa.RecordBatch:
    ends = pc.binary_slice(pc.fill_null(values, NONE).cast(pa.binary()), -_END)
    behind = _behind_key(ends)
    found = pc.extract_regex(behind, f"^{_BLOCK}")
    ids, numbers = (pc.struct_field(found, name).cast(pa.string()) for name in ("id", "number"))
    if found.null_count:
        missed = pc.and_(found.is_null(), pc.invert(pc.match_substring_regex(behind, _NULL)))
        searched = pc.extract_regex(values.filter(missed), _KEY + _BLOCK)
        ids = pc.replace_with_mask(ids, missed, pc.struct_field(searched, "id"))
        numbers = pc.replace_with_mask(numbers, missed, pc.struct_field(searched, "number"))
    if _TRUNCATE in behind.buffers()[2].to_pybytes():  # of any change, so there is mostly nothing to look for
        ids = pc.if_else(pc.fill_null(pc.match_substring_regex(values, _TRUNCATED), False), NONE, ids)
    return pa.record_batch([pc.fill_null(ids, NONE), pc.fill_null(numbers.cast(pa.int64()), 0)], schema=BLOCKS)


def _behind_key(ends: pa.BinaryArray) -> pa.BinaryArray:
    """What follows the last key `transaction`; all of it where there is none. In a text the quotes would be escaped."""
    parts = pc.split_pattern(ends, _KEY, max_splits=1, reverse=True)
    return parts.values.take(pc.subtract(parts.offsets[1:], 1))
