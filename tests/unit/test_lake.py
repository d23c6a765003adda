"""What is appended to the lake is there, once, whatever went wrong meanwhile."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.log import Partition
from ringup.errors import LakeError
from tests.lake import CARDS, places, raw_in, records, rows_in, said, upto
from tests.live import BILLS, bill
from tests.shop import TABLES, change, table
from transforms.decoding import Decoder, numbered
from transforms.lake import Lake
from transforms.lake_files import LakeFile
from transforms.warehouse import Settings

OTHER: Partition = ("crm.crm.cards", 1)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake(tmp_path / "lake", TABLES)
    yield opened
    opened.close()


@given(
    topic=st.text(min_size=1),
    partition=st.integers(0, 10**6),
    ends=st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)),
    day=st.dates(),
)
def test_a_name_says_what_the_file_covers(topic: str, partition: int, ends: tuple[int, int], day: date) -> None:
    """Whatever the topic is called, the name can be read back, and is that of one file in one folder."""
    file = LakeFile.of(Path("/lake"), (topic, partition), min(ends), max(ends), day)
    assert LakeFile.parse(file.path) == file
    assert file.path.parent.parent.parent == Path("/lake")


@pytest.mark.parametrize(
    "name",
    [
        "topic=t/date=2026-03-01/0-00000000000000000005-00000000000000000004.parquet",
        "topic=t/date=2026-03-01/00-00000000000000000000-00000000000000000004.parquet",
        "topic=t/date=2026-03-01/0-0-4.parquet",
        "topic=t/date=20260301/0-00000000000000000000-00000000000000000004.parquet",
        "topic=t/date=2026-03-01/0-00000000000000000000-00000000000000000004.parquet.tmp",
        "topic=%74/date=2026-03-01/0-00000000000000000000-00000000000000000004.parquet",
        "0-00000000000000000000-00000000000000000004.parquet",
    ],
)
def test_other_names_are_no_files_of_the_lake(name: str) -> None:
    """A name that the lake would not give is none of its own."""
    assert LakeFile.parse(Path("/lake") / name) is None
    assert LakeFile.parse(Path(name)) is None


def test_nothing_is_created_before_something_is_written(lake: Lake) -> None:
    """Looking, and opening for writing, leave the disk as it is."""
    lake.open_for_writing()
    assert lake.append(records([]), {CARDS: 5}) == []
    assert lake.files() == [] and lake.positions() == {}
    assert not lake.folder.exists()


def test_files_follow_one_another_without_a_gap(lake: Lake) -> None:
    """A file begins where the one before it ends, whatever holes the log's offsets have, and ends where reading did."""
    lake.append(records([(CARDS, 3, said(0)), (OTHER, 7, said(0)), (CARDS, 6, None)]), {CARDS: 8, OTHER: 7})
    lake.append(records([(CARDS, 12, said(0))]), {CARDS: 12, OTHER: 9})
    ranges = [(file.partition, file.first, file.last) for file in lake.files()]
    assert ranges == [(0, 3, 8), (0, 9, 12), (1, 7, 7)]
    assert lake.positions() == Lake(lake.folder).positions() == {CARDS: 12, OTHER: 7}
    assert [row["_offset"] for row in rows_in(lake)] == [3, 6, 12, 7]


def test_a_file_has_records_of_one_date(lake: Lake) -> None:
    """Runs are cut where the date changes; what has no date follows the record before it, the first the next."""
    days = [None, 0, 0, None, 1, 1, 0, None]
    lake.append(records((CARDS, n, said(day) if n != 3 else None) for n, day in enumerate(days)), {CARDS: 9})
    lake.append(records([(CARDS, 10, "no json"), (CARDS, 11, said(2))]), {CARDS: 11})
    assert [(file.date.isoformat(), file.first, file.last) for file in lake.files()] == [
        ("2026-03-01", 0, 3),
        ("2026-03-02", 4, 5),
        ("2026-03-01", 6, 9),
        ("2026-03-01", 10, 10),
        ("2026-03-03", 11, 11),
    ]


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ('{"source": {"ts_us": 1772366400000000, "ts_ms": 1}}', "2026-03-01"),
        ('{"status": "BEGIN", "id": "7:1", "ts_ms": 1772366400000}', "2026-03-01"),
        ('{"id": "n", "type": "STARTED", "timestamp": 1772366400000}', "2026-03-01"),
        ('{"source": {"ts_ms": -1}}', "1969-12-31"),
        ('{"source": {"ts_ms": 9223372036854775807}}', "1970-01-01"),
        ('{"source": "odd", "ts_ms": "odder"}', "1970-01-01"),
        ("[1]", "1970-01-01"),
        (None, "1970-01-01"),
    ],
)
def test_the_date_is_the_commits_or_the_envelopes(lake: Lake, value: str | None, day: str) -> None:
    """Of a change the commit's, of a mark or a notification its own, and 1970 where nothing says a date."""
    (file,) = lake.append(records([(CARDS, 0, value)]), {CARDS: 0})
    assert file.date.isoformat() == day


@pytest.mark.parametrize("many", [1, 2_500])
def test_a_declared_table_has_typed_columns_too(lake: Lake, many: int) -> None:
    """They are what the mirror gets, with nulls for tombstones, before the record as it was read."""
    values = [
        change("c", None, bill(1, "A", "12.50"), 100),
        None,
        change("u", None, {**bill(2, "A", "1.00"), "total": "much"}, 101),
        change("d", bill(1, "A", "12.50"), None, 102),
        "no json",
    ] * many
    read = records(((BILLS, 0), n, value) for n, value in enumerate(values))
    (file,) = lake.append(read, upto(read))
    found = pq.ParquetFile(file.path).read()
    assert found.column_names == [
        *("_op", "_seen", "_position", "_committed_at", "_deleted", "_bad"),
        *("bill_id", "loyalty_card", "sold_at", "total"),
        *("_partition", "_offset", "_key", "_value"),
    ]
    decoder = Decoder(TABLES, Settings())
    bills = next(table for table in TABLES if table.topic == BILLS)
    decoded = {row.pop("_n"): row for row in decoder.rows(bills, numbered(read)).to_pylist()}
    decoder.close()
    for row in found.to_pylist():
        typed = decoded.get(row["_offset"], dict.fromkeys(found.column_names[:-4]))
        assert {name: row[name] for name in typed} == typed
        assert row["_value"] == values[row["_offset"]]
    assert [row["_bad"] for row in found.to_pylist()[:3]] == [None, None, "column total cannot be decimal(12,2): much"]


def test_a_column_that_parquet_has_no_type_for_is_not_there(tmp_path: Path) -> None:
    """The other columns are, and the record as it was read has it."""
    calls = table("pos.calls", {"call_id": "BIGINT", "took": "INTERVAL", "words": "VARCHAR[]"}, ["call_id"])
    lake = Lake(tmp_path, [calls])
    row = {"call_id": 1, "took": "1 day", "words": ["a"]}
    (file,) = lake.append(records([((calls.topic, 0), 0, change("c", None, row, 1))]), {(calls.topic, 0): 0})
    found = pq.ParquetFile(file.path).read()
    assert "took" not in found.column_names
    assert found.column("words").to_pylist() == [["a"]]
    lake.close()


def test_what_a_dead_writer_left_is_removed(lake: Lake) -> None:
    """A file that has not got its name is nothing to readers, and is gone when the next writer opens the lake."""
    (file,) = lake.append(records([(CARDS, 0, said(0))]), {CARDS: 0})
    (file.path.parent / "0-1.parquet.tmp").write_bytes(b"half a fi")
    assert lake.files() == [file]
    lake.open_for_writing()
    assert places(lake) == [file.name]


def test_records_that_the_lake_has_are_refused(lake: Lake) -> None:
    """Whoever appends has to begin where the lake ends."""
    lake.append(records([(CARDS, 0, said(0))]), {CARDS: 4})
    with pytest.raises(ValueError, match="do not rise"):
        lake.append(records([(CARDS, 4, said(0))]), {CARDS: 4})
    with pytest.raises(ValueError, match="do not rise"):
        lake.append(records([(CARDS, 6, said(0)), (CARDS, 5, said(0))]), {CARDS: 6})


@pytest.mark.parametrize("missing", [[1], [1, 2], [1, 3], [4], [0]])
def test_a_file_that_is_gone_is_written_again(lake: Lake, missing: list[int]) -> None:
    """The lake ends where the gap begins; what is read from there on fills it, the files beyond stay as they are."""
    read = records((CARDS, n, said(n // 15)) for n in range(0, 50, 2))
    for at in range(0, 25, 5):
        lake.append(read.slice(at, 5), {CARDS: 2 * at + 9})
    whole = raw_in(lake)
    files = [file for file in lake.files() if file.first // 10 in missing]
    for file in files:
        file.path.unlink()
    again = Lake(lake.folder)
    end = again.positions()[CARDS]
    for at in range(25):
        offset = 2 * at
        if offset > again.positions()[CARDS]:
            again.append(read.slice(at, 1), {CARDS: offset + 1})
    again.close()
    assert end == (49 if missing == [0] else missing[0] * 10 - 1)
    assert raw_in(again) == (whole[5:] if missing == [0] else whole)


def test_gaps_are_filled_from_one_reading(lake: Lake) -> None:
    """What lies between them is not written twice."""
    read = records((CARDS, n, said(0)) for n in range(50))
    for at in range(0, 50, 10):
        lake.append(read.slice(at, 10), {CARDS: at + 9})
    whole, files = raw_in(lake), lake.files()
    for at in (1, 3):
        files[at].path.unlink()
    again = Lake(lake.folder)
    assert [(file.first, file.last) for file in again.append(read.slice(10), {CARDS: 60})] == [
        (10, 19),
        (30, 39),
    ]
    again.close()
    assert raw_in(again) == whole


def test_a_gap_of_which_the_log_has_nothing_is_closed(lake: Lake) -> None:
    """An empty file says so."""
    for n in range(4):
        lake.append(records([(CARDS, n, said(0))]), {CARDS: n})
    lake.files()[1].path.unlink()
    again = Lake(lake.folder)
    again.append(records([(CARDS, 5, said(0))]), {CARDS: 5})
    again.close()
    assert [(file.first, file.last) for file in lake.files()] == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 5)]
    assert [row["_offset"] for row in rows_in(lake)] == [0, 2, 3, 5]


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    """With the path and the mend."""
    (tmp_path / "lake").write_text("")
    lake = Lake(tmp_path / "lake")
    for use in (lake.files, lake.open_for_writing, lambda: lake.append(records([(CARDS, 0, said(0))]), {CARDS: 0})):
        with pytest.raises(LakeError, match=r"lake: a file is where the lake has a folder") as caught:
            use()
        assert "Move it away" in caught.value.mend
    lake.close()


@pytest.mark.parametrize(("number", "what"), [(errno.ENOSPC, "the disk is full"), (errno.EIO, "Input/output error")])
def test_what_the_disk_refuses_is_told(lake: Lake, monkeypatch: pytest.MonkeyPatch, number: int, what: str) -> None:
    """Nothing is left of the file, and it can be written when the disk has recovered."""

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        (lake.folder / "topic=crm.crm.cards" / "date=2026-03-01").mkdir(parents=True)
        with pytest.raises(LakeError, match=rf"{CARDS[0]}.*\.parquet: {what}"):
            lake.append(records([(CARDS, 0, said(0))]), {CARDS: 0})
    assert places(lake) == []
    lake.append(records([(CARDS, 0, said(0))]), {CARDS: 0})
    assert lake.positions() == {CARDS: 0}


def test_several_partitions_and_topics_are_kept_apart(lake: Lake) -> None:
    """Each has files of its own, and can be asked for by its topic."""
    read: list[tuple[Partition, int, Any]] = [
        (CARDS, 0, said(0)),
        ((BILLS, 0), 0, change("c", None, bill(1, "A", "1.00"), 1)),
        (OTHER, 0, said(0)),
        (("pos.transaction", 0), 0, '{"status":"BEGIN","ts_ms":1772366400000}'),
    ]
    made = lake.append(records(read), {partition: 0 for partition, *_ in read})
    assert sorted(made, key=lambda file: file.of_partition) == lake.files()
    assert [file.of_partition for file in lake.files(CARDS[0])] == [CARDS, OTHER]
    assert len(lake.files()) == 4


def test_an_empty_topic_column_makes_no_file(lake: Lake) -> None:
    """Nothing read is nothing written."""
    assert lake.append(pa.table(records([])), {}) == []
