"""A project made by `ringup init`, as a newcomer runs it: real database, real processes, real webhook."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import psycopg
import pytest

from ringup import service
from ringup.demo.cluster import DemoKafka
from ringup.demo.inbox import Account, Inbox, Message
from ringup.demo.receiver import Receiver, make_secret
from ringup.local_postgres import LocalPostgres
from tests.fetched import fetch
from tests.waiting import wait_for

WAIT = 60.0
"""Seconds after which a test gives up: far more than anything takes on a busy machine."""

PAST = "insert into customers values (1, 'Ann', 'ann@example.com'), (2, 'Bob', null);" + (
    "insert into orders select n, 1, 10 from generate_series(1, 4) as n"
)


@dataclass
class Shop:
    """The project's folder and environment, its database, the running process, and what came at the webhook."""

    folder: Path
    environ: dict[str, str]
    postgres: LocalPostgres
    receiver: Receiver
    came: queue.SimpleQueue[Message]
    process: subprocess.Popen[str] | None = None
    numbers: Iterator[int] = field(default_factory=lambda: count(5))
    placed: list[int] = field(default_factory=list)

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / ".ringup"

    @property
    def runs(self) -> bool:
        """Whether `ringup run` runs."""
        return self.process is not None and self.process.poll() is None

    def ringup(self, *args: str, **environ: str | None) -> subprocess.CompletedProcess[str]:
        """A command on the project, to its end, with some variables set otherwise (None: not set)."""
        changed = {name: value for name, value in (self.environ | environ).items() if value is not None}
        return subprocess.run(
            self._command(*args), capture_output=True, text=True, env=changed, check=False, timeout=WAIT
        )

    def answer(self, *args: str) -> Any:
        """What a command says with --json, when all is well."""
        done = self.ringup(*args, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def start(self) -> subprocess.Popen[str]:
        """`ringup run`, once it says that it is live."""
        self.process = process = subprocess.Popen(
            self._command("run"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environ
        )
        self.wait_until("live")
        return process

    def wait_until(self, says: str) -> None:
        """Read what the run says until it says this."""
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.rstrip().endswith(says):
                return
        pytest.fail(self.process.communicate(timeout=WAIT)[1])

    def stop(self) -> None:
        """End the run in order."""
        assert self.process is not None
        self.process.terminate()
        _, err = self.process.communicate(timeout=WAIT)
        assert self.process.returncode == 0, err

    def status(self) -> Any:
        """What the run says of itself."""
        return service.ask(self.state, "status")

    def kill(self) -> None:
        """End what a test left running."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def execute(self, statement: str, *values: object) -> None:
        """Change something in the database."""
        with psycopg.connect(self.postgres.dsn("shop")) as connection:
            connection.execute(statement.encode(), values)

    def order(self, customer: int) -> int:
        """Somebody buys; the order's number."""
        number = next(self.numbers)
        self.execute("insert into orders values (%s, %s, 12.5)", number, customer)
        self.placed.append(number)
        return number

    def in_lake(self, topic: str) -> list[int]:
        """The orders in the lake's files of a topic, in the order of their offsets, which are there once each."""
        files = [str(path) for path in (self.state / "lake" / f"topic={topic}").rglob("*.parquet")]
        rows = duckdb.execute("select _offset, order_id, _op from read_parquet($1) order by 1", [files]).fetchall()
        assert [row[0] for row in rows] == list(range(len(rows)))
        return [row[1] for row in rows if row[2] in ("c", "r")]

    def texts(self, count: int) -> set[str]:
        """The texts of the next messages."""
        return {self.came.get(timeout=WAIT).data["text"] for _ in range(count)}

    def account(self) -> Account:
        """Whether each order has its one thank-you."""
        with closing(Inbox(self.folder.parent / "inbox.db")) as inbox:
            return inbox.account("thank_you", {str(number) for number in self.placed})

    def wait_until_all_is_told(self) -> None:
        """Until each order has its message; none has two."""
        eventually(lambda: not self.account().missing)
        assert not self.account().doubled

    @contextmanager
    def webhook_down(self) -> Iterator[None]:
        """Nobody listens at the webhook meanwhile."""
        self.receiver.stop()
        try:
            yield
        finally:
            inbox, port = self.folder.parent / "inbox.db", urlsplit(self.receiver.url).port or 0
            self.receiver = Receiver(inbox, self.environ["WEBHOOK_SECRET"], self.came.put, port).start()

    def _command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "ringup", *args, "--project", str(self.folder)]


def eventually(true: Callable[[], Any]) -> Any:
    """The first answer that is true; the test fails when there is none in time."""
    return wait_for(true, WAIT)


def database_of(postgres: LocalPostgres) -> dict[str, str]:
    """The variables that name the database `shop`."""
    return postgres.environ("shop")


@contextmanager
def starter_shop(home: Path, log: str = "own log") -> Iterator[Shop]:
    """A project fresh from `ringup init`, with a server for the database and the receiver that its README asks for.

    Where its change log is on `kafka`, there are a broker and a Connect worker, too, and the connector applied to it.
    """
    if log == "kafka":
        fetch("broker", "connect", "debezium-postgres", "debezium-mariadb")
    folder = home / "my-shop"
    subprocess.run([sys.executable, "-m", "ringup", "init", str(folder)], check=True)
    tables = re.search(r"```sql\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert tables is not None
    came: queue.SimpleQueue[Message] = queue.SimpleQueue()
    secret = make_secret()
    with ExitStack() as stack:
        postgres = stack.enter_context(LocalPostgres(home / "postgres"))
        postgres.create_database("shop")
        with psycopg.connect(postgres.dsn("shop")) as connection:
            connection.execute((tables[1] + PAST).encode())
        receiver = Receiver(home / "inbox.db", secret, came.put).start()
        environ = {
            **os.environ,
            **database_of(postgres),
            "WEBHOOK_URL": receiver.url,
            "WEBHOOK_SECRET": secret,
        }
        shop = Shop(folder, environ, postgres, receiver, came)
        stack.callback(lambda: shop.receiver.stop())
        with (folder / "ringup.yml").open("a") as file:
            file.write("lake: {every: 500ms}\n")
        if log == "kafka":
            cluster = stack.enter_context(DemoKafka(home, environ))
            with (folder / "ringup.yml").open("a") as file:
                file.write(f"kafka: {json.dumps(cluster.settings)}\n")
            applied = shop.ringup("connectors", "apply")
            assert applied.returncode == 0, applied.stderr
        stack.callback(shop.kill)
        yield shop
