"""Records of a log on their way into batches, and what kind of record each one is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints: TypeAlias = npt.NDArray[np.int64]

DATA, TRANSACTION, NOTIFICATION = range(3)
"""Kinds of topics: changes of a table, BEGIN and END of source transactions, Debezium's notifications."""

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
"""Columns of a chunk. `seq` is the order over all topics; `topic` and `source` are numbers of the reader's own."""

EMPTY: pa.Table = CHUNK.empty_table()


def ints(chunk: pa.Table, column: str) -> Ints:
    """One column of numbers."""
    numbers: Ints = chunk.column(column).to_numpy()
    return numbers


def value(chunk: pa.Table, row: int) -> str:
    """The value of one record; an empty text for a tombstone."""
    text: Any = chunk.column("value")[row].as_py()
    return text or ""


def source_of(topic: str, sources: Collection[str]) -> str:
    """The prefix of the source that a topic belongs to."""
    known = [source for source in sources if topic.startswith(f"{source}.")]
    return max(known, key=len, default=topic.partition(".")[0])


def kind_of(topic: str, source: str) -> int:
    """What the records of a topic are."""
    return {f"{source}.transaction": TRANSACTION, f"{source}.notifications": NOTIFICATION}.get(topic, DATA)
