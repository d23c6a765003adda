"""A project made by `ringup init`, as a newcomer runs it: real database, real processes, real webhook."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ringup import service
from ringup.demo.inbox import Message
from ringup.demo.receiver import Receiver, make_secret
from ringup.local_postgres import LocalPostgres

WAIT = 60.0
PAST = "insert into customers values (1, 'Ann', 'ann@example.com'), (2, 'Bob', null);" + (
    "insert into orders select n, 1, 10 from generate_series(1, 4) as n"
)


@dataclass
class Shop:
    """What the tests share: the project's folder and environment, the running process, and what came."""

    folder: Path
    environ: dict[str, str]
    postgres: LocalPostgres
    came: queue.SimpleQueue[Message]
    process: subprocess.Popen[str] | None = None

    def ringup(self, *args: str) -> subprocess.CompletedProcess[str]:
        """A command on the project, to its end."""
        return subprocess.run(self._command(*args), capture_output=True, text=True, env=self.environ, check=False)

    def answer(self, *args: str) -> Any:
        """What a command says with --json, when all is well."""
        done = self.ringup(*args, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def start(self) -> subprocess.Popen[str]:
        """`ringup run`, once it is live."""
        self.process = process = subprocess.Popen(
            self._command("run"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environ
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.rstrip().endswith("live"):
                return process
        pytest.fail(process.communicate(timeout=WAIT)[1])

    def order(self, number: int, customer: int) -> None:
        """Somebody buys."""
        with psycopg.connect(self.postgres.dsn("shop")) as connection:
            connection.execute("insert into orders values (%s, %s, 12.5)", (number, customer))

    def texts(self, count: int) -> set[str]:
        """The texts of the next messages."""
        return {self.came.get(timeout=WAIT).data["text"] for _ in range(count)}

    def _command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "ringup", *args, "--project", str(self.folder)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A project fresh from `ringup init`, and the database and the receiver that its README asks for."""
    home = tmp_path_factory.mktemp("starter")
    folder = home / "my-shop"
    subprocess.run([sys.executable, "-m", "ringup", "init", str(folder)], check=True)
    tables = re.search(r"```sql\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert tables is not None
    came: queue.SimpleQueue[Message] = queue.SimpleQueue()
    secret = make_secret()
    postgres = LocalPostgres(home / "postgres")
    postgres.start()
    try:
        postgres.create_database("shop")
        with psycopg.connect(postgres.dsn("shop")) as connection:
            connection.execute(tables[1] + PAST)
        with Receiver(home / "inbox.db", secret, came.put) as receiver:
            environ = {
                **os.environ,
                "SHOP_HOST": "127.0.0.1",
                "SHOP_PORT": str(postgres.port),
                "SHOP_USER": postgres.user,
                "SHOP_PASSWORD": postgres.password,
                "SHOP_DATABASE": "shop",
                "WEBHOOK_URL": receiver.url,
                "WEBHOOK_SECRET": secret,
            }
            shop = Shop(folder, environ, postgres, came)
            try:
                yield shop
            finally:
                if shop.process is not None:
                    shop.process.kill()
                    shop.process.communicate()
    finally:
        postgres.stop()


def test_an_order_becomes_its_messages(shop: Shop) -> None:
    """The past is silent; the fifth order of a customer thanks her and makes her a regular."""
    shop.start()
    shop.order(5, customer=1)
    assert shop.texts(2) == {"Thank you, Ann: 12.50 well spent.", "Ann, your order number 5 makes you a regular."}
    assert shop.came.empty()


def test_questions_are_answered_while_it_runs(shop: Shop) -> None:
    """status, profile and prove ask the running process."""
    assert shop.answer("status")["state"] == "live"
    profile = shop.answer("profile", "1")
    assert profile["segments"]["regulars"]["orders"] == 5
    assert len(profile["messages"]) == 2
    assert shop.answer("prove")["differ"] == 0
    assert "0 rows differ" in shop.ringup("prove").stdout
    assert "Thank you, Ann" in shop.ringup("profile", "1").stdout


def test_nobody_has_an_unknown_id(shop: Shop) -> None:
    """A profile that no model knows is exit status 1."""
    done = shop.ringup("profile", "77")
    assert (done.returncode, done.stdout) == (1, "No model knows a profile 77.\n")


def test_a_second_run_is_refused(shop: Shop) -> None:
    """One process may have a project; the second one learns which."""
    assert shop.process is not None
    done = shop.ringup("run")
    assert done.returncode == 3
    assert f"process {shop.process.pid} has this project already" in done.stderr


def test_ctrl_c_stops_in_order_and_the_answers_stay(shop: Shop) -> None:
    """After Ctrl-C nothing runs, the exit status is 0, and the same questions have the same answers."""
    assert shop.process is not None
    before = shop.answer("profile", "1")
    shop.process.send_signal(signal.SIGINT)
    out, err = shop.process.communicate(timeout=WAIT)
    assert shop.process.returncode == 0, err
    assert err == ""
    assert out.splitlines()[-1].endswith("stopped")
    with pytest.raises(service.NotRunning):
        service.ask(shop.folder / ".ringup", "status")
    assert shop.answer("profile", "1") == before
    assert shop.answer("status")["state"] == "stopped"
    assert shop.answer("prove")["differ"] == 0


def test_what_happened_meanwhile_is_told_after_the_next_start(shop: Shop) -> None:
    """An order that came while nothing ran has its message; nothing is told twice."""
    shop.order(6, customer=2)
    began = time.monotonic()
    process = shop.start()
    assert shop.texts(1) == {"Thank you, Bob: 12.50 well spent."}
    assert time.monotonic() - began < WAIT
    process.terminate()
    process.communicate(timeout=WAIT)
    assert process.returncode == 0
    assert shop.came.empty()
