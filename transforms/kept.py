"""The table in which a continuous model's rows are kept, and the ways in which they are read and changed."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from transforms.held import PROFILE, Held
from transforms.inbox import shown
from transforms.project import Model
from transforms.scope import TOUCHED, kept_name
from transforms.warehouse import Warehouse, quoted


class Kept:
    """The kept rows of one model.

    `comparable` says whether they can be compared in memory: nested values cannot, and profiles are found as bigint.
    """

    def __init__(self, warehouse: Warehouse, model: Model) -> None:
        self.name = kept_name(model)
        self.columns = warehouse.columns(self.name)
        self.comparable = comparable(self.columns.values()) and self.columns[PROFILE] == "BIGINT"
        self._held = Held(warehouse, f"select * from {self.name} where {PROFILE} is not null")
        self._touched = warehouse.question(f"select * from {self.name} where {TOUCHED}")
        gone, new = quoted("temp", "main", f"gone {model.relation}"), quoted("temp", "main", f"new {model.relation}")
        names = ", ".join(quoted(name) for name in self.columns)
        self._gone = shown(warehouse.con, gone, {"place": "bigint"}, f"arriving gone {model.relation}")
        self._new = shown(warehouse.con, new, self.columns, f"arriving new {model.relation}")
        self._delete = warehouse.order(f"delete from {self.name} where rowid in (select place from {gone})")
        self._delete_of = warehouse.order(f"delete from {self.name} where {PROFILE} in (select place from {gone})")
        self._insert = warehouse.order(f"insert into {self.name} select {names} from {new}")

    def of(self, touched: pa.ChunkedArray) -> pa.Table:
        """The rows of the touched profiles."""
        held = self._held.of(touched)
        return self._touched() if held is None else held

    def renew(self, profiles: pa.Array, rows: pa.Table) -> None:
        """Remove all rows of these profiles, and add `rows`."""
        if len(profiles):
            self._gone.table = pa.table({"place": profiles})
            self._delete_of()
            self._held.remove(profiles)
        self._held.add(rows)
        self._add(rows)

    def exchange(self, places: pa.Array, rows: pa.Table) -> None:
        """Remove the rows in these places (DuckDB's `rowid`), and add `rows`."""
        self._held.forget()
        if len(places):
            self._gone.table = pa.table({"place": places})
            self._delete()
        self._add(rows)

    def _add(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self._new.table = rows
            self._insert()


def comparable(kinds: Iterable[str]) -> bool:
    """Whether rows of these DuckDB types can be compared in memory: nested values cannot."""
    return not any(kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION", "VARIANT")) for kind in kinds)
