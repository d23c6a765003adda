"""Who is due when: the kept table `ringup.due`, and the earliest time in it, so that to ask for that costs nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from transforms.project import CLOCK, Project
from transforms.stage import TOUCHED_ROWS
from transforms.warehouse import Warehouse

LONG_AGO = datetime.min.replace(tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)
DUE = "live.ringup.due"


class Timers:
    """The due times. `upcoming` is never later than the earliest of them; it may be earlier, as some were taken out."""

    def __init__(self, warehouse: Warehouse, project: Project) -> None:
        self._warehouse, self._any = warehouse, project.timer is not None
        warehouse.undone.append(self.forget)
        self.forget()

    def forget(self) -> None:
        """What is stored may be anything now."""
        self.upcoming = LONG_AGO if self._any else NEVER
        self._now = LONG_AGO

    def noted(self, rows: pa.Table) -> None:
        """These rows were added to the table."""
        if rows.num_rows:
            self.upcoming = min(self.upcoming, *rows.column("due_at").to_pylist())

    def move(self, now: datetime) -> pa.Table:
        """Move the clock to `now`, in the caller's transaction; returns who is due by then, and since when.

        The clock never goes back, though the machine's may.
        """
        nobody = TOUCHED_ROWS.empty_table()
        if self._now is LONG_AGO:
            row = self._warehouse.row(f"select as_of from live.{CLOCK}")
            assert row is not None
            self._now = row[0]
        if now <= self._now:
            return nobody
        self._warehouse.con.execute(f"update live.{CLOCK} set as_of = ?", [now])
        self._now = now
        if now < self.upcoming:
            return nobody
        due = self._warehouse.arrow(
            f"select profile_id, due_at as committed_at from {DUE} where due_at <= ?", [now]
        ).cast(TOUCHED_ROWS)
        row = self._warehouse.row(f"select min(due_at) from {DUE} where due_at > ?", [now])
        self.upcoming = row[0] if row and row[0] is not None else NEVER
        return due


def with_due(touched: pa.Table, due: pa.Table) -> pa.Table:
    """Both, each profile once, with the oldest of its times."""
    both = (
        pa.concat_tables([touched, due]).group_by("profile_id", use_threads=False).aggregate([("committed_at", "min")])
    )
    return both.rename_columns(TOUCHED_ROWS.names).cast(TOUCHED_ROWS)
