"""Small files of the lake are merged, and what they were is removed later."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ringup.errors import LakeError
from tests.lake import AT_ONCE, CARDS, places, raw_in, records, rows_in, said
from tests.live import BILLS
from tests.shop import TABLES, change, table
from transforms import lake_merge
from transforms.lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake(tmp_path / "lake", TABLES)
    yield opened
    opened.close()


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
