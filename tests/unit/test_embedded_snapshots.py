"""Which records of the embedded log are rows of a snapshot, and no news."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given

from connectors.embedded import EmbeddedLog, EmbeddedLogWriter
from connectors.notices import Notice, read_notice
from connectors.snapshots import Snapshots
from tests.debezium import begin, change, end, notice, scanned, transaction
from tests.embedded import BILLS, MEMBERS, drain, rows_of
from tests.spoilt import spoilt


def test_nothing_is_news_before_every_source_is_complete(path: Path, writer: EmbeddedLogWriter) -> None:
    """Changes that stream while another source still takes its first snapshot count as snapshot, none after it do."""
    log = EmbeddedLog(path, expected=["pos", "crm"])
    writer.append([change(BILLS, 1, "r"), notice("COMPLETED", "pos"), *transaction(BILLS, 2)])
    writer.append([change(MEMBERS, 1, "r"), notice("COMPLETED", "crm"), *transaction(BILLS, 3)])
    batches = drain(log)
    assert [(batch.snapshot, rows_of([batch])) for batch in batches] == [
        (True, [(BILLS, 0)]),
        (True, [(BILLS, 1), (MEMBERS, 0)]),
        (False, [(BILLS, 2)]),
    ]
    assert log.bootstrapped
    log.close()


def test_the_end_of_the_first_snapshots_is_remembered(path: Path, writer: EmbeddedLogWriter) -> None:
    """A reader that starts again, before or after that point, draws the same line."""
    writer.append([change(BILLS, 1, "r"), notice("COMPLETED"), *transaction(BILLS, 2)])
    first = EmbeddedLog(path, expected=["pos"])
    (before, after) = drain(first)
    first.close()
    again = EmbeddedLog(path, expected=["pos"])
    assert [batch.snapshot for batch in drain(again)] == [True, False]
    again.seek(before.positions)
    assert [batch.snapshot for batch in drain(again)] == [False]
    again.seek(after.positions)
    assert again.bootstrapped
    again.close()


def test_a_source_that_is_added_later_does_not_silence_the_others(path: Path, writer: EmbeddedLogWriter) -> None:
    """Only the rows that its snapshot reads count as snapshot, and no batch mixes the two."""
    writer.append([notice("COMPLETED", "pos"), *transaction(BILLS, 1)])
    first = EmbeddedLog(path, expected=["pos"])
    (batch,) = drain(first)
    first.close()
    log = EmbeddedLog(path, expected=["pos", "crm"])
    log.seek(batch.positions)
    writer.append([notice("STARTED", "crm"), change(MEMBERS, 1, "r"), *transaction(BILLS, 2), change(MEMBERS, 2, "r")])
    writer.append([notice("COMPLETED", "crm"), *transaction(MEMBERS, 3)])
    assert [(batch.snapshot, rows_of([batch])) for batch in drain(log)] == [
        (True, [(MEMBERS, 0)]),
        (False, [(BILLS, 1)]),
        (True, [(MEMBERS, 1)]),
        (False, [(MEMBERS, 2)]),
    ]
    log.close()


def test_a_column_named_op_is_not_taken_for_the_operation(writer: EmbeddedLogWriter, log: EmbeddedLog) -> None:
    """While a snapshot runs, a change of a row whose column `op` says r is news all the same."""
    writer.append(
        [notice("COMPLETED"), notice("STARTED"), begin(), change(BILLS, 1, columns={"op": "r", "ts_ms": 1}), end()]
    )
    (batch,) = drain(log)
    assert not batch.snapshot


def test_a_snapshot_in_the_middle_of_a_transaction_is_a_batch_of_its_own(
    path: Path, writer: EmbeddedLogWriter, log: EmbeddedLog
) -> None:
    """What it read is no news, what the transaction did is; from either batch on nothing is lost."""
    writer.append([notice("COMPLETED")])
    drain(log)
    read = change("pos.pos.tills", 5, "r")
    told = scanned("pos.pos.tills")  # the last row comes after it
    writer.append([begin(), change(BILLS, 1), notice("STARTED"), told, read, notice("COMPLETED"), end()])
    snapshot, news = drain(log)
    assert (snapshot.snapshot, rows_of([snapshot])) == (True, [("pos.pos.tills", 0)])
    assert (news.snapshot, rows_of([news])) == (False, [(BILLS, 0)])
    assert log.read_anew == {"pos.pos.tills"}
    for batch, rest in ((snapshot, [("pos.pos.tills", 0), (BILLS, 0)]), (news, [])):
        again = EmbeddedLog(path, expected=["pos"], transaction_wait=0.05)
        again.seek(batch.positions)
        assert rows_of(drain(again)) == rest
        again.close()


def test_a_table_was_read_anew_when_a_snapshot_has_read_all_of_it_since_the_reader_began(
    writer: EmbeddedLogWriter, log: EmbeddedLog
) -> None:
    """Not before the snapshot's end, not where it was given up, and not by one that the reader saw the end of only."""
    writer.append([notice("COMPLETED"), notice("STARTED"), change(BILLS, 1, "r"), scanned(BILLS)])
    batches = drain(log)
    assert log.read_anew == set()
    log.seek(batches[-1].positions)
    writer.append([notice("COMPLETED"), notice("STARTED"), scanned(MEMBERS.replace("crm", "pos")), notice("SKIPPED")])
    drain(log)
    assert log.read_anew == set()
    writer.append([notice("STARTED"), scanned(BILLS), change(BILLS, 1, "r"), notice("COMPLETED")])
    drain(log)
    assert log.read_anew == {BILLS}


@pytest.mark.parametrize("value", ["null", "7", "{}", '{"aggregate_type":7,"type":"COMPLETED"}', "", "x"])
def test_a_notification_that_is_none_is_passed_over(
    path: Path, writer: EmbeddedLogWriter, log: EmbeddedLog, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning, now and by a reader that starts later; the ones after it count."""
    writer.append([("pos.notifications", None, value), notice("COMPLETED"), *transaction(BILLS, 1)])
    batches = drain(log)
    assert [batch.snapshot for batch in batches] == [False]
    assert "pos.notifications has what cannot be read" in caplog.text
    again = EmbeddedLog(path, expected=["pos"])
    again.seek(batches[-1].positions)
    assert again.bootstrapped
    again.close()


@given(spoilt(json.loads(scanned(BILLS)[2] or "")))
def test_whatever_stands_among_notifications_ends_nothing(value: str) -> None:
    """It is a notification or none, which is one kind of error."""
    snapshots = Snapshots(["pos"])
    snapshots.note(1, "pos", json.dumps({"aggregate_type": "Initial Snapshot", "type": "STARTED"}))
    snapshots.note(2, "pos", value)
    with suppress(ValueError):
        assert isinstance(read_notice(value), Notice)
