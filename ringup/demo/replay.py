"""The tills: the bills after the past, in their true order, each one transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

from ringup.demo.year import Bill, Year
from ringup.errors import SourceError

_BILL, _LINES, _POINTS, _COUPONS = (
    statement.strip().encode() for statement in (Path(__file__).parent / "replay.sql").read_text().split(";")
)
_LATE = 1.0
_RETRY = 0.2


class Replay:
    """Writes bills to the database `dsn` at `speed` bills per second; 0 is as fast as the database takes them.

    It carries on after the last bill in the database. When the database goes away, it waits up to `patience` seconds
    for its return and looks whether its last transaction was committed, so no bill is lost or written twice.
    """

    def __init__(self, dsn: str, year: Year, speed: float = 50.0, patience: float = 60.0) -> None:
        self._dsn, self._year, self._speed, self._patience = dsn, year, speed, patience
        self._connection: psycopg.Connection[Any] | None = None

    def run(
        self,
        bills: int | None = None,
        stop: threading.Event | None = None,
        on_bill: Callable[[Bill], None] = lambda bill: None,
    ) -> int:
        """Write `bills` bills (None: all there are) or until `stop`; says how many. `on_bill` hears of each commit.

        Raises SourceError when the database does not come back in time.
        """
        stop = stop or threading.Event()
        written = 0
        try:
            pace = _Pace(self._speed)
            for bill in islice(self._year.after(self.position()), bills):
                if not pace.wait(stop) or not self._write(bill, stop):
                    break
                written += 1
                on_bill(bill)
        finally:
            self._disconnect()
        return written

    def position(self) -> int:
        """The number of the last bill in the database."""
        with psycopg.connect(self._dsn) as connection:
            row = connection.execute("select coalesce(max(entry_id), 0) from pos.points_ledger").fetchone()
        return int(row[0]) if row else 0

    def _write(self, bill: Bill, stop: threading.Event) -> bool:
        """Whether the bill is in the database; it is not when `stop` came while the database was away."""
        deadline: float | None = None
        while True:
            try:
                if deadline is None or not self._is_there(bill):
                    self._transaction(bill)
                return True
            except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.UniqueViolation) as error:
                self._disconnect()
                deadline = deadline or time.monotonic() + self._patience
                if time.monotonic() > deadline:
                    raise SourceError(
                        f"the tills' database stays away: {str(error).strip()}",
                        mend="start it again; the next replay carries on with the same bill",
                    ) from error
            if stop.wait(_RETRY):
                return False

    def _transaction(self, bill: Bill) -> None:
        lines, coupons = dict(bill.lines), {name: values or [] for name, values in bill.coupons.items()}
        values: dict[str, Any] = {
            "number": bill.number,
            "store_id": bill.store_id,
            "loyalty_card": bill.loyalty_card,
            "total": bill.total,
            "discount": bill.discount,
            "points": bill.points,
            **lines,
            **coupons,
            "bill_id": bill.bill_id,
            "coupon_bill_id": coupons["bill_id"],
        }
        connection = self._connect()
        with connection.transaction():
            for statement in (_BILL, _LINES, _POINTS, *([_COUPONS] if coupons["redemption_id"] else [])):
                connection.execute(statement, values, prepare=True)

    def _is_there(self, bill: Bill) -> bool:
        found = self._connect().execute("select from pos.bills where bill_id = %s", [bill.bill_id])
        return found.fetchone() is not None

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=5)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Pace:
    """Bills at even distances. After a pause it goes on from now: shops do not hurry to catch up."""

    def __init__(self, speed: float) -> None:
        self._every = 1 / speed if speed > 0 else 0.0
        self._next = time.monotonic()

    def wait(self, stop: threading.Event) -> bool:
        """Wait for the next one's time; False when `stop` came."""
        now = time.monotonic()
        if now - self._next > _LATE:
            self._next = now
        stopped = stop.wait(self._next - now) if self._next > now else stop.is_set()
        self._next += self._every
        return not stopped
