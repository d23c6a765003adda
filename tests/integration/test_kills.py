"""Nothing lost, nothing twice: the whole pipeline on real parts, killed again and again while bills are rung up."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import duckdb
import psutil
import psycopg
import pytest

from ringup.config import load_config
from ringup.demo.cluster import DemoKafka
from ringup.demo.estate import DemoEstate
from ringup.demo.inbox import Inbox
from ringup.demo.process import RunProcess
from ringup.demo.receiver import Receiver, make_secret
from ringup.demo.replay import Replay
from ringup.demo.run import BILL_MESSAGE, write_project
from ringup.rebuilding import rebuild
from transforms.lake import Lake

KILLS = 21
SPEED = 12.0

ROWS = {
    "pos.bills": "select bill_id, store_id, till_id, loyalty_card, sold_at, total, discount from {}",
    "pos.bill_lines": "select bill_id, line_no, product_id, quantity, amount, retail_discount from {}",
    "pos.points_ledger": "select entry_id, bill_id, loyalty_card, points, reason, booked_at from {}",
    "west.receipt": "select receipt_no, branch_no, status, card_no, rung_up_ms, paid_cents, points_given from {}",
    "west.receipt_item": "select receipt_no, item_no, article_no, units, status, paid_cents from {}",
    "crm.members": "select member_id, loyalty_card, west_card, email, birthday, time_zone, joined_at from {}",
    "crm.consents": "select member_id, channel, granted, changed_at from {}",
}


def wait_for(what: str, ready: Callable[[], Any], patience: float = 120.0) -> Any:
    """The first true answer of `ready`; the test fails when there is none in time."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if answer := ready():
            return answer
        time.sleep(0.05)
    pytest.fail(f"{what} did not happen within {patience:g} s")


class Shop:
    """A shop that sells: databases, receiver and `ringup run`, all of them real."""

    def __init__(self, folder: Path, stack: ExitStack, *, kafka: bool) -> None:
        self.folder = folder
        self.estate = stack.enter_context(DemoEstate(folder, past_days=2, mariadb=kafka))
        self.estate.load()
        secret = make_secret()
        receiver = stack.enter_context(Receiver(folder / "inbox.db", secret, lambda message: None))
        environ = {**self.estate.environ, "WEBHOOK_URL": receiver.url, "WEBHOOK_SECRET": secret}
        self.cluster = DemoKafka(folder, self.estate.environ).start() if kafka else None
        write_project(folder, self.cluster)
        if self.cluster is not None:
            stack.callback(self.cluster.stop)
            self.cluster.apply(folder, environ)
        self.run = RunProcess(folder, environ)
        stack.callback(self.run.stop)
        self.inbox = stack.enter_context(closing(Inbox(folder / "inbox.db")))
        self.run.start()
        assert self.run.wait_until_live(threading.Event(), lambda status: None)

    def kill_run(self) -> None:
        """`ringup run` dies at once; whoever watches it starts it again."""
        psutil.Process(self.run.pid).kill()
        wait_for("the restart", self.run.check)
        wait_for("the run's answer", lambda: self.run.ask("status"))

    def kill_capture(self) -> None:
        """The capture process dies at once, and the run starts it again; or the Connect worker, and we do."""
        if self.cluster is None:
            wait_for("a capture process", self._capture).kill()
        else:
            self.cluster.worker.kill()
            self.cluster.worker.start()

    def kill_broker(self) -> None:
        """The broker dies at once, and is started again."""
        assert self.cluster is not None
        self.cluster.broker.kill()
        self.cluster.broker.start()

    def kill_postgres(self) -> None:
        """The database server crashes and is started again."""
        self.estate.postgres.kill()
        self.estate.postgres.start()

    def _capture(self) -> psutil.Process | None:
        for child in psutil.Process(self.run.pid).children():
            if "connectors.engine" in child.cmdline():
                return child
        return None

    def source_state(self) -> str:
        """What the run says of the tills' source."""
        status = self.run.ask("status")
        return str(status["sources"]["pos"]["state"]) if status is not None else "unknown"

    def unanswered(self) -> frozenset[str]:
        """Bills without their message."""
        return self.inbox.account(BILL_MESSAGE, self.estate.replayed()).missing


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop that is live, with two days of past, and the change log that ringup keeps."""
    with ExitStack() as stack:
        yield Shop(tmp_path, stack, kafka=False)


@pytest.fixture
def kafka_shop(tmp_path: Path, kafka_jars: None) -> Iterator[Shop]:
    """The same by way of Kafka."""
    with ExitStack() as stack:
        yield Shop(tmp_path, stack, kafka=True)


def test_no_bill_is_lost_or_told_twice_when_anything_is_killed_at_any_moment(shop: Shop) -> None:
    """21 kills of the run, the capture process and Postgres: each bill has one message, and both clocks agree."""
    kill_again_and_again(shop, [shop.kill_run, shop.kill_capture, shop.kill_postgres] * (KILLS // 3))


@pytest.mark.slow
def test_no_bill_is_lost_or_told_twice_on_kafka_when_anything_is_killed_at_any_moment(kafka_shop: Shop) -> None:
    """Kills of the run, the Connect worker, the broker and Postgres: the same."""
    shop = kafka_shop
    kill_again_and_again(shop, [shop.kill_run, shop.kill_capture, shop.kill_broker, shop.kill_postgres] * 3)


@pytest.mark.slow
def test_a_worker_that_starts_while_the_database_is_away_goes_on_when_that_is_back(kafka_shop: Shop) -> None:
    """Debezium tries again, or its task fails, by the moment; Kafka Connect leaves it at that, and ringup does not."""
    shop = kafka_shop
    assert shop.cluster is not None
    shop.estate.postgres.kill()
    shop.cluster.worker.kill()
    shop.cluster.worker.start()
    wait_for("the start of the task", lambda: shop.source_state() in ("failed", "streaming"))
    shop.estate.postgres.start()
    wait_for("the source's return", lambda: shop.source_state() == "streaming")
    sold = Replay(shop.estate.tills, shop.estate.year, SPEED).run(20)
    wait_for("a message for every bill", lambda: not shop.unanswered())
    account = shop.inbox.account(BILL_MESSAGE, shop.estate.replayed())
    assert (sold, account.missing, account.doubled) == (20, frozenset(), frozenset())


def kill_again_and_again(shop: Shop, victims: list[Callable[[], None]]) -> None:
    """Kill them at random moments of a replay, in a random order, and look that nothing is lost and nothing doubled.

    Neither in the messages and the mirror, nor in the lake and what is built from it.
    """
    dice = random.Random(20261123)
    dice.shuffle(victims)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        replay = Replay(shop.estate.tills, shop.estate.year, SPEED, patience=120)
        selling = thread.submit(replay.run, None, stop)
        try:
            for kill in victims:
                stop.wait(dice.uniform(0.2, 2.5))  # the random moment: nothing is awaited here
                assert not selling.done()
                kill()
        finally:
            stop.set()
        sold = selling.result()
    bills = shop.estate.replayed()
    assert len(bills) == sold
    wait_for("a message for every bill", lambda: not shop.unanswered(), patience=240)
    wait_for("the end of the log", lambda: (shop.run.ask("status") or {"lag": 1})["lag"] == 0)
    account = shop.inbox.account(BILL_MESSAGE, bills)
    assert (account.missing, account.doubled) == (frozenset(), frozenset())
    proof = wait_for("a proof", lambda: shop.run.ask("prove"))
    assert proof["differ"] == 0, proof
    shop.run.stop()
    assert Lake(shop.folder / "lake").verify() == []
    assert differing(shop) == []
    rebuild(load_config(shop.folder, {}, channels=False), lambda done, whole: None)
    assert differing(shop) == []


def differing(shop: Shop) -> list[str]:
    """The tables whose mirror is not what the source has."""
    state = shop.folder / "live.duckdb"
    return [name for name, sql in ROWS.items() if mirrored(state, name, sql) != source(shop.estate, name, sql)]


def mirrored(path: Path, relation: str, sql: str) -> list[tuple[Any, ...]]:
    """The mirror's rows of a table, with each row's numbers and times as the source would give them."""
    schema, name = relation.split(".")
    parts = " union all ".join(
        f'select * from live."{schema}"."{part}" where not _deleted' for part in (name, f"{name} tail")
    )
    with duckdb.connect() as con:
        con.execute(f"attach '{path}' as live (read_only)")
        con.execute("set timezone = 'UTC'")
        return sorted(con.execute(sql.format(f"({parts})")).fetchall())


def source(estate: DemoEstate, relation: str, sql: str) -> list[tuple[Any, ...]]:
    """The source's rows of a table."""
    database = relation.split(".")[0]
    if database == "west" and estate.mariadb is not None:
        with estate.mariadb.connect() as con, con.cursor() as cursor:
            cursor.execute(sql.format(relation))
            return sorted(cursor.fetchall())
    with psycopg.connect(estate.dsn(database)) as con:
        con.execute("set timezone = 'UTC'")
        return sorted(con.execute(sql.format(relation)).fetchall())
