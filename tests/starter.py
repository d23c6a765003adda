"""A project made by `ringup init`, as a newcomer runs it: real database, real processes, real webhook."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ringup.demo.inbox import Message
from ringup.demo.receiver import Receiver, make_secret
from ringup.local_postgres import LocalPostgres

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
    came: queue.SimpleQueue[Message]
    process: subprocess.Popen[str] | None = None
    numbers: Iterator[int] = field(default_factory=lambda: count(5))

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

    def start(self, says: str = "live", **environ: str) -> subprocess.Popen[str]:
        """`ringup run`, once it says that it is live, or something else that is waited for."""
        self.process = process = subprocess.Popen(
            self._command("run"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ | environ,
        )
        self.wait_until(says)
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

    def kill(self) -> None:
        """End what a test left running."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def execute(self, statement: str, *values: object) -> None:
        """Change something in the database."""
        with psycopg.connect(self.postgres.dsn("shop")) as connection:
            connection.execute(statement.encode(), values)

    def order(self, customer: int, total: str = "12.5") -> int:
        """Somebody buys; the order's number."""
        number = next(self.numbers)
        self.execute("insert into orders values (%s, %s, %s)", number, customer, total)
        return number

    def texts(self, count: int) -> set[str]:
        """The texts of the next messages."""
        return {self.came.get(timeout=WAIT).data["text"] for _ in range(count)}

    def orders_told(self, count: int) -> list[int]:
        """The orders that the next messages thank for, in the order of their arrival."""
        thanks: list[int] = []
        while len(thanks) < count:
            message = self.came.get(timeout=WAIT)
            if message.type == "thank_you":
                thanks.append(int(message.event_id))
        return thanks

    def _command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "ringup", *args, "--project", str(self.folder)]


@contextmanager
def starter_shop(home: Path, postgres: LocalPostgres) -> Iterator[Shop]:
    """A project fresh from `ringup init`, and the database and the receiver that its README asks for."""
    folder = home / "my-shop"
    subprocess.run([sys.executable, "-m", "ringup", "init", str(folder)], check=True)
    tables = re.search(r"```sql\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert tables is not None
    came: queue.SimpleQueue[Message] = queue.SimpleQueue()
    secret = make_secret()
    postgres.create_database("shop")
    with psycopg.connect(postgres.dsn("shop")) as connection:
        connection.execute((tables[1] + PAST).encode())
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
            shop.kill()
