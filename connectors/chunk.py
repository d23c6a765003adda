"""Records of a log on their way into batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors.log import RECORDS

Ints: TypeAlias = npt.NDArray[np.int64]

CHUNK = pa.schema(
    [
        ("seq", pa.int64()),
        ("topic", pa.int64()),
        ("offset", pa.int64()),
        ("key", pa.string()),
        ("value", pa.string()),
        ("kind", pa.int64()),
        ("source", pa.int64()),
    ]
)
"""Columns of a chunk. `seq` is the order over all topics, `topic` and `source` are numbers of the reader's own, and
`kind` is one of those in `connectors.topics`."""

EMPTY: pa.Table = CHUNK.empty_table()


def ints(chunk: pa.Table, column: str) -> Ints:
    """One column of numbers."""
    numbers: Ints = chunk.column(column).to_numpy()
    return numbers


def records(names: Sequence[str], topics: Ints, *columns: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Records of partition 0 with the columns of `RECORDS`: each one's topic by its place in `names`, and the rest."""
    spelt = pa.DictionaryArray.from_arrays(pa.array(topics), pa.array(names, pa.string())).cast(pa.string())
    return pa.table([spelt, pa.array(np.zeros(len(topics), dtype=np.int32)), *columns], schema=RECORDS)


def value(chunk: pa.Table, row: int) -> str:
    """The value of one record; an empty text for a tombstone."""
    text: Any = chunk.column("value")[row].as_py()
    return text or ""
