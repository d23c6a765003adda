"""What is wrong with a lake is found and said."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.lake import CARDS, records, said
from tests.live import BILLS, bill
from tests.shop import TABLES, change
from transforms import lake_files
from transforms.lake import Lake
from transforms.lake_files import LakeFile

Damage = Callable[[LakeFile], None]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """Five files of ten records each."""
    opened = Lake(tmp_path / "lake", TABLES)
    for first in range(0, 50, 10):
        opened.append(records((CARDS, first + n, said(0)) for n in range(10)), {CARDS: first + 9})
    yield opened
    opened.close()


def called(file: LakeFile, first: int, last: int) -> Path:
    """The place of a file that covers other offsets."""
    return file.path.with_name(f"0-{first:020}-{last:020}.parquet")


def rewritten(change: Callable[[pa.Table], pa.Table]) -> Damage:
    """A file with other rows under the same name."""
    return lambda file: pq.write_table(change(pq.ParquetFile(file.path).read()), file.path)


def with_column(name: str, change: Callable[[list[int]], list[int]], kind: pa.DataType) -> Damage:
    """A file with other values in a column."""
    return rewritten(
        lambda rows: rows.set_column(
            rows.column_names.index(name), name, pa.array(change(rows.column(name).to_pylist()), kind)
        )
    )


def cut_off(file: LakeFile) -> None:
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[: len(whole) // 2])


def flipped(column: int) -> Damage:
    """A file with one bit changed, in the last page of a column."""

    def flip(file: LakeFile) -> None:
        with pq.ParquetFile(file.path) as opened:
            chunk = opened.metadata.row_group(0).column(column)
        whole = bytearray(file.path.read_bytes())
        whole[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1] ^= 1
        file.path.write_bytes(whole)

    return flip


def to_another_date(file: LakeFile) -> None:
    folder = file.path.parent.with_name("date=2026-03-02")
    folder.mkdir()
    file.path.rename(folder / file.path.name)


def test_a_whole_lake_has_no_faults(lake: Lake) -> None:
    """And the caller hears how far it is."""
    read: list[LakeFile] = []
    lake.append(records([((BILLS, 0), 0, change("c", None, bill(1, "A"), 1)), ((BILLS, 0), 1, None)]), {(BILLS, 0): 5})
    assert lake.verify(read.append) == []
    assert read == lake.files()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda file: file.path.unlink(), "the offsets 20 to 29 are missing"),
        (cut_off, "cannot be read"),
        *((flipped(column), "cannot be read") for column in range(4)),
        (lambda file: file.path.write_bytes(b""), "cannot be read"),
        (lambda file: shutil.copy(file.path, called(file, 25, 34)), "covered twice"),
        (lambda file: file.path.rename(called(file, 20, 28)), "the offsets 29 to 29 are missing"),
        (lambda file: file.path.rename(called(file, 20, 28)), "offsets outside of 20 to 28"),
        (lambda file: file.path.rename(file.path.with_name("20-29.parquet")), "the lake gives no file such a name"),
        (lambda file: shutil.copy(file.path, called(file, 20, 39)), "30-00000000000000000039.parquet are not in it"),
        (to_another_date, "records of another date"),
        (with_column("_offset", lambda offsets: [n + 1 for n in offsets], pa.int64()), "offsets outside of 20 to 29"),
        (with_column("_offset", lambda offsets: [offsets[0], *offsets[:-1]], pa.int64()), "its offsets do not rise"),
        (with_column("_offset", lambda offsets: offsets[::-1], pa.int64()), "its offsets do not rise"),
        (with_column("_partition", lambda numbers: [1] * 10, pa.int32()), "records of another partition"),
        (with_column("_partition", lambda numbers: numbers, pa.int64()), "not what they must be: _partition"),
        (rewritten(lambda rows: rows.drop_columns(["_value"])), "not what they must be: _value"),
        (rewritten(lambda rows: rows.append_column("_op", rows.column("_key"))), "it lacks columns: _seen, _position"),
    ],
)
def test_each_kind_of_damage_is_found(lake: Lake, damage: Damage, what: str) -> None:
    """With the file or the partition that it concerns."""
    file = lake.files()[2]
    damage(file)
    found = Lake(lake.folder).verify()
    assert [fault for fault in found if what in fault.what], found
    assert all(CARDS[0] in fault.where and str(fault) == f"{fault.where}: {fault.what}" for fault in found)


def test_a_listing_is_made_again_where_a_file_came_meanwhile(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer may put two files in their places between two folders that are listed."""
    files, scanned = lake.files(), lake_files._scanned
    listings: list[Callable[..., Iterator[LakeFile]]] = [lambda *where: iter([files[0], *files[2:]]), scanned]
    monkeypatch.setattr(lake_files, "_scanned", lambda *where: listings.pop(0)(*where))
    assert lake.files() == files
    assert listings == []
