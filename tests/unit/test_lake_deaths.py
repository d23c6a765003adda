"""Whatever happens to the lake's files, and whenever ringup dies, each record counts once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.log import Partition
from tests.lake import AT_ONCE, CARDS, places, raw_in, records, said, upto
from tests.live import BILLS, bill
from tests.shop import TABLES, change
from transforms import lake_merge
from transforms.decoding import Decoder
from transforms.lake import Lake
from transforms.warehouse import Settings

Stream: TypeAlias = list[tuple[Partition, int, str | None]]


class Died(BaseException):
    """The process, at some moment."""


@contextmanager
def dying(after: int | None) -> Iterator[None]:
    """Die instead of one of the next operations of the disk, or right after it; None for never."""
    left = after

    def deadly(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left is not None:
                left -= 1
                if left == -1:
                    raise Died
            done = operation(*arguments, **options)
            if left is not None:
                left -= 1
                if left == -1:
                    raise Died
            return done

        return run

    with pytest.MonkeyPatch.context() as patch:
        writing = (pq.ParquetWriter, "write_table")
        for holder, name in (writing, (os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir")):
            patch.setattr(holder, name, deadly(getattr(holder, name)))
        yield


def stream_of(partition: Partition, parts: Sequence[tuple[int, int | None, bool]]) -> Stream:
    """Records of a partition, from the holes before them, their days, and whether they are tombstones."""
    made: Stream = []
    offset = 0
    for number, (hole, day, gone) in enumerate(parts):
        offset += hole
        if partition[0] == BILLS:
            at = datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(days=day or 0)
            value = change("c", None, bill(number, "A", f"{number}.00"), number, at)
        else:
            value = said(day, f"{number}")
        made.append((partition, offset, None if gone else value))
        offset += 1
    return made


part = st.tuples(
    st.sampled_from([0, 0, 0, 1, 5]), st.sampled_from([0, 0, 0, 0, 1, None]), st.sampled_from([False] * 4 + [True])
)
streams = st.tuples(*[st.lists(part, max_size=25)] * 3).map(
    lambda parts: [stream_of(p, made) for p, made in zip([CARDS, (CARDS[0], 1), (BILLS, 0)], parts, strict=True)]
)
deaths = st.none() | st.integers(0, 40)
steps = st.lists(
    st.tuples(st.just("append"), st.lists(st.integers(0, 3), min_size=3, max_size=3), deaths)
    | st.tuples(st.just("compact"), st.sampled_from([AT_ONCE, timedelta(hours=1)]), deaths),
    max_size=25,
)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    opened = Decoder(TABLES, Settings())
    yield opened
    opened.close()


def feed(lake: Lake, read: Sequence[Stream], many: Sequence[int]) -> None:
    """Append so many of the next records of each stream."""
    at = lake.positions()
    taken = [
        record
        for stream, count in zip(read, many, strict=True)
        for record in [record for record in stream if record[1] > at.get(record[0], -1)][:count]
    ]
    lake.append(records(taken), upto(records(taken)))


@given(read=streams, script=steps, at_least=st.integers(2, 4), large=st.integers(4, 30), anew=st.booleans())
def test_every_record_counts_once_whenever_ringup_dies(
    decoder: Decoder,
    read: list[Stream],
    script: list[tuple[str, Any, int | None]],
    at_least: int,
    large: int,
    anew: bool,
) -> None:
    """However records are cut into files, and whatever is merged or removed at the moment of death, or of an error."""
    whole = sorted(
        (*partition, offset, f"key {offset}", value) for stream in read for partition, offset, value in stream
    )
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(lake_merge, "AT_LEAST", at_least)
        patch.setattr(lake_merge, "LARGE", large)
        lake = Lake(Path(folder) / "lake", TABLES, decoder)
        for step, what, after in script:
            try:
                with dying(after):
                    feed(lake, read, what) if step == "append" else lake.compact(what)
            except Died:
                if anew:
                    lake = Lake(Path(folder) / "lake", TABLES, decoder)
                    lake.open_for_writing()
            found, at = raw_in(lake), lake.positions()
            assert at == Lake(lake.folder).positions()
            assert found == [row for row in whole if row[2] <= at.get((row[0], row[1]), -1)]
        feed(lake, read, [100] * 3)
        while lake.compact(AT_ONCE).more:
            pass
        lake.open_for_writing()
        assert raw_in(lake) == whole
        assert lake.verify() == []
        assert places(lake) == sorted(file.name for file in lake.files())


many = st.lists(st.integers(1, 4), min_size=3, max_size=3)


@given(
    read=streams,
    before=st.lists(many, max_size=12),
    merges=st.integers(0, 5),
    lost=st.sets(st.integers(0, 30)),
    after=st.lists(many, max_size=5),
)
def test_whatever_files_are_lost_comes_back(
    decoder: Decoder, read: list[Stream], before: list[list[int]], merges: int, lost: set[int], after: list[list[int]]
) -> None:
    """From the log, each record once, and what is still there stays as it is; before the first file nobody looks."""
    whole = sorted(
        (*partition, offset, f"key {offset}", value) for stream in read for partition, offset, value in stream
    )
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(lake_merge, "AT_LEAST", 2)
        lake = Lake(Path(folder) / "lake", TABLES, decoder)
        for counts in before:
            feed(lake, read, counts)
        for _ in range(merges):
            lake.compact(AT_ONCE)
        files = lake.files()
        for place, (kept, file) in enumerate(pairwise(files), 1):
            if place in lost and kept.of_partition == file.of_partition:
                file.path.unlink()
        again = Lake(Path(folder) / "lake", TABLES, decoder)
        there = again.files()
        for counts in [*after, [100] * 3]:
            feed(again, read, counts)
            assert again.positions() == Lake(again.folder).positions()
        assert raw_in(again) == whole
        assert set(there) <= set(again.files())
        assert again.verify() == []
