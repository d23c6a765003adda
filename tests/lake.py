"""Records for tests of the lake, and what it holds of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.log import RECORDS, Partition
from transforms.lake import Lake
from transforms.lake_files import LakeFile

CARDS: Partition = ("crm.crm.cards", 0)
"""A partition of an undeclared table."""

AT_ONCE = timedelta(0)
"""Replaced files go at once."""

DAY = 86_400_000
NOON = 1_772_366_400_000
"""2026-03-01 12:00 UTC, in milliseconds."""


def said(day: int | None, word: str = "x") -> str:
    """A change of an undeclared table, committed so many days after 2026-03-01, or without a time."""
    return json.dumps(
        {"op": "c", "after": {"word": word}, "source": {} if day is None else {"ts_ms": NOON + day * DAY}}
    )


def records(rows: Iterable[tuple[Partition, int, str | None]]) -> pa.Table:
    """Records with a partition, an offset and a value each."""
    made = [(topic, number, offset, f"key {offset}", value) for (topic, number), offset, value in rows]
    return pa.table([list(column) for column in zip(*made, strict=True)] or [[]] * 5, schema=RECORDS)


def upto(read: pa.Table) -> dict[Partition, int]:
    """How far each partition is read when these records were."""
    rows = read.select(["topic", "partition", "offset"]).to_pylist()
    return {(row["topic"], row["partition"]): row["offset"] for row in rows}


def rows_in(lake: Lake, topic: str | None = None) -> list[dict[str, Any]]:
    """All rows that count, in the order of the files."""
    return [row for file in lake.files(topic) for row in rows_of(file)]


def rows_of(file: LakeFile) -> list[dict[str, Any]]:
    """The rows of a file."""
    found: list[dict[str, Any]] = pq.ParquetFile(file.path).read().to_pylist()
    return found


def raw_in(lake: Lake) -> list[tuple[Any, ...]]:
    """What the lake holds of each record: topic, partition, offset, key and value."""
    return [
        (file.topic, *(row[name] for name in ("_partition", "_offset", "_key", "_value")))
        for file in lake.files()
        for row in rows_of(file)
    ]


def places(lake: Lake) -> list[str]:
    """The names of all files there are, by the folder's own account."""
    return sorted(path.relative_to(lake.folder).as_posix() for path in Path(lake.folder).rglob("*") if path.is_file())
