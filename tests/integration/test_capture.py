"""Capture for real: PostgreSQL, Debezium's engine in its own process, and the embedded log behind it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil
import psycopg
import pytest
from psycopg import sql

from connectors.embedded import EmbeddedLog
from ringup.errors import CaptureError, SourceError
from ringup.local_postgres import LocalPostgres
from tests.captured import PATIENCE, Captured


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    with LocalPostgres(tmp_path_factory.mktemp("capture") / "postgres") as server:
        yield server


@pytest.fixture
def shop(postgres: LocalPostgres, tmp_path: Path) -> Iterator[Captured]:
    """A database with one table of three rows, not captured yet."""
    postgres.create_database("shop")
    captured = Captured(postgres, tmp_path / "state", "shop")
    captured.execute("create schema shop")
    captured.execute("create table shop.bills (id bigint primary key, total numeric(12, 2), sold_at timestamptz)")
    captured.execute("insert into shop.bills select g, g + 0.5, '2026-03-01 12:00+01' from generate_series(1, 3) g")
    yield captured
    captured.stop()
    postgres.stop()  # whatever the test did to it
    postgres.start()
    with psycopg.connect(postgres.dsn(), autocommit=True) as con:
        con.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots")
        con.execute("drop database shop with (force)")


def add_bills(shop: Captured, first: int, count: int) -> None:
    """One transaction with several rows."""
    shop.execute(
        "insert into shop.bills select g, g, now() from generate_series(%s::int, %s::int) g", first, first + count - 1
    )


def test_null_is_not_taken_for_a_columns_default(shop: Captured) -> None:
    """Neither in the snapshot nor afterwards."""
    shop.execute("create table shop.notes (id bigint primary key, state text default 'new')")
    shop.execute("insert into shop.notes values (1, null)")
    shop.capture.start()
    shop.bootstrap()
    shop.execute("insert into shop.notes values (2, null), (3, default)")
    shop.read_until(lambda: len(shop.rows("notes")) == 3)
    assert {number: row["state"] for number, row in shop.rows("notes").items()} == {1: None, 2: None, 3: "new"}


def test_a_snapshot_then_the_stream(shop: Captured) -> None:
    """Rows that are there come as a snapshot, what follows as news, exact and with before images.

    The positions of each batch are a place to go on from.
    """
    shop.capture.start()
    shop.bootstrap()
    assert all(batch.snapshot for batch in shop.batches)
    assert shop.rows("bills")[1] == {"id": 1, "total": "1.50", "sold_at": "2026-03-01T11:00:00.000000Z"}
    snapshot = shop.batches[-1].positions
    shop.execute("update shop.bills set total = 7 where id = 2")
    shop.execute("delete from shop.bills where id = 3")
    shop.read_until(lambda: len(shop.envelopes("bills")) == 5)
    updated, deleted = shop.envelopes("bills")[3:]
    assert (updated["op"], updated["before"]["total"], updated["after"]["total"]) == ("u", "2.50", "7.00")
    assert (deleted["op"], deleted["before"]["id"]) == ("d", 3)
    assert not shop.batches[-1].snapshot
    assert shop.capture.states()["shop"].state == "streaming"
    again = EmbeddedLog(shop.state / "log.db", expected=["shop"])
    again.seek(snapshot)
    batch = again.read(1000, 0.0)
    again.close()
    assert batch is not None
    assert [orjson.loads(value)["op"] for value in batch.records["value"].to_pylist() if value] == ["u", "d"]


def test_a_restart_goes_on_without_a_second_snapshot(shop: Captured) -> None:
    """What happened while nothing ran is captured, and nothing comes twice."""
    shop.capture.start()
    shop.bootstrap()
    shop.capture.stop()
    assert shop.capture.pid is None
    add_bills(shop, 10, 5)
    shop.capture.start()
    shop.read_until(lambda: len(shop.rows("bills")) == 8)
    assert [envelope["op"] for envelope in shop.envelopes("bills")] == ["r"] * 3 + ["c"] * 5


def test_killed_at_any_moment_it_resumes_without_gap_or_double(shop: Captured) -> None:
    """kill -9 of the capture process again and again under load: every row arrives once, every transaction whole."""
    shop.capture.start()
    shop.bootstrap()
    done = threading.Event()
    bills = 120

    def sell() -> None:
        for bill in range(bills):
            add_bills(shop, 100 + 50 * bill, 50)
            time.sleep(0.05)
        done.set()

    seller = threading.Thread(target=sell)
    seller.start()
    for _ in range(3):
        enough = len(shop.batches) + random.randint(1, 10)
        shop.read_until(lambda: len(shop.batches) >= enough or done.is_set())  # noqa: B023
        killed = shop.capture.pid
        if killed is not None:
            os.kill(killed, signal.SIGKILL)
    seller.join()
    shop.read_until(lambda: len(shop.rows("bills")) == 3 + 50 * bills)
    created = [envelope["after"]["id"] for envelope in shop.envelopes("bills") if envelope["op"] == "c"]
    assert len(created) == len(set(created)) == 50 * bills
    assert sum(batch.torn for batch in shop.batches) == 0
    assert all((batch.records.num_rows % 50) == 0 for batch in shop.batches if not batch.snapshot)


def test_killed_within_a_huge_transaction_no_row_is_lost(shop: Captured) -> None:
    """COPY gives many rows one LSN, and a crash in its middle must lose none of them."""
    shop.capture.start()
    shop.bootstrap()
    with (
        psycopg.connect(shop.postgres.dsn("shop")) as con,
        con.cursor() as cursor,
        cursor.copy("copy shop.bills (id, total) from stdin") as copy,
    ):
        for row in range(1_000, 41_000):
            copy.write_row((row, 1))
    until = time.monotonic() + PATIENCE
    while shop.log.lag() == 0:  # not read meanwhile, or the moment might pass between two looks
        assert time.monotonic() < until
        time.sleep(0.005)
    killed = shop.capture.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    shop.read_until(lambda: len(shop.rows("bills")) == 40_003)


def test_a_crash_of_the_database_is_waited_out(shop: Captured) -> None:
    """kill -9 of PostgreSQL: the state says what is waited for, and the stream goes on when it is back."""
    shop.capture.start()
    shop.bootstrap()
    add_bills(shop, 10, 5)
    shop.postgres.kill()
    shop.read_until(lambda: shop.capture.states()["shop"].state == "waiting")
    assert "does not answer" in (shop.capture.states()["shop"].cause or "")
    pid = shop.capture.pid
    shop.postgres.start()
    add_bills(shop, 20, 5)
    shop.read_until(lambda: len(shop.rows("bills")) == 13)
    assert shop.capture.pid == pid
    assert sorted(shop.rows("bills")) == [row for (row,) in shop.execute("select id from shop.bills order by id")]


def test_a_database_that_is_down_at_the_start_is_waited_for(shop: Captured) -> None:
    """Databases and ringup may start in any order."""
    shop.postgres.stop()
    shop.capture.start()
    shop.read_until(lambda: "shop" in shop.capture.states() and shop.capture.states()["shop"].state == "waiting")
    shop.postgres.start()
    shop.bootstrap()
    assert len(shop.rows("bills")) == 3


def test_a_wrong_password_is_said_at_once(shop: Captured) -> None:
    """No process is started for it, and the password itself is not repeated."""
    capture = shop.another(password="hunter2")
    with pytest.raises(SourceError, match="refuses the login of ringup") as caught:
        capture.start()
    assert "database.password" in caught.value.mend
    assert "hunter2" not in str(caught.value)
    assert capture.pid is None


def test_a_password_that_changes_ends_the_capture_with_the_cause(shop: Captured) -> None:
    """What a restart cannot mend is not tried for ever."""
    shop.capture.start()
    shop.bootstrap()
    known = shop.postgres.password
    shop.execute("alter role ringup password 'another'")
    shop.postgres.stop("immediate")
    shop.postgres.start()
    try:
        with pytest.raises(CaptureError, match="refuses the login of ringup") as caught:
            shop.read_until(lambda: False)
    finally:
        with psycopg.connect(shop.postgres.dsn("shop"), password="another", autocommit=True) as con:
            con.execute(sql.SQL("alter role ringup password {}").format(known))
    assert "database.password" in caught.value.mend


def test_an_error_of_the_engine_is_told_in_its_own_words(shop: Captured) -> None:
    """A setting that Debezium refuses ends the capture after a few tries."""
    shop.capture = shop.another(settings={"slot.name": "Not A Slot"})
    shop.capture.start()
    with pytest.raises(CaptureError, match="slot"):
        shop.read_until(lambda: False)


def test_a_lost_slot_is_answered_by_a_new_snapshot(shop: Captured) -> None:
    """Where the database forgot what was not read yet, its rows are read anew: as a snapshot, so nothing fires."""
    shop.capture.start()
    shop.bootstrap()
    shop.capture.stop()
    shop.execute("select pg_drop_replication_slot('ringup_shop')")
    add_bills(shop, 10, 5)
    shop.capture.start()
    shop.read_until(lambda: len(shop.rows("bills")) == 8)
    assert all(envelope["op"] == "r" for envelope in shop.envelopes("bills"))
    assert all(batch.snapshot for batch in shop.batches if batch.records.num_rows)
    add_bills(shop, 20, 1)
    shop.read_until(lambda: len(shop.rows("bills")) == 9)
    assert not shop.batches[-1].snapshot


def test_a_crash_within_the_snapshot_converges(shop: Captured) -> None:
    """A first snapshot that was cut short is taken again, and only its end makes the state complete."""
    shop.execute("insert into shop.bills select g, g, now() from generate_series(1000, 40999) g")
    shop.capture.start()
    shop.read_until(lambda: len(shop.batches) > 0)
    assert not shop.log.bootstrapped
    killed = shop.capture.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    shop.bootstrap()
    assert len(shop.rows("bills")) == 40_003


def test_it_ends_with_its_parent(shop: Captured, tmp_path: Path) -> None:
    """kill -9 of the parent leaves no capture process behind, and the log is free again."""
    words = f"""
import sys, time
from pathlib import Path
from tests.captured import Captured
from ringup.local_postgres import LocalPostgres
server = LocalPostgres(Path({str(shop.postgres.folder)!r}), {shop.postgres.port})
shop = Captured(server, Path({str(shop.state)!r}), "shop")
shop.capture.start()
shop.bootstrap()
print(shop.capture.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    child.wait(PATIENCE)
    shop.capture.start()
    add_bills(shop, 10, 1)
    shop.read_until(lambda: 10 in shop.rows("bills"))
