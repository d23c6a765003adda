"""Which customer a row belongs to: the only module that knows what a `profile_id` is.

A profile is a row of the table that declares `identity: {profile: column}`; its identifiers (a loyalty card, say) lead
to it. Other rows carry an identifier themselves or point to a row that does (`via`). An identifier that several
profiles claim belongs to the lowest `profile_id`, so every order of arrival ends the same.

Tables are tagged in the order profile tables, tables with identifiers, then tables by way of another. When an
identifier moves, or a row that others point to changes its profile, the rows concerned are staged again as they are
stored: retagging is an upsert of the same row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from transforms.decode import literal
from transforms.inbox import Inbox
from transforms.parts import parts_of
from transforms.project import Table
from transforms.stage import TOUCHED_ROWS, Stage, looked_up, stage_name
from transforms.warehouse import Warehouse, quoted
from transforms.ways import ordered, parent_of

REMEMBERED = 200_000
"""Identifiers whose owners are kept in mind: about 40 MB."""


class Tagging:
    """Gives staged rows their profile, and finds the stored rows whose profile changed."""

    def __init__(self, warehouse: Warehouse, tables: tuple[Table, ...], stages: Mapping[str, Stage]) -> None:
        self._warehouse, self._con, self._stages = warehouse, warehouse.con, stages
        self._tables = {table.relation: table for table in tables}
        self.order = ordered(tables)
        self._orphans = {t.relation for t in tables if t.via is not None and self._has_untagged(t)}
        self._asked = Inbox(pa.schema({"value": pa.string()}))
        self._con.register("asked", self._asked)
        self._owners: dict[str, dict[str, int | None]] = defaultdict(dict)
        self._ask = {
            kind: warehouse.question(
                "select value, min(profile_id) as profile_id from live.ringup.identifiers "
                f"where kind = {literal(kind)} and value in (select value from asked) group by value"
            )
            for kind in {kind for table in tables for kind in table.identifiers}
        }
        warehouse.undone.append(self._owners.clear)
        self._remember_all()
        self.begin()

    def begin(self) -> None:
        """Forget the batch before."""
        self._staged: list[Table] = []
        self._changed: set[str] = set()
        if sum(map(len, self._owners.values())) > REMEMBERED:
            self._owners.clear()
        self._moved = False

    def _remember_all(self) -> None:
        """Learn whose every identifier is, where they are not too many."""
        if self._warehouse.number("select count(*) from live.ringup.identifiers") <= REMEMBERED // 2:
            found = self._con.execute(
                "select kind, value, min(profile_id) from live.ringup.identifiers group by kind, value"
            )
            for kind, value, owner in found.fetchall():
                self._owners[kind][value] = owner

    def everyone_sql(self) -> str:
        """All profiles there are."""
        parts = [
            f"select {quoted(table.profile)} as profile_id from {name} where not _deleted"
            for table in self.order
            if table.profile is not None
            for name in parts_of(table)
        ]
        return " union ".join(parts) or "select null::bigint as profile_id where false"

    def may_retag(self, table: Table) -> bool:
        """Whether rows of this table that the batch does not hold may have to change their profile."""
        if table.via is not None:
            parent = parent_of(table, self._tables)
            return parent.relation in self._changed or (parent in self._staged and table.relation in self._orphans)
        return self._moved and bool(table.identifiers) and table.profile is None

    def again(self, table: Table) -> pa.Table:
        """The stored rows whose identifier moved, or whose parent the batch holds, to be staged again."""
        stage = self._stages[table.relation]
        if not self.may_retag(table):
            return stage.schema.empty_table()
        causes, concerned = self._causes(table)
        columns = ", ".join(f"m.{quoted(c.name)}" for c in table.columns)
        same = " and ".join(f"s.{quoted(k)} = m.{quoted(k)}" for k in table.key)
        parts = " union all ".join(
            f"select distinct 0 as _n, m._position as _seen, m._position, c._committed_at, false as _deleted, "
            f"false as _fresh, m.profile_id as _was, {columns} from {name} m join ({causes}) c on {concerned} "
            f"where not m._deleted and not exists (select 1 from {stage_name(table)} s where {same})"
            for name in parts_of(table)
        )
        return stage.fitted(self._warehouse.arrow(parts))

    def _causes(self, table: Table) -> tuple[str, str]:
        """What makes stored rows be tagged anew, with the time of it; and how it concerns a row `m`."""
        if table.via is not None:
            parent = parent_of(table, self._tables)
            key = quoted(parent.key[0])
            return (
                f"select {key} as k, _committed_at, _was from {stage_name(parent)}",
                f"m.{quoted(table.via[0])} = c.k and m.profile_id is not distinct from c._was",
            )
        times = " union all ".join(f"select _committed_at from {stage_name(t)}" for t in self._staged if t.profile)
        return (
            f"select *, (select min(_committed_at) from ({times})) as _committed_at from temp.main.moved",
            " or ".join(
                f"(c.kind = {literal(kind)} and m.{quoted(column)}::varchar = c.value)"
                for kind, column in table.identifiers.items()
            ),
        )

    def tag(self, table: Table, rows: pa.Table) -> pa.ChunkedArray:
        """The profiles of the staged rows, null where there is none."""
        self._staged.append(table)
        if not pc.all(rows.column("_fresh")).as_py():
            self._changed.add(table.relation)
        profiles = pa.chunked_array([pa.nulls(rows.num_rows, pa.int64())])
        if table.profile is not None:
            profiles = rows.column(table.profile).cast(pa.int64())
            if table.identifiers:
                self._move_identifiers(table)
        elif table.via is not None:
            profiles = self._by_parent(table, rows.column(table.via[0]))
        for kind, column in table.identifiers.items() if table.profile is None else ():
            profiles = pc.coalesce(profiles, self._by_identifier(kind, self._texts(table, rows.column(column), column)))
        return pc.if_else(rows.column("_deleted"), None, profiles)

    def _texts(self, table: Table, values: pa.ChunkedArray, column: str) -> pa.ChunkedArray:
        """The staged identifiers as DuckDB writes them; Arrow writes only whole numbers just so."""
        if pa.types.is_string(values.type) or pa.types.is_integer(values.type):
            return values.cast(pa.string())
        return self._warehouse.arrow(f"select {quoted(column)}::varchar as t from {stage_name(table)}").column("t")

    def _by_identifier(self, kind: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Whose the identifiers are. What was asked once is remembered until an identifier moves."""
        coded = values.combine_chunks().dictionary_encode()
        names, owners = coded.dictionary.to_pylist(), self._owners[kind]
        if unknown := [name for name in names if name not in owners]:
            self._asked.table = pa.table({"value": pa.array(unknown, pa.string())})
            found = self._ask[kind]().to_pydict()
            owners.update(dict.fromkeys(unknown) | dict(zip(*found.values(), strict=True)))
        return pa.chunked_array([pa.array([owners[name] for name in names], pa.int64()).take(coded.indices)])

    def _by_parent(self, table: Table, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """The profiles of the rows that these point to: staged ones of this batch, else stored ones."""
        parent = parent_of(table, self._tables)
        key = parent.key[0]
        stage = self._stages[parent.relation]
        staged = stage.rows if parent in self._staged else stage.schema.empty_table()
        staged = staged.filter(pc.invert(staged.column("_deleted")))
        known, profiles = staged.column(key).combine_chunks(), staged.column("profile_id")
        asked = values.unique().drop_null()
        asked = asked.filter(pc.invert(pc.is_in(asked, known)))
        if len(asked):
            stored = " union all ".join(
                f"select {quoted(key)}, profile_id from {name} where not _deleted and {quoted(key)} in "
                f"(select {quoted(table.via[0])} from {stage_name(table)})"
                for name in parts_of(parent)
                if table.via is not None
            )
            found = self._warehouse.arrow(stored)
            known = pa.concat_arrays([known, found.column(key).combine_chunks().cast(known.type)])
            profiles = pa.chunked_array([*profiles.chunks, *found.column("profile_id").chunks], pa.int64())
            if not pc.all(pc.is_in(asked, known)).as_py():
                self._orphans.add(table.relation)
        return looked_up(values, known, profiles)

    def _move_identifiers(self, table: Table) -> None:
        """Bring the identifiers to what the staged profiles say; `moved` gets those that changed hands."""
        stage, con = stage_name(table), self._con
        profile = quoted(table.profile or "")
        kinds = ", ".join(map(literal, table.identifiers))
        mine = f"profile_id in (select {profile} from {stage}) and kind in ({kinds})"
        claims = " union all ".join(
            f"select {literal(kind)} as kind, {quoted(column)}::varchar as value, {profile} as profile_id "
            f"from {stage} where not _deleted and {quoted(column)} is not null"
            for kind, column in table.identifiers.items()
        )
        con.execute(f"create or replace temp table claims as {claims}")
        con.execute(
            "create or replace temp table held as select kind, value, profile_id from live.ringup.identifiers "
            f"where {mine}"
        )
        con.execute(
            "create or replace temp table before_move as select kind, value, min(profile_id) as profile_id "
            "from live.ringup.identifiers where (kind, value) in "
            "(select (kind, value) from claims union select (kind, value) from held) group by kind, value"
        )
        con.execute(f"delete from live.ringup.identifiers where {mine}")
        con.execute("insert into live.ringup.identifiers select kind, value, profile_id from claims")
        con.execute(
            "create or replace temp table moved as select kind, value, max(was) as profile_id from ("
            "select kind, value, profile_id as was, null::bigint as is_now from before_move union all "
            "select kind, value, null, min(profile_id) from live.ringup.identifiers where (kind, value) in "
            "(select (kind, value) from claims union select (kind, value) from held) group by kind, value"
            ") group by kind, value having max(was) is distinct from max(is_now)"
        )
        for kind, value in con.execute("select kind, value from claims union select kind, value from held").fetchall():
            self._owners[kind].pop(value, None)
        self._moved = self._warehouse.number("select count(*) from moved") > 0

    def touched(self) -> pa.Table:
        """The profiles that the staged rows have or had, each with the oldest commit that touched it."""
        parts = [
            rows.select([column, "_committed_at"]).rename_columns(TOUCHED_ROWS.names)
            for table in self._staged
            if table.of_customers
            for rows in (self._stages[table.relation].rows,)
            for column in ("profile_id", "_was")
            if rows.column(column).null_count < rows.num_rows
        ]
        if not parts:
            return TOUCHED_ROWS.empty_table()
        both = pa.concat_tables(parts)
        both = both.filter(pc.is_valid(both.column("profile_id")))
        oldest = both.group_by("profile_id", use_threads=False).aggregate([("committed_at", "min")])
        return oldest.rename_columns(TOUCHED_ROWS.names).cast(TOUCHED_ROWS)

    def _has_untagged(self, table: Table) -> bool:
        """Whether rows may wait for the row that leads to their profile; asked once, when the state is opened."""
        return any(
            self._warehouse.number(f"select count(*) from {name} where profile_id is null and not _deleted")
            for name in parts_of(table)
        )
