"""Files of the lake are merged, and whatever happens meanwhile, each record counts once."""

from __future__ import annotations

import errno
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.log import Partition
from ringup.errors import LakeError
from tests.lake import places, raw_in, records, rows_in, said, upto
from tests.live import BILLS, bill
from tests.shop import TABLES, change, table
from transforms import lake_merge
from transforms.decoding import Decoder
from transforms.lake import Lake
from transforms.warehouse import Settings

CARDS: Partition = ("crm.crm.cards", 0)
AT_ONCE = timedelta(0)
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


@pytest.fixture
def lake(tmp_path: Path, decoder: Decoder) -> Lake:
    return Lake(tmp_path / "lake", TABLES, decoder)


def write(lake: Lake, *sizes: int, day: int = 0) -> None:
    """Files of so many records."""
    for size in sizes:
        first = lake.positions().get(CARDS, -1) + 1
        lake.append(records((CARDS, first + n, said(day)) for n in range(size)), {CARDS: first + size - 1})


def ranges(lake: Lake) -> list[tuple[int, int]]:
    """What the files cover that count."""
    return [(file.first, file.last) for file in lake.files()]


def test_eight_files_of_a_size_are_merged(lake: Lake) -> None:
    """Seven are not."""
    write(lake, 1, 7, 1, 1, 1, 1, 1)
    assert not lake.compact().more
    write(lake, 3)
    before = raw_in(lake)
    done = lake.compact()
    assert (done.merged, done.more, done.removed) == (8, True, 0)
    assert done.bytes_before > done.bytes_after > 0
    assert ranges(lake) == [(0, 15)]
    assert raw_in(lake) == before
    assert not lake.compact().more
    assert lake.positions() == {CARDS: 15}


def test_smaller_files_between_are_merged_with_larger_ones(lake: Lake) -> None:
    """So that they do not stay for ever; a larger one between keeps its neighbours apart."""
    write(lake, *[8, 1] * 4, *[9] * 4, 64, *[1] * 7, 64, *[8] * 7)
    assert lake.compact().merged == 12
    assert not lake.compact().more
    assert len(lake.files()) == 1 + 1 + 7 + 1 + 7
    assert lake.verify() == []


def test_a_date_is_not_merged_with_another(lake: Lake) -> None:
    """A file has one date."""
    write(lake, *[1] * 7)
    write(lake, *[1] * 8, day=1)
    assert lake.compact().merged == 8
    assert not lake.compact().more
    assert [file.date.day for file in lake.files()] == [1] * 7 + [2]


def test_large_files_are_left_as_they_are(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a merge takes no more than makes one."""
    monkeypatch.setattr(lake_merge, "LARGE", 20)
    write(lake, 25, *[4] * 12)
    assert lake.compact().merged == 5
    assert not lake.compact().more
    assert ranges(lake)[:3] == [(0, 24), (25, 44), (45, 48)]


def test_replaced_files_are_removed_when_nobody_reads_them(lake: Lake) -> None:
    """An hour after the file came that replaces them."""
    write(lake, *[1] * 8)
    replaced = lake.files()
    lake.compact()
    now = datetime.now(UTC)
    assert lake.compact(now=now + timedelta(minutes=59)).removed == 0
    assert all(file.path.exists() for file in replaced)
    done = lake.compact(now=now + timedelta(minutes=61))
    assert done.removed == 8 and done.bytes_removed > 0 and not done.more
    assert places(lake) == [file.name for file in lake.files()]


def test_nothing_is_looked_for_while_nothing_comes(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run asks several times a second, and a lake may have many files."""
    write(lake, *[1] * 9)
    lake.compact()
    lake.compact()

    def nobody(*_: Any) -> Any:
        raise AssertionError

    with monkeypatch.context() as patch:
        for name in ("listed", "_runs", "_bytes", "merge"):
            patch.setattr(lake_merge, name, nobody)
        assert lake.compact() == lake_merge.Compacted()
    write(lake, *[1] * 8)
    assert lake.compact().merged == 8
    assert lake.compact(AT_ONCE).removed == 17
    assert ranges(lake) == [(0, 8), (9, 16)]


def declared(name: str, kind: str) -> Any:
    """The bills with one more column."""
    return table("pos.bills", {"bill_id": "BIGINT", name: kind}, ["bill_id"])


def append_as(folder: Path, columns: Any, values: Sequence[Any], name: str) -> None:
    """Append bills, each to a file of its own, as they are declared now."""
    lake = Lake(folder, [columns])
    for value in values:
        offset = lake.positions().get((BILLS, 0), -1) + 1
        row = change("c", None, {"bill_id": offset, name: value}, offset)
        lake.append(records([((BILLS, 0), offset, row)]), {(BILLS, 0): offset})
    lake.close()


def test_a_merge_has_the_columns_of_all_files(lake: Lake) -> None:
    """Columns that were declared later, and those that are not declared any more, and of each the newest type."""
    append_as(lake.folder, declared("till", "INTEGER"), [7, 8], "till")
    append_as(lake.folder, declared("total", "VARCHAR"), ["1.50", "2.50"], "total")
    append_as(lake.folder, declared("total", "DECIMAL(12,2)"), ["3.50"] * 4, "total")
    before = raw_in(lake)
    assert lake.compact().merged == 8
    (file,) = lake.files()
    found = pq.ParquetFile(file.path).read()
    assert found.column_names[6:] == ["bill_id", "total", "till", "_partition", "_offset", "_key", "_value"]
    assert [str(total) for total in found.column("total").to_pylist()] == ["None"] * 2 + ["1.50", "2.50"] + ["3.50"] * 4
    assert found.column("till").to_pylist() == [7, 8] + [None] * 6
    assert found.schema.field("total").type == pa.decimal128(12, 2)
    assert raw_in(lake) == before and lake.verify() == []


def test_a_file_whose_values_do_not_fit_is_left_alone(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    """It is told once, and what follows is merged."""
    append_as(lake.folder, declared("total", "VARCHAR"), ["much"], "total")
    append_as(lake.folder, declared("total", "DECIMAL(12,2)"), ["3.50"] * 8, "total")
    with caplog.at_level(logging.WARNING):
        assert lake.compact().merged == 8
        assert not lake.compact().more
    assert ranges(lake) == [(0, 0), (1, 8)]
    (record,) = caplog.records
    assert "00000000000000000000-00000000000000000000.parquet: " in record.message
    assert record.message.endswith("it is not merged")


@pytest.mark.parametrize("damage", [b"", b"PAR1 and so on"])
def test_a_damaged_file_is_left_alone(lake: Lake, caplog: pytest.LogCaptureFixture, damage: bytes) -> None:
    """The others are merged without it."""
    write(lake, *[1] * 17)
    lake.files()[8].path.write_bytes(damage)
    again = Lake(lake.folder)
    assert [again.compact().merged for _ in range(3)] == [8, 8, 0]
    assert ranges(again) == [(0, 7), (8, 8), (9, 16)]
    assert "it is not merged" in caplog.text


def test_files_on_both_sides_of_a_gap_are_not_merged(lake: Lake) -> None:
    """A merged file would say that nothing is missing."""
    write(lake, *[1] * 15)
    lake.files()[7].path.unlink()
    assert not lake.compact().more


def test_a_full_disk_is_not_filled_again_at_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of the merge, what there was counts on, and a minute later it is tried again."""
    write(lake, *[1] * 8)
    before = places(lake)

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(LakeError, match=r"0-0{20}-0{19}7\.parquet: the disk is full"):
            lake.compact()
        assert lake.compact() == lake_merge.Compacted()
    assert places(lake) == before
    assert not lake.compact().more
    assert lake.compact(now=datetime.now(UTC) + timedelta(minutes=1)).merged == 8


def test_a_lake_with_nothing_in_it_is_compact(lake: Lake) -> None:
    """Before its folder exists, too."""
    assert lake.compact() == lake_merge.Compacted()
    assert rows_in(lake) == []
