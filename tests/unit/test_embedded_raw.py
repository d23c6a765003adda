"""The embedded log as it is: every record once, in order, from any position, whatever else is done to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.embedded import EmbeddedLog, EmbeddedLogWriter
from connectors.embedded_raw import EmbeddedRaw
from connectors.log import RECORDS, Positions
from connectors.raw import RawLog
from ringup.errors import LogError
from tests.debezium import Record, begin, change, end, notice, transaction
from tests.embedded import BILLS, MEMBERS

TOPICS = [BILLS, MEMBERS, "pos.transaction", "pos.notifications"]
Row = tuple[str, int, str | None, str | None]


@pytest.fixture
def raw(path: Path) -> Iterator[EmbeddedRaw]:
    with closing(EmbeddedRaw(path)) as opened:
        opened.seek({})
        yield opened


def came(raw: RawLog, limit: int = 100) -> list[Row]:
    """What one read gives, and that its positions agree with it."""
    found = raw.read(limit, 0.0)
    if found is None:
        return []
    records, positions = found
    assert records.schema == RECORDS
    assert 0 < records.num_rows <= limit
    rows = [(r["topic"], r["offset"], r["key"], r["value"]) for r in records.to_pylist()]
    last = {topic: offset for topic, offset, _, _ in rows}
    assert last.items() <= {topic: offset for (topic, partition), offset in positions.items() if not partition}.items()
    return rows


def rest(raw: RawLog, limit: int = 100) -> list[Row]:
    """Everything that can be read now."""
    found: list[Row] = []
    while rows := came(raw, limit):
        found += rows
    return found


def numbered(records: list[Record], ends: dict[str, int]) -> list[Row]:
    """Records as they stand in the log, whose topics have so many records already."""
    found = []
    for topic, key, value in records:
        ends[topic] = ends.get(topic, 0) + 1
        found.append((topic, ends[topic] - 1, key, value))
    return found


def test_nothing_is_assembled_or_left_out(writer: EmbeddedLogWriter, raw: EmbeddedRaw) -> None:
    """Half a transaction, marks, notifications and tombstones come as they were appended, in one order."""
    records = [notice("STARTED"), change(MEMBERS, 1, "r"), notice("COMPLETED"), begin(), change(BILLS, 1)]
    records.append((BILLS, '{"id":1}', None))
    writer.append(records)
    assert came(raw) == numbered(records, {})
    assert raw.read(100, 0.0) is None
    assert raw.trouble is None
    writer.append([end()])
    found = raw.read(100, 0.0)
    assert found is not None
    assert found[0].column("partition").to_pylist() == [0]
    assert found[1] == {("pos.notifications", 0): 1, (MEMBERS, 0): 0, ("pos.transaction", 0): 1, (BILLS, 0): 1}


appended = st.lists(st.sampled_from(TOPICS), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@example([[BILLS], 1, "trim", [BILLS]])  # no number is given twice
@given(
    steps=st.lists(
        appended | st.integers(1, 9) | st.sampled_from(["trim", "restart"]),
        min_size=1,
        max_size=20,
    )
)
def test_whatever_happens_each_record_comes_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[str] | int | str]
) -> None:
    """Writes, reads of any size, starts at the positions so far, and trims of all that the pipeline has committed."""
    path = tmp_path_factory.mktemp("log") / "log.db"
    written: list[Row] = []
    read: list[Row] = []
    ends: dict[str, int] = {}
    positions: Positions = {}
    with EmbeddedLogWriter(path) as writer, closing(EmbeddedLog(path, expected=["pos"])) as log:
        log.hold(positions)
        raw = EmbeddedRaw(path)
        raw.seek(positions)
        for step in [*steps, 1_000]:
            if isinstance(step, list):
                records: list[Record] = [
                    (topic, f"{len(written)}", f"{n}" if n % 3 else None) for n, topic in enumerate(step)
                ]
                writer.append(records)
                written += numbered(records, ends)
            elif isinstance(step, int):
                if (found := raw.read(step, 0.0)) is not None:
                    records_, positions = found
                    read += [(r["topic"], r["offset"], r["key"], r["value"]) for r in records_.to_pylist()]
                    log.hold(positions)
            elif step == "trim":
                log.trim({(topic, 0): count - 1 for topic, count in ends.items()}, kept=0)
            else:
                raw.close()
                raw = EmbeddedRaw(path)
                raw.seek(positions)
        raw.close()
    assert read == written


@settings(max_examples=40, deadline=None)
@given(topics=appended, data=st.data(), limit=st.integers(1, 9))
def test_reading_goes_on_after_any_positions(
    tmp_path_factory: pytest.TempPathFactory, topics: list[str], data: st.DataObject, limit: int
) -> None:
    """Each topic may stand somewhere else, and what is not named begins with its first record."""
    path = tmp_path_factory.mktemp("log") / "log.db"
    records: list[Record] = [(topic, str(n), "{}") for n, topic in enumerate(topics)]
    ends: dict[str, int] = {}
    rows = numbered(records, ends)
    with EmbeddedLogWriter(path) as writer:
        writer.append(records)
    named = data.draw(st.sets(st.sampled_from(sorted(ends))))
    positions = {(topic, 0): data.draw(st.integers(-1, ends[topic] - 1)) for topic in sorted(named)}
    with closing(EmbeddedRaw(path)) as raw:
        assert raw.seek(positions) == {(topic, 0): 0 for topic in ends if topic not in named}
        assert rest(raw, limit) == [row for row in rows if row[1] > positions.get((row[0], 0), -1)]


def test_a_topic_that_is_not_named_begins_with_what_is_left_of_it(
    path: Path, writer: EmbeddedLogWriter, log: EmbeddedLog
) -> None:
    """A lake that begins late has what there is, and is told where that begins."""
    writer.append([notice("COMPLETED"), *(change(BILLS, row) for row in range(10)), change(MEMBERS, 1)])
    log.trim({("pos.notifications", 0): 0, (BILLS, 0): 5, (MEMBERS, 0): 0}, kept=0)
    with closing(EmbeddedRaw(path)) as raw:
        assert raw.seek({}) == {("pos.notifications", 0): 0, (BILLS, 0): 6, (MEMBERS, 0): 0}
        assert [row[:2] for row in rest(raw)] == [
            ("pos.notifications", 0),
            *((BILLS, n) for n in (6, 7, 8, 9)),
            (MEMBERS, 0),
        ]
    log.trim({("pos.notifications", 0): 0, (BILLS, 0): 9, (MEMBERS, 0): 0}, kept=0)
    with closing(EmbeddedRaw(path)) as raw:
        assert raw.seek({}) == {("pos.notifications", 0): 0, (BILLS, 0): 10, (MEMBERS, 0): 0}
        writer.append([change(BILLS, 10)])
        assert [row[:2] for row in rest(raw)] == [("pos.notifications", 0), (MEMBERS, 0), (BILLS, 10)]


def test_trimming_keeps_what_is_held(writer: EmbeddedLogWriter, log: EmbeddedLog) -> None:
    """Records beyond the other reader's positions stay, topics that it has not read at all, too; nothing else does."""
    writer.append([*(change(BILLS, row) for row in range(10)), change(MEMBERS, 1), change(BILLS, 10)])
    all_read = {(BILLS, 0): 10, (MEMBERS, 0): 0}
    log.hold({})
    assert log.trim(all_read, kept=0) == 0
    log.hold({(BILLS, 0): 3})
    assert log.trim(all_read, kept=0) == 4
    log.hold({(BILLS, 0): 10})
    assert log.trim(all_read, kept=0) == 6, "not the member, nor what came after it"
    log.hold(all_read)
    assert log.trim(all_read, kept=0) == 1, "the very last one is never removed"


def test_a_position_ahead_of_the_end_is_refused(writer: EmbeddedLogWriter, raw: EmbeddedRaw) -> None:
    """It is the lake that does not fit to the log, and the mend says what to do with it."""
    writer.append([change(BILLS, 1)])
    with pytest.raises(LogError, match=rf"the lake has taken in {BILLS} up to offset 7, .* ends at offset 0") as caught:
        raw.seek({(BILLS, 0): 7})
    assert "restore the log that belongs to this lake, or move the folder of the lake away" in caught.value.mend
    with pytest.raises(LogError, match="ends at offset -1"):
        raw.seek({(MEMBERS, 0): 0})
    raw.seek({(BILLS, 0): 0})
    assert rest(raw) == []


def test_a_position_that_trimming_has_overtaken_is_refused(
    path: Path, writer: EmbeddedLogWriter, log: EmbeddedLog, raw: EmbeddedRaw
) -> None:
    """Nobody held what follows it: neither a start nor a reader that runs passes over the gap."""
    writer.append([change(BILLS, row) for row in range(10)])
    assert len(came(raw, 3)) == 3
    log.trim({(BILLS, 0): 5}, kept=0)
    with pytest.raises(LogError, match=rf"no longer holds what follows offset 2 of {BILLS}") as caught:
        raw.read(3, 0.0)
    assert caught.value.mend.startswith("move the folder of the lake away")
    assert caught.value.where == str(path)
    with pytest.raises(LogError, match="no longer holds what follows offset 2"):
        raw.seek({(BILLS, 0): 2})
    raw.seek({(BILLS, 0): 5})
    assert [row[1] for row in rest(raw)] == [6, 7, 8, 9]


def test_it_reads_while_others_write_and_trim(path: Path, log: EmbeddedLog) -> None:
    """Three connections at once, and the pipeline is ahead: nothing is missing."""
    transactions, stop = 150, threading.Event()

    def write() -> None:
        with EmbeddedLogWriter(path) as writer:
            for number in range(transactions):
                writer.append(transaction(BILLS, number))

    def trim() -> None:
        while not stop.is_set():
            if (batch := log.read(100, 0.05)) is not None:
                log.trim(batch.positions, kept=0)

    log.hold({})
    with closing(EmbeddedRaw(path)) as raw:
        raw.seek({})
        threads = [threading.Thread(target=write), threading.Thread(target=trim)]
        for thread in threads:
            thread.start()
        offsets: list[int] = []
        until = time.monotonic() + 60
        while len(offsets) < transactions and time.monotonic() < until:
            if (found := raw.read(17, 0.2)) is not None:
                offsets += [row["offset"] for row in found[0].to_pylist() if row["topic"] == BILLS]
                log.hold(found[1])
        stop.set()
        for thread in threads:
            thread.join()
    assert offsets == list(range(transactions))


def test_waiting_ends_when_something_comes(writer: EmbeddedLogWriter, raw: EmbeddedRaw) -> None:
    """And lasts as long as it may where nothing does."""
    started = time.monotonic()
    assert raw.read(10, 0.1) is None
    assert time.monotonic() - started >= 0.1
    threading.Timer(0.2, writer.append, [[change(BILLS, 1)]]).start()
    assert raw.read(10, 30.0) is not None
    assert time.monotonic() - started < 10
