"""Source tables kept current in DuckDB, each row tagged with its profile.

A mirror table is two: a base, clustered by profile, and a tail of what came since. An upsert is delete and insert; a
row that is known to be new is only inserted. A change older than what is stored is dropped: a restart resends, and
nothing may flicker. A deleted row stays as its key, so that a resent older change cannot bring it back.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from connectors.log import Batch
from transforms.decode import TRUNCATED
from transforms.decoding import NUMBERED, Decoder, numbered
from transforms.held import Held
from transforms.identity import Tagging
from transforms.inbox import Inbox
from transforms.parts import base_name, create_parts, parts_of, rows_sql, tail_name
from transforms.project import Table
from transforms.retag import needs_tags, retag
from transforms.shape import Shape
from transforms.stage import Stage, repeats, stage_name, with_column
from transforms.warehouse import Warehouse, quoted

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch changed.

    `touched` has a row for each profile concerned, with the oldest commit that touched it. `everyone` is true when a
    table that is the same for all changed.
    """

    tables: frozenset[str]
    rows: int
    quarantined: int
    everyone: bool
    touched: pa.Table


WARN_EVERY = 10.0
"""Seconds between two warnings of changes of one table that are set aside."""

NEVER = 2**62
"""A position that nothing is above, so that no row of the table is taken for new without looking."""


@dataclass(slots=True)
class _Stored:
    """A mirror table's state that would cost a query to ask."""

    high: int
    """Highest position stored; -1 while the table is empty, NEVER where it may hold rows that the source lost."""
    base: int
    """Rows in the base, as it was clustered."""
    tail: int
    """Rows in the tail."""


class Mirror:
    """Applies batches to the mirror tables. `complete` says that the first snapshots are in: a later one reads anew."""

    def __init__(self, warehouse: Warehouse, tables: tuple[Table, ...]) -> None:
        self.warehouse = warehouse
        for table in tables:
            create_parts(warehouse, table)
        self.retagged = needs_tags(warehouse, tables)
        if self.retagged:
            with warehouse.transaction():
                retag(warehouse, tables)
        self._stages = {table.relation: Stage(warehouse, table) for table in tables}
        self.tagging = Tagging(warehouse, tables, self._stages)
        self.tables = self.tagging.order
        self.decoder = Decoder(tables, warehouse.settings)
        self._insert = {table.relation: warehouse.order(_insert_sql(table)) for table in self.tables}
        self._stored: dict[str, _Stored] = {}
        self.shapes = {table.relation: Shape(table) for table in self.tables}
        self.held = {
            table.relation: Held(warehouse, rows_sql(table, "profile_id is not null"), table.key)
            for table in self.tables
            if table.of_customers
        }
        self.complete = False
        self._warned: dict[str, float] = {}
        self._inbox = Inbox(NUMBERED)
        warehouse.con.register("raw", self._inbox)
        for table in self.tables:
            self.refresh_counts(table)

    def refresh_counts(self, table: Table) -> None:
        """Ask again how many rows the tail holds and how far the table is."""
        row = self.warehouse.row(
            f"select coalesce(max(high), -1), sum(base), sum(tail) from ("
            f"select max(_position) as high, count(*) as base, 0 as tail from {base_name(table)} union all "
            f"select max(_position), 0, count(*) from {tail_name(table)})"
        )
        assert row is not None
        doubted = self.warehouse.fact(f"doubted {table.relation}") is not None
        self._stored[table.relation] = _Stored(NEVER if doubted else int(row[0]), int(row[1]), int(row[2]))

    def doubt(self, table: Table) -> None:
        """Rows may have gone from the source without a word: from now on look before a row is taken for new."""
        self._stored[table.relation].high = NEVER
        self.warehouse.remember(f"doubted {table.relation}", "yes")

    def base_rows(self, table: Table) -> int:
        """Rows that were clustered."""
        return self._stored[table.relation].base

    def tail_rows(self, table: Table) -> int:
        """Rows that wait to be clustered."""
        return self._stored[table.relation].tail

    def apply(self, batch: Batch) -> Applied:
        """Bring the mirror tables to the end of `batch`, in the caller's transaction."""
        self.warehouse.expect(batch.records.num_rows)
        self.tagging.begin()
        records = self._inbox.table = numbered(batch.records)
        topics = set(records.column("topic").unique().to_pylist())
        quarantined, changed = 0, dict[str, int]()
        for table in self.tables:
            if table.topic not in topics and not self.tagging.may_retag(table):
                continue
            if self.complete and batch.snapshot and table.topic in topics:
                self.doubt(table)
            arrived, bad = self._arrived(table, batch, records) if table.topic in topics else (None, 0)
            quarantined += bad
            if applied := self._apply_table(table, arrived):
                changed[table.relation] = applied
        everyone = any(table.relation in changed and not table.of_customers for table in self.tables)
        touched = self.tagging.touched()
        return Applied(frozenset(changed), sum(changed.values()), quarantined, everyone, touched)

    def _arrived(self, table: Table, batch: Batch, records: pa.Table) -> tuple[pa.Table, int]:
        """The batch's changes of a table, the newest of each key, as rows of its stage; and how many were bad."""
        stage = self._stages[table.relation]
        self.shapes[table.relation].look(records.column("value"), pc.equal(records.column("topic"), table.topic))
        rows = batch.decoded[table.topic] if batch.decoded is not None else self.decoder.rows(table, records)
        bad = rows.num_rows - rows.column("_bad").null_count
        if bad:
            if pc.any(pc.starts_with(rows.column("_bad"), TRUNCATED)).as_py():
                self.doubt(table)
            self._quarantine(table, rows.filter(pc.is_valid(rows.column("_bad"))))
            rows = rows.filter(pc.is_null(rows.column("_bad")))
        stage.rows = stage.fitted(with_fresh(rows, self._stored[table.relation].high))
        if repeats(stage.rows, table.key):
            stage.rows = stage.fitted(self.warehouse.arrow(_newest_sql(table)))
        return stage.rows, bad

    def _apply_table(self, table: Table, arrived: pa.Table | None) -> int:
        """Upsert what arrived, and what has to be tagged anew; returns how many rows that is."""
        con, stage, stored = self.warehouse.con, self._stages[table.relation], self._stored[table.relation]
        held = self.held.get(table.relation)
        if arrived is None:
            stage.rows = stage.schema.empty_table()
        elif arrived.num_rows:
            stored.high = max(stored.high, pc.max(arrived.column("_position")).as_py())
            if not pc.all(arrived.column("_fresh")).as_py():
                stage.rows = self._without_stale(table)
        again = self.tagging.again(table)
        rows = stage.rows = pa.concat_tables([stage.rows, again]) if again.num_rows else stage.rows
        if not rows.num_rows:
            return 0
        rows = stage.rows = _forgotten(table, with_column(rows, "profile_id", self.tagging.tag(table, rows)))
        if not pc.all(rows.column("_fresh")).as_py():
            keys = ", ".join(quoted(name) for name in table.key)
            known = f"(select ({keys}) from {stage_name(table)} where not _fresh)"
            for name in parts_of(table):
                con.execute(f"delete from {name} where ({keys}) in {known}")
            if held is not None:
                replaced = rows.filter(pc.invert(rows.column("_fresh")))
                held.remove(replaced.column("_was"), replaced)
        if held is not None:
            held.add(rows)
        stored.tail += self._insert[table.relation]()
        return int(rows.num_rows)

    def _without_stale(self, table: Table) -> pa.Table:
        """The staged rows with the profile that their stored row has, without those that are older than it."""
        stage = self._stages[table.relation]
        names = ", ".join(f"f._was as {quoted(n)}" if n == "_was" else f"s.{quoted(n)}" for n in stage.schema.names)
        keys = ", ".join(quoted(name) for name in table.key)
        same = " and ".join(f"s.{quoted(name)} = f.{quoted(name)}" for name in table.key)
        parts = " union all ".join(
            f"select {keys}, profile_id, _position from {name} "
            f"where ({keys}) in (select ({keys}) from {stage_name(table)} where not _fresh)"
            for name in parts_of(table)
        )
        found = f"select {keys}, max(profile_id) as _was, max(_position) as _at from ({parts}) group by {keys}"
        return stage.fitted(
            self.warehouse.arrow(
                f"select {names} from {stage_name(table)} s left join ({found}) f on {same} "
                "where s._fresh or f._at is null or s._seen >= f._at order by s._n"
            )
        )

    def _quarantine(self, table: Table, bad: pa.Table) -> None:
        """Keep aside what could not be decoded, with its reason."""
        if time.monotonic() - self._warned.get(table.relation, -WARN_EVERY) >= WARN_EVERY:
            self._warned[table.relation] = time.monotonic()
            what = "a change" if bad.num_rows == 1 else f"{bad.num_rows} changes"
            log.warning("%s of %s is set aside: %s", what, table.relation, bad.column("_bad")[-1].as_py())
        arriving = bad.select(["_n", "_bad"])
        self.warehouse.con.execute(
            'insert into live.ringup.quarantine select raw.topic, raw."partition", raw."offset", s._bad, raw.key, '
            "raw.value, ? from arriving s join raw on raw.n = s._n",
            [datetime.now(UTC)],
        )
        del arriving


def with_fresh(rows: pa.Table, high: int) -> pa.Table:
    """Decoded rows with `_fresh`, whether a row cannot be stored yet: one created above the highest position stored.

    In an empty table, whose highest position is -1, a snapshot's rows are fresh, too.
    """
    created = pc.is_in(rows.column("_op"), pa.array(["c", "r"] if high == -1 else ["c"]))
    return rows.append_column("_fresh", pc.and_(created, pc.greater(rows.column("_position"), high)))


def _forgotten(table: Table, rows: pa.Table) -> pa.Table:
    """The same rows, with nothing left of the deleted ones but their keys."""
    deleted = rows.column("_deleted")
    if pc.any(deleted).as_py():
        for column in table.columns:
            if column.name not in table.key:
                rows = with_column(rows, column.name, pc.if_else(deleted, None, rows.column(column.name)))
    return rows


def _newest_sql(table: Table) -> str:
    """Of several changes of one key, the newest, fresh if the first of them was."""
    keys = ", ".join(quoted(name) for name in table.key)
    return (
        f"select * replace (first_value(_fresh) over (partition by {keys} order by _n) as _fresh) "
        f"from {stage_name(table)} "
        f"qualify row_number() over (partition by {keys} order by _position desc, _n desc) = 1 order by _n"
    )


def _insert_sql(table: Table) -> str:
    """Append the staged rows to the tail."""
    names = ", ".join([*(quoted(column.name) for column in table.columns), "profile_id", "_position", "_deleted"])
    return f"insert into {tail_name(table)} ({names}) select {names} from {stage_name(table)}"
