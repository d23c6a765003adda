"""The sale: the bills after the past, in their true order, each one transaction in the till system of its store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from itertools import islice

from ringup.demo.tills import AWAY, Till
from ringup.demo.year import Bill, Year
from ringup.errors import SourceError

_LATE = 1.0
_RETRY = 0.2


class Replay:
    """Writes bills to the till systems at `speed` bills per second; 0 is as fast as the databases take them.

    It carries on after the last bill in them. When a database goes away, it waits up to `patience` seconds for its
    return and looks whether its last transaction was committed, so no bill is lost or written twice.
    """

    def __init__(self, tills: Iterable[Till], year: Year, speed: float = 50.0, patience: float = 60.0) -> None:
        self._tills = {till.name: till for till in tills}
        self._year, self._speed, self._patience = year, speed, patience

    def run(
        self,
        bills: int | None = None,
        stop: threading.Event | None = None,
        on_bill: Callable[[Bill], None] = lambda bill: None,
    ) -> int:
        """Write `bills` bills (None: all there are) or until `stop`; says how many. `on_bill` hears of each commit.

        Raises SourceError when a database does not come back in time.
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
        """The place in the year of the last bill in the databases."""
        try:
            return max(till.last() for till in self._tills.values())
        finally:
            self._disconnect()

    def _write(self, bill: Bill, stop: threading.Event) -> bool:
        """Whether the bill is in the database; it is not when `stop` came while the database was away."""
        till = self._tills[bill.till]
        deadline: float | None = None
        while True:
            try:
                if deadline is None or not till.has(bill):
                    till.write(bill)
                return True
            except AWAY as error:
                till.disconnect()
                deadline = deadline or time.monotonic() + self._patience
                if time.monotonic() > deadline:
                    raise SourceError(
                        f"the database of the tills ({bill.till}) stays away: {str(error).strip()}",
                        mend="start it again; the next replay carries on with the same bill",
                    ) from error
            if stop.wait(_RETRY):
                return False

    def _disconnect(self) -> None:
        for till in self._tills.values():
            till.disconnect()


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
