"""A scheduled model in the live state: its rows are those of the version that was published last.

They are exchanged row by row, so it is known whose changed: those are evaluated, and told, as after any other change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ringup.errors import WarehouseError
from transforms.candidates import own_columns
from transforms.decode import literal
from transforms.held import PROFILE, Held
from transforms.project import Model
from transforms.published import Published, Version
from transforms.scope import adopted_fact, kept_name
from transforms.stage import TOUCHED_ROWS
from transforms.warehouse import Warehouse, quoted


@dataclass(frozen=True, slots=True)
class Adopted:
    """What another version changed: rows with their net count in `_net`, and whose they are.

    It is `news` unless it is the first version, or comes of other SQL than the one before.
    """

    changed: pa.Table
    touched: pa.Table
    news: bool


@contextmanager
def attached(warehouse: Warehouse, published: Published) -> Iterator[None]:
    """What is published, as the catalog `published`, for reading only. Raises WarehouseError where it is damaged."""
    try:
        warehouse.con.execute(f"attach {literal(str(published.path))} as published (read_only)")
    except duckdb.Error as error:
        raise WarehouseError(
            f"what a scheduled run published cannot be read: {error}",
            where=str(published.path),
            mend="Publish anew: ringup batch",
        ) from error
    try:
        yield
    finally:
        warehouse.con.execute("detach published")


class Adoption:
    """One scheduled model."""

    def __init__(self, warehouse: Warehouse, model: Model) -> None:
        self.model, self._warehouse = model, warehouse
        self._name = kept_name(model)
        self.held = (
            Held(warehouse, f"select * from {self._name} where {PROFILE} is not null") if model.of_customers else None
        )

    def adopt(self, version: Version | None, now: datetime) -> Adopted | None:
        """Bring the rows to this version, in the caller's transaction; None when it is the one that is there."""
        fact = adopted_fact(self.model)
        before = self._warehouse.fact(fact)
        if version is None or (before is not None and json.loads(before)["run"] == version.run):
            return None
        changed = self._warehouse.arrow(self._changes_sql())
        self._exchange(changed)
        self._warehouse.remember(fact, json.dumps(asdict(version)))
        news = before is not None and json.loads(before)["built_of"] == version.built_of
        rows = own_columns(changed)
        touched = TOUCHED_ROWS.empty_table()
        if self.held is not None:
            profiles = pc.unique(rows.column(PROFILE))
            touched = pa.table([profiles, pa.repeat(pa.scalar(now), len(profiles))], names=TOUCHED_ROWS.names)
            self.held.forget()
        return Adopted(changed, touched.cast(TOUCHED_ROWS), news)

    def _changes_sql(self) -> str:
        names = ", ".join(quoted(column.name) for column in self.model.columns)
        typed = ", ".join(f"{quoted(column.name)}::{column.data_type}" for column in self.model.columns)
        source = quoted("published", self.model.schema, self.model.name)
        mine = f" where {PROFILE} is not null" if self.model.of_customers else ""
        return (
            f"select {names}, sum(_side)::bigint as _net, list(_row) filter (_row is not null) as _rows from ("
            f"select {names}, -1 as _side, rowid as _row from {self._name} union all "
            f"select {typed}, 1, null from {source}{mine}) "
            f"group by {names} having sum(_side) <> 0{f' order by {PROFILE}' if mine else ''}"
        )

    def _exchange(self, changed: pa.Table) -> None:
        """Remove the kept rows that are not in this version, and add those that are new, each as often as it counts."""
        con = self._warehouse.con
        names = ", ".join(quoted(column.name) for column in self.model.columns)
        con.register("exchanged", changed)
        try:
            con.execute(
                f"delete from {self._name} where rowid in (select unnest(_rows[:-_net]) from exchanged where _net < 0)"
            )
            con.execute(
                f"insert into {self._name} ({names}) select {names} from "
                "(select *, unnest(range(_net)) from exchanged where _net > 0)"
            )
        finally:
            con.unregister("exchanged")
