"""The intake: engine batches, cut anywhere, reach the log as whole transactions with the right place to resume from."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import intake
from connectors.board import Board, read_board
from connectors.debezium import Records
from connectors.embedded import EmbeddedLogWriter
from connectors.intake import Intake
from tests.debezium import Record, begin, change, notice, transaction

BILLS = "pos.pos.bills"
HEARTBEAT = ("__debezium-heartbeat.pos", "{}", '{"ts_ms":1}')


class Engine:
    """Hands records to an intake as Debezium's engine does, and starts again where the log says."""

    def __init__(self, folder: Path, writer: EmbeddedLogWriter) -> None:
        self.board = folder / "capture.json"
        self.writer = writer
        self.start()

    def start(self) -> None:
        """A new run, which knows nothing of the one before."""
        self.intake = Intake("pos", "pos", self.writer, threading.Lock(), Board(self.board))

    def give(self, records: list[Record], first: int = 0) -> int | None:
        """One batch; `first` is the number of its first record in the source's stream."""
        topics, keys, values = (list(column) for column in zip(*records, strict=True))
        return self.intake.take(Records(topics, keys, values, lambda row: str(first + row)))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[EmbeddedLogWriter]:
    with EmbeddedLogWriter(tmp_path / "log.db") as opened:
        yield opened


@pytest.fixture
def engine(tmp_path: Path, writer: EmbeddedLogWriter) -> Engine:
    return Engine(tmp_path, writer)


def logged(folder: Path) -> list[Record]:
    """Everything in the log, of any kind."""
    with closing(sqlite3.connect(folder / "log.db")) as con:
        return con.execute(
            "select name, key, value from records join topics on topics.id = topic order by seq"
        ).fetchall()


def test_a_cut_transaction_waits_for_its_rest(tmp_path: Path, writer: EmbeddedLogWriter, engine: Engine) -> None:
    """Only what is whole is appended, and the source counts as read up to there."""
    records = [*transaction(BILLS, 1), *transaction(BILLS, 2)]
    assert engine.give(records[:5]) == 2
    assert logged(tmp_path) == records[:3]
    assert writer.progress("pos") == "2"
    assert engine.give(records[5:], first=5) == 0
    assert logged(tmp_path) == records
    assert writer.progress("pos") == "5"


def test_a_batch_in_the_middle_of_a_transaction_says_nothing_is_read(
    tmp_path: Path, writer: EmbeddedLogWriter, engine: Engine
) -> None:
    """A place inside a transaction is never one to resume from."""
    assert engine.give([begin()]) is None
    assert engine.give([change(BILLS, 1)], first=1) is None
    assert logged(tmp_path) == []
    assert writer.progress("pos") is None


def test_snapshot_rows_do_not_wait(tmp_path: Path, engine: Engine) -> None:
    """Rows outside any transaction are appended at once."""
    rows = [notice("STARTED"), change(BILLS, 1, "r"), change(BILLS, 2, "r")]
    assert engine.give(rows) == 2
    assert logged(tmp_path) == rows


def test_heartbeats_move_the_place_and_are_not_logged(
    tmp_path: Path, writer: EmbeddedLogWriter, engine: Engine
) -> None:
    """They only let the source forget what was read."""
    assert engine.give([HEARTBEAT], first=7) == 0
    assert logged(tmp_path) == []
    assert writer.progress("pos") == "7"


def test_a_huge_transaction_does_not_fill_the_memory(
    tmp_path: Path, writer: EmbeddedLogWriter, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound it goes to the log in parts, and still counts as unread until its end."""
    monkeypatch.setattr(intake, "_CARRIED", 10)
    records = transaction(BILLS, *range(25))
    for first in range(0, 24, 4):
        assert engine.give(records[first : first + 4], first) is None
    assert len(logged(tmp_path)) >= 20
    assert writer.progress("pos") is None
    assert engine.give(records[24:], 24) == 2
    assert logged(tmp_path) == records


def test_the_board_follows_the_snapshot(engine: Engine) -> None:
    """Snapshot, then streaming, as the engine's notifications say."""
    engine.give([notice("STARTED"), change(BILLS, 1, "r")])
    assert read_board(engine.board)["pos"].state == "snapshot"
    engine.give([notice("COMPLETED")])
    assert read_board(engine.board)["pos"].state == "streaming"


def test_a_notification_that_is_none_does_not_end_the_capture(engine: Engine) -> None:
    """It goes into the log, and the board waits for the next."""
    engine.give([("pos.notifications", None, value) for value in ("null", "7", "x", '{"aggregate_type":7}')])
    engine.give([notice("COMPLETED")])
    assert read_board(engine.board)["pos"].state == "streaming"


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=10),
    cuts=st.lists(st.integers(1, 7), min_size=1, max_size=20),
    crashes=st.sets(st.integers(0, 20)),
)
def test_crashes_leave_no_gap_and_no_double(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], cuts: list[int], crashes: set[int]
) -> None:
    """However the stream is cut and wherever it breaks, resuming from the log's place gives the stream once."""
    folder = tmp_path_factory.mktemp("intake")
    stream = [record for row, length in enumerate(lengths) for record in transaction(BILLS, *range(row, row + length))]
    with EmbeddedLogWriter(folder / "log.db") as writer:
        engine = Engine(folder, writer)
        at = 0
        for step, cut in enumerate([*cuts, len(stream)]):
            if step in crashes:
                engine.start()
                at = int(writer.progress("pos") or -1) + 1
            if at < len(stream):
                engine.give(stream[at : at + cut], at)
                at += cut
    assert logged(folder) == stream
