"""The embedded log: what is appended is read back whole, once, in order, from any position."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.embedded import EmbeddedLog, EmbeddedLogWriter
from connectors.embedded_rest import left_over
from connectors.log import RECORDS, Batch
from ringup.errors import LogError
from tests.debezium import Record, begin, change, end, notice, transaction
from tests.embedded import BILLS, MEMBERS, drain, rows_of


def test_records_come_back_as_they_were_appended(writer: EmbeddedLogWriter, log: EmbeddedLog) -> None:
    """Topic, key and value survive, offsets count per topic, and a tombstone has no value."""
    writer.append([change(BILLS, 1), change("pos.pos.tills", 1), change(BILLS, 2), (BILLS, '{"id":1}', None)])
    (batch,) = drain(log)
    assert batch.records.schema == RECORDS
    assert batch.records.column("topic").to_pylist() == [BILLS, "pos.pos.tills", BILLS, BILLS]
    assert batch.records.column("offset").to_pylist() == [0, 0, 1, 2]
    assert batch.records.column("partition").to_pylist() == [0, 0, 0, 0]
    assert batch.records.column("value").to_pylist() == [
        change(BILLS, 1)[2],
        change(BILLS, 1)[2],
        change(BILLS, 2)[2],
        None,
    ]
    assert batch.positions == {(BILLS, 0): 2, ("pos.pos.tills", 0): 0}


def test_a_transaction_is_held_until_its_end_comes(writer: EmbeddedLogWriter, log: EmbeddedLog) -> None:
    """Half a bill is never handed over, and the end releases it whole."""
    writer.append([notice("COMPLETED"), *transaction(BILLS, 1), begin(), change(BILLS, 2)])
    assert rows_of(drain(log)) == [(BILLS, 0)]
    writer.append([change(BILLS, 3), end()])
    (batch,) = drain(log)
    assert rows_of([batch]) == [(BILLS, 1), (BILLS, 2)]
    assert batch.torn == 0


def test_an_open_transaction_holds_up_its_own_source_only(writer: EmbeddedLogWriter, log: EmbeddedLog) -> None:
    """What another source does meanwhile is handed over at once."""
    writer.append([notice("COMPLETED"), begin("pos"), change(BILLS, 1), *transaction(MEMBERS, 1)])
    (batch,) = drain(log)
    assert rows_of([batch]) == [(MEMBERS, 0)]
    assert (BILLS, 0) not in batch.positions


def test_a_transaction_without_an_end_is_handed_over_after_the_wait(
    writer: EmbeddedLogWriter, log: EmbeddedLog
) -> None:
    """It counts as torn once, and its late rest is not held back again."""
    writer.append([notice("COMPLETED"), begin(), change(BILLS, 1)])
    assert log.read(10, 0.0) is None
    batch = log.read(10, 5.0)
    assert batch is not None
    assert rows_of([batch]) == [(BILLS, 0)]
    assert batch.torn == 1
    writer.append([change(BILLS, 2), end(), begin(), change(BILLS, 3), end()])
    assert rows_of(late := drain(log)) == [(BILLS, 1), (BILLS, 2)]
    assert [batch.torn for batch in late] == [0]


def test_a_transaction_that_is_sent_again_is_held_until_it_is_whole(
    writer: EmbeddedLogWriter, log: EmbeddedLog
) -> None:
    """After a crash the engine begins it anew: what came the first time stays held, too."""
    writer.append([notice("COMPLETED"), begin(), change(BILLS, 1)])
    assert drain(log) == []
    writer.append([begin(), change(BILLS, 1)])
    assert drain(log) == []
    writer.append([change(BILLS, 2), end()])
    (batch,) = drain(log)
    assert rows_of([batch]) == [(BILLS, 0), (BILLS, 1), (BILLS, 2)]


def test_a_limit_does_not_cut_a_transaction(writer: EmbeddedLogWriter, log: EmbeddedLog) -> None:
    """A transaction that is larger than the limit comes in one batch."""
    writer.append([notice("COMPLETED"), *transaction(BILLS, *range(50)), *transaction(BILLS, 50)])
    sizes = [batch.records.num_rows for batch in drain(log, limit=7)]
    assert sizes[0] >= 50
    assert sum(sizes) == 51


def test_reading_goes_on_after_any_position(path: Path, writer: EmbeddedLogWriter) -> None:
    """A new reader at a batch's positions gets exactly what the first one got after it."""
    writer.append([notice("COMPLETED")])
    for row in range(20):
        writer.append(transaction(BILLS if row % 3 else MEMBERS, row, row + 100))
    log = EmbeddedLog(path, expected=["pos"])
    batches = drain(log, limit=9)
    for done in range(len(batches)):
        log.seek(batches[done].positions)
        assert rows_of(drain(log)) == rows_of(batches[done + 1 :])
    log.close()


def test_what_was_held_is_read_again_after_a_restart(path: Path, writer: EmbeddedLogWriter, log: EmbeddedLog) -> None:
    """A source's open transaction is not lost when another source's later records were committed."""
    writer.append([notice("COMPLETED"), begin(), change(BILLS, 1), *transaction(MEMBERS, 1)])
    (batch,) = drain(log)
    writer.append([change(BILLS, 2), end(), *transaction(MEMBERS, 2)])
    again = EmbeddedLog(path, expected=["pos"])
    again.seek(batch.positions)
    assert sorted(rows_of(drain(again))) == [(MEMBERS, 1), (BILLS, 0), (BILLS, 1)]
    again.close()


def test_a_position_ahead_of_the_end_is_refused(writer: EmbeddedLogWriter, log: EmbeddedLog) -> None:
    """The error names the topic and both numbers, and says what to do."""
    writer.append([change(BILLS, 1)])
    with pytest.raises(LogError, match=rf"{BILLS} up to offset 7, but the log ends at offset 0") as caught:
        log.seek({(BILLS, 0): 7})
    assert "delete the whole state folder" in caught.value.mend


def test_a_position_in_an_unknown_topic_is_refused(log: EmbeddedLog) -> None:
    """An empty log in place of the right one is noticed."""
    with pytest.raises(LogError, match="ends at offset -1"):
        log.seek({(BILLS, 0): 0})


def test_trimming_keeps_what_was_not_taken_in(path: Path, writer: EmbeddedLogWriter, log: EmbeddedLog) -> None:
    """Committed records go, others and the offsets stay, and a reader without positions is told so."""
    writer.append([notice("COMPLETED"), *transaction(BILLS, *range(10))])
    (batch,) = drain(log)
    writer.append(transaction(BILLS, 10))
    assert log.trim(batch.positions, kept=0) > 0
    again = EmbeddedLog(path, expected=["pos"])
    again.seek(batch.positions)
    assert again.bootstrapped
    assert rows_of(drain(again)) == [(BILLS, 10)]
    with pytest.raises(LogError, match="no longer holds what follows offset -1"):
        again.seek({})
    again.close()


def test_trimming_keeps_the_newest(writer: EmbeddedLogWriter, log: EmbeddedLog) -> None:
    """However much was committed, the last records stay, and a limit bounds what one call removes."""
    writer.append([change(BILLS, row) for row in range(100)])
    (batch,) = drain(log)
    assert log.trim(batch.positions, kept=40, limit=10) == 10
    assert log.trim(batch.positions, kept=40) == 50
    assert log.trim(batch.positions, kept=40) == 0


def test_the_lag_counts_what_was_not_handed_over(writer: EmbeddedLogWriter, log: EmbeddedLog) -> None:
    """Records behind the reader count, those that it holds back too."""
    writer.append([notice("COMPLETED"), begin(), change(BILLS, 1)])
    assert log.lag() == 3
    drain(log)
    assert log.lag() == 2


def test_what_is_left_over_is_told_without_writing_anything(path: Path) -> None:
    """Not even the files that SQLite keeps beside a log that is open, which a folder may have no room or right for."""
    with EmbeddedLogWriter(path) as writer:
        writer.append([notice("COMPLETED"), *transaction(BILLS, 1, 2)])
        assert left_over(path, {(BILLS, 0): 0}, ["pos"]) == 1, "with changes that are not in the file itself yet"
    before = {file.name for file in path.parent.iterdir()}
    assert left_over(path, {(BILLS, 0): 0}, ["pos"]) == 1
    assert {file.name for file in path.parent.iterdir()} == before


def test_waiting_ends_when_something_comes(path: Path, writer: EmbeddedLogWriter, log: EmbeddedLog) -> None:
    """A reader that waits takes what another connection appends, without sitting out its time."""
    assert log.read(10, 0.01) is None
    writer.append([notice("COMPLETED"), *transaction(BILLS, 1)])
    started = time.monotonic()
    assert log.read(10, 30.0) is not None
    assert time.monotonic() - started < 10


def test_a_second_writer_is_refused(path: Path, writer: EmbeddedLogWriter) -> None:
    """Two capture processes never write to one log."""
    with pytest.raises(LogError, match="another capture process"):
        EmbeddedLogWriter(path, patience=0.1)


def test_progress_commits_with_its_records(path: Path) -> None:
    """Records that cannot be appended take their progress back with them."""
    with EmbeddedLogWriter(path) as writer:
        writer.append([change(BILLS, 1)], progress=("pos", "one"))
        with pytest.raises(Exception, match="type"):
            writer.append([(BILLS, "key", object())], progress=("pos", "two"))  # type: ignore[list-item]
        assert writer.progress("pos") == "one"
        writer.append([change(BILLS, 2)])
    log = EmbeddedLog(path, expected=[])
    assert rows_of(drain(log)) == [(BILLS, 0), (BILLS, 1)]
    log.close()


def test_a_file_that_is_no_log_is_refused(path: Path) -> None:
    """A damaged file is an error with a mend, not a trace."""
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(LogError, match="cannot be opened"):
        EmbeddedLog(path, expected=[])


@settings(max_examples=40)
@given(
    lengths=st.lists(st.tuples(st.sampled_from([BILLS, MEMBERS]), st.integers(1, 6)), min_size=1, max_size=12),
    cuts=st.lists(st.integers(1, 9), min_size=1),
    limit=st.integers(1, 20),
)
def test_however_it_is_cut_transactions_arrive_whole(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[tuple[str, int]], cuts: list[int], limit: int
) -> None:
    """Whatever the sizes of appends and reads, each transaction lies in one batch; nothing is missing or doubled."""
    path = tmp_path_factory.mktemp("log") / "log.db"
    records: list[Record] = [notice("COMPLETED")]
    whole: list[set[tuple[str, int]]] = []
    ends = {BILLS: 0, MEMBERS: 0}
    for table, length in lengths:
        rows = range(ends[table], ends[table] + length)
        records += transaction(table, *rows)
        whole.append({(table, row) for row in rows})
        ends[table] += length
    log = EmbeddedLog(path, expected=["pos"], transaction_wait=60)
    batches: list[Batch] = []
    with EmbeddedLogWriter(path) as writer:
        rest = iter(records)
        for cut in [*cuts, len(records)]:
            writer.append(islice(rest, cut))
            batches += drain(log, limit)
    log.close()
    got = [set(rows_of([batch])) for batch in batches]
    assert sum(len(batch) for batch in got) == sum(length for _, length in lengths)
    for expected in whole:
        assert sum(expected <= batch for batch in got) == 1
