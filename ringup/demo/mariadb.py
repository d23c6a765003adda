"""The western stores' till system in a MariaDB of its own, as the demo has it where Kafka Connect captures it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pymysql

from ringup.demo.year import Year
from ringup.local_mariadb import LocalMariaDB
from ringup.started import Started

_SQL = Path(__file__).parent


class WestMariaDB(Started):
    """The server in `folder`; the database `west` is in it once it was loaded."""

    def __init__(self, folder: Path) -> None:
        self.server = LocalMariaDB(folder)

    def start(self) -> Self:
        """Start it."""
        self.server.start()
        return self

    def stop(self) -> None:
        """Stop it."""
        self.server.stop()

    def connect(self) -> Any:
        """A connection as the tills have one."""
        return pymysql.connect(
            host=self.server.host,
            port=self.server.port,
            user=self.server.user,
            password=self.server.password,
            connect_timeout=5,
            autocommit=False,
        )

    @property
    def environ(self) -> dict[str, str]:
        """The variables that its connector refers to."""
        return {
            "WEST_HOST": self.server.host,
            "WEST_PORT": str(self.server.port),
            "WEST_USER": self.server.user,
            "WEST_PASSWORD": self.server.password,
        }

    def followed(self) -> bool:
        """Whether its changes are being read at this moment."""
        return "Binlog Dump" in self.server.execute("select command from information_schema.processlist")

    def load(self, year: Year, tables: Sequence[str], loaded: Callable[[str, int], None]) -> None:
        """Load the past in one transaction; `loaded` is told a table's name and how many more rows are there."""
        self.server.execute("drop database if exists west")  # of a loading that was interrupted
        self.server.execute((_SQL / "west.sql").read_text())
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                for table in tables:
                    for block in year.blocks(table):
                        marks = ", ".join(["%s"] * len(block[0]))
                        cursor.executemany(f"insert into {table} values ({marks})", block)
                        loaded(table, len(block))
            connection.commit()
        finally:
            connection.close()
