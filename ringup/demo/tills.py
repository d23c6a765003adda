"""The shop's two till systems as the replay writes to them, each in its own way."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pymysql

from ringup.demo.year import Bill

AWAY = (
    *(psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.UniqueViolation),
    *(pymysql.OperationalError, pymysql.InterfaceError, pymysql.IntegrityError),
)
"""What a till raises when its database went away, or had taken the bill when the answer was lost."""


def _statements(name: str) -> list[str]:
    return [part.strip() for part in (Path(__file__).parent / name).read_text().split(";")]


class Till(ABC):
    """One till system, by a connection that is made when it is needed. For one thread.

    `numbers` is the table and the columns of a bill's place in the year and of its number in the system.
    """

    name: ClassVar[str]
    numbers: ClassVar[tuple[str, str, str]]

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._new = connect
        self._connection: Any = None

    def write(self, bill: Bill) -> None:
        """Write a bill in one transaction. After an error, `disconnect` undoes what there is of it."""
        connection = self._connect()
        with connection.cursor() as cursor:
            self._insert(cursor, bill)
        connection.commit()

    @abstractmethod
    def _insert(self, cursor: Any, bill: Bill) -> None: ...

    def is_there(self) -> bool:
        """Whether its tables are there."""
        schema, table = self.numbers[0].split(".")
        asked = "select 1 from information_schema.tables where table_schema = %s and table_name = %s"
        return bool(self._ask(asked, schema, table))

    def has(self, bill: Bill) -> bool:
        """Whether the bill is there, and so whole."""
        table, number, _ = self.numbers
        return bool(self._ask(f"select 1 from {table} where {number} = %s", bill.number))

    def last(self) -> int:
        """The place in the year of the last bill, 0 without one."""
        table, number, _ = self.numbers
        return int(self._ask(f"select coalesce(max({number}), 0) from {table}")[0][0])

    def events_after(self, number: int) -> set[str]:
        """The bills after that place in the year, as the models name them: `pos-31198459`."""
        table, place, bill = self.numbers
        return {f"{self.name}-{row[0]}" for row in self._ask(f"select {bill} from {table} where {place} > %s", number)}

    def disconnect(self) -> None:
        """Release the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _ask(self, sql: str, *values: object) -> Sequence[Any]:
        connection = self._connect()
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            rows: Sequence[Any] = cursor.fetchall()
        connection.commit()
        return rows

    def _connect(self) -> Any:
        if self._connection is None:
            self._connection = self._new()
        return self._connection


class PosTill(Till):
    """The till system of most stores: a bill with its lines, and its points in a ledger."""

    name = "pos"
    numbers = ("pos.points_ledger", "entry_id", "bill_id")
    _bill, _lines, _points, _coupons = _statements("pos_bill.sql")

    def _insert(self, cursor: Any, bill: Bill) -> None:
        coupons = {name: values or [] for name, values in bill.coupons.items()}
        values = {**_head(bill), **bill.lines, **coupons}
        for statement in (self._bill, self._lines, self._points, *([self._coupons] if coupons["coupon_upc"] else [])):
            cursor.execute(statement, values, prepare=True)


class WestTill(Till):
    """The till system of the western stores: a receipt with its points, and its items. In PostgreSQL or MariaDB."""

    name = "west"
    numbers = ("west.receipt", "receipt_no", "receipt_no")
    _receipt, _items, _coupons = _statements("west_bill.sql")

    def _insert(self, cursor: Any, bill: Bill) -> None:
        head = {**_head(bill), "now_ms": time.time_ns() // 1_000_000}
        cursor.execute(self._receipt, head)
        cursor.executemany(self._items, [head | line for line in _rows(bill.lines)])
        if coupons := [
            head | coupon | {"receipt_no": bill.number if coupon["is_of_bill"] else None}
            for coupon in _rows(bill.coupons)
        ]:
            cursor.executemany(self._coupons, coupons)


def _head(bill: Bill) -> dict[str, Any]:
    return {
        "number": bill.number,
        "bill_id": bill.bill_id,
        "store_id": bill.store_id,
        "card": bill.card,
        "total": bill.total,
        "discount": bill.discount,
        "points": bill.points,
    }


def _rows(columns: Mapping[str, Sequence[Any] | None]) -> Iterator[dict[str, Any]]:
    for row in zip(*(values or () for values in columns.values()), strict=True):
        yield dict(zip(columns, row, strict=True))
