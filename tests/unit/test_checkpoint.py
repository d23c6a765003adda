"""Checkpoints while somebody reads: they may wait, the run does not, and nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import duckdb
import pytest

from ringup.engine import Engine
from ringup.questions import Questions
from tests.live import BILLS, MEMBERS, bill, take
from tests.shop import COMMITTED, SHOP, change
from transforms.compact import compact
from transforms.warehouse import Warehouse

MEMBER = {"member_id": 1, "loyalty_card": "A", "first_name": "Ann"}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine that has taken in a first snapshot and has computed nothing yet."""
    engine = Engine(tmp_path / "live.duckdb", SHOP)
    take(engine, (MEMBERS, change("r", None, MEMBER, 1)), (BILLS, change("r", None, bill(1, "A"), 2)), snapshot=True)
    return engine


@pytest.fixture
def reader(engine: Engine) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that goes on seeing what is committed now."""
    with closing(engine.warehouse.reader()) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from live.ringup.commits").fetchall()
        yield reader


def spent(path: Path) -> list[tuple[object, ...]]:
    """What a model has in the state that is opened anew."""
    with closing(Warehouse(path)) as warehouse:
        return warehouse.con.execute("select visits, spend::integer from live.marts.customers").fetchall()


def test_who_reads_does_not_stop_a_run(engine: Engine, reader: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Models are computed, tails folded in and the file closed; a kill before that loses nothing, either."""
    engine.start(COMMITTED)
    with pytest.raises(duckdb.TransactionException, match="other write transactions"):
        engine.warehouse.con.execute("checkpoint live")
    take(engine, (BILLS, change("c", None, bill(2, "A"), 9)))
    assert "pos.bills" in compact(engine.warehouse, engine.mirror, at_least=1)
    (tmp_path / "killed").mkdir()
    for file in tmp_path.glob("live.duckdb*"):
        shutil.copy(file, tmp_path / "killed")
    engine.close()
    reader.close()
    for state in (tmp_path / "killed" / "live.duckdb", tmp_path / "live.duckdb"):
        assert spent(state) == [(2, 20)]


def test_a_checkpoint_that_was_refused_is_written_in_a_quiet_moment(
    engine: Engine, reader: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """As soon as nobody is in the way, however small the write-ahead log is."""
    log = tmp_path / "live.duckdb.wal"
    engine.start(COMMITTED)
    engine.warehouse.tidy()
    assert log.stat().st_size
    reader.execute("rollback")
    engine.warehouse.tidy()
    assert not log.exists()
    engine.close()


def test_a_checkpoint_that_fails_otherwise_is_an_error(engine: Engine) -> None:
    """Such as one that is asked for in the middle of a transaction: that would be a mistake of ringup's own."""
    with pytest.raises(duckdb.TransactionException, match="local changes"), engine.warehouse.transaction():
        engine.warehouse.remember("colour", "green")
        engine.warehouse.checkpoint()
    engine.close()


def test_questions_without_end_do_not_stop_a_run(engine: Engine) -> None:
    """They are answered from the start on, while bills come and tables are written anew."""
    questions, enough = Questions(engine.warehouse.reader(), SHOP), Event()

    def ask() -> int:
        asked = 0
        while not enough.is_set():
            questions.counts()
            asked += 1
        return asked

    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(ask)
        try:
            engine.start(COMMITTED)
            for number in range(2, 42):
                take(engine, (BILLS, change("c", None, bill(number, "A"), number)))
                compact(engine.warehouse, engine.mirror, at_least=1)
        finally:
            enough.set()
    assert asking.result() > 0
    assert questions.prove().differ == 0
    engine.close()
