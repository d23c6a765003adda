"""The western stores' till system in a MariaDB of its own, as the demo has it where Kafka Connect captures it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pymysql

from ringup.demo.year import Year
from ringup.local_mariadb import LocalMariaDB

_SQL = Path(__file__).parent


class WestMariaDB(LocalMariaDB):
    """The server in a folder; the database `west` is in it once it was loaded."""

    def connect(self) -> Any:
        """A connection as the tills have one."""
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            connect_timeout=5,
            autocommit=False,
        )

    def followed(self) -> bool:
        """Whether its changes are being read at this moment."""
        return "Binlog Dump" in self.execute("select command from information_schema.processlist")

    def load(self, year: Year, tables: Sequence[str], loaded: Callable[[str, int], None]) -> None:
        """Load the past in one transaction; `loaded` is told a table's name and how many more rows are there."""
        self.execute("drop database if exists west")  # of a loading that was interrupted
        self.execute((_SQL / "west.sql").read_text())
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
