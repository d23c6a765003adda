"""Source tables kept current in DuckDB, each row tagged with its profile.

A mirror table is two: a base, clustered by profile, and a tail of what came since. An upsert is delete and insert; a
row that is known to be new is only inserted. A change older than what is stored is dropped: a restart resends, and
nothing may flicker. A deleted row stays as its key, so that a resent older change cannot bring it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from connectors.log import RECORDS, Batch
from ringup.errors import WarehouseError
from transforms.decode import decode_sql, literal, newest_sql, stage_ddl, stage_name
from transforms.identity import Tagging
from transforms.project import Table
from transforms.warehouse import Inbox, Warehouse, quoted


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch changed. `everyone` is true when a table that is the same for all changed."""

    tables: frozenset[str]
    rows: int
    quarantined: int
    everyone: bool


@dataclass(slots=True)
class _Stored:
    """A mirror table's state that would cost a query to ask."""

    high: int
    """Highest position stored; -1 while the table is empty."""
    tail: int
    """Rows in the tail."""


def base_name(table: Table) -> str:
    """The clustered part of a mirror table."""
    return quoted("live", table.source, table.name)


def tail_name(table: Table) -> str:
    """What came since the base was clustered."""
    return quoted("live", table.source, f"{table.name} tail")


class Mirror:
    """Applies batches to the mirror tables and leaves the touched profiles in `touched`."""

    def __init__(self, warehouse: Warehouse, tables: tuple[Table, ...]) -> None:
        self.warehouse = warehouse
        self.tagging = Tagging(warehouse, tables)
        self.tables = self.tagging.order
        self.by_topic = {table.topic: table for table in self.tables}
        self._decode = {table.relation: decode_sql(table) for table in self.tables}
        self._stored: dict[str, _Stored] = {}
        self._used: list[Table] = []
        self._inbox = Inbox(RECORDS.append(pa.field("n", pa.int64())))
        warehouse.con.register("raw", self._inbox)
        for table in self.tables:
            self._create(table)

    def _create(self, table: Table) -> None:
        con = self.warehouse.con
        con.execute(f"create schema if not exists {quoted('live', table.source)}")
        declared = {c.name: c.data_type for c in table.columns} | {
            "profile_id": "bigint",
            "_position": "bigint",
            "_deleted": "boolean",
        }
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in declared.items())
        for name in (base_name(table), tail_name(table)):
            con.execute(f"create table if not exists {name} ({columns})")
            stored = self.warehouse.columns(name)
            for column, kind in declared.items():
                if column not in stored:
                    con.execute(f"alter table {name} add column {quoted(column)} {kind}")
        con.execute(stage_ddl(table))
        stored, staged = self.warehouse.columns(base_name(table)), self.warehouse.columns(stage_name(table))
        for name in (column.name for column in table.columns):
            if stored[name] != staged[name]:
                raise WarehouseError(
                    f"column {name} of {table.relation} is kept as {stored[name]}, and declared as {staged[name]}",
                    where=table.path,
                    mend="Declare the type it had, or move the state folder away: the next run builds it again.",
                )
        self.refresh_counts(table)

    def refresh_counts(self, table: Table) -> None:
        """Ask again how many rows the tail holds and how far the table is."""
        row = self.warehouse.row(
            f"select coalesce(max(high), -1), sum(tail) from ("
            f"select max(_position) as high, 0 as tail from {base_name(table)} union all "
            f"select max(_position), count(*) from {tail_name(table)})"
        )
        assert row is not None
        self._stored[table.relation] = _Stored(int(row[0]), int(row[1]))

    def tail_rows(self, table: Table) -> int:
        """Rows that wait to be clustered."""
        return self._stored[table.relation].tail

    def apply(self, batch: Batch) -> Applied:
        """Bring the mirror tables to the end of `batch`, in the caller's transaction."""
        self.warehouse.expect(batch.records.num_rows)
        for table in self._used:
            self.warehouse.con.execute(f"truncate {stage_name(table)}")
        self._used = []
        self.tagging.begin()
        topics = set(batch.records.column("topic").unique().to_pylist())
        self._inbox.table = batch.records.append_column("n", pa.array(range(batch.records.num_rows), pa.int64()))
        rows = quarantined = 0
        changed: set[str] = set()
        for table in self.tables:
            if table.topic in topics:
                high = self._stored[table.relation].high
                self.warehouse.con.execute(self._decode[table.relation], [high, high])
                self._used.append(table)
            elif self.tagging.may_retag(table):
                self._used.append(table)
            else:
                continue
            applied, bad = self._apply_table(table)
            rows += applied
            quarantined += bad
            if applied:
                changed.add(table.relation)
        quarantined += self._quarantine_unknown(topics)
        self.tagging.touch(self._used)
        everyone = any(t.relation in changed and not t.of_customers for t in self._used)
        return Applied(frozenset(changed), rows, quarantined, everyone)

    def _apply_table(self, table: Table) -> tuple[int, int]:
        con, stage = self.warehouse.con, stage_name(table)
        keys = ", ".join(quoted(name) for name in table.key)
        row = self.warehouse.con.execute(
            f"select count(*) filter (_bad is not null), count(*) filter (_bad is null and not _fresh), "
            f"max(_position), count(*) - count(distinct hash({keys})) from {stage}"
        ).fetchall()[0]
        bad, known, newest, again = int(row[0]), int(row[1]), -1 if row[2] is None else int(row[2]), int(row[3])
        if bad:
            self._quarantine(table)
        if again:
            con.execute(newest_sql(table))
        known += self.tagging.retag(table, changed=known > 0)
        if known:
            self._drop_stale(table, keys)
            for name in (base_name(table), tail_name(table)):
                con.execute(f"delete from {name} where ({keys}) in (select ({keys}) from {stage} where not _fresh)")
        self.tagging.tag(table)
        columns = ", ".join(quoted(c.name) for c in table.columns)
        kept = ", ".join(
            quoted(c.name) if c.name in table.key else f"if(_deleted, null, {quoted(c.name)})" for c in table.columns
        )
        inserted = self.warehouse.changed(
            f"insert into {tail_name(table)} ({columns}, profile_id, _position, _deleted) "
            f"select {kept}, if(_deleted, null, profile_id), _position, _deleted from {stage}"
        )
        stored = self._stored[table.relation]
        stored.high = max(stored.high, newest)
        stored.tail += inserted
        return inserted, bad

    def _drop_stale(self, table: Table, keys: str) -> None:
        """Drop from the stage what is older than the stored row; note whose rows are about to change."""
        con, stage = self.warehouse.con, stage_name(table)
        parts = " union all ".join(
            f"select {keys}, profile_id, _position from {name} "
            f"where ({keys}) in (select ({keys}) from {stage} where not _fresh)"
            for name in (base_name(table), tail_name(table))
        )
        con.execute(f"create or replace temp table found as {parts}")
        same = " and ".join(f"s.{quoted(k)} = f.{quoted(k)}" for k in table.key)
        con.execute(f"delete from {stage} s using found f where {same} and not s._fresh and s._seen < f._position")
        if table.of_customers:
            con.execute(
                f"insert into touching select f.profile_id, min(s._committed_at) from found f join {stage} s on {same} "
                f"where f.profile_id is not null group by f.profile_id"
            )
            self.tagging.note_old(table, same)

    def _quarantine(self, table: Table) -> None:
        con, stage = self.warehouse.con, stage_name(table)
        con.execute(
            'insert into live.ringup.quarantine select raw.topic, raw."partition", raw."offset", s._bad, raw.key, '
            f"raw.value, ? from {stage} s join raw on raw.n = s._n where s._bad is not null",
            [datetime.now(UTC)],
        )
        con.execute(f"delete from {stage} where _bad is not null")

    def _quarantine_unknown(self, topics: set[str]) -> int:
        """Keep the changes of tables that no sources.yml declares; that is no error while a project grows."""
        unknown = topics - self.by_topic.keys()
        if not unknown:
            return 0
        names = ", ".join(literal(topic) for topic in sorted(unknown))
        return self.warehouse.number(
            'insert into live.ringup.quarantine select topic, "partition", "offset", '
            "'no source table of the dbt project has this topic', key, value, ? "
            f"from raw where topic in ({names}) and value is not null",
            [datetime.now(UTC)],
        )
