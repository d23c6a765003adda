"""Which customer a row belongs to: the only module that knows what a `profile_id` is.

A profile is a row of the table that declares `identity: {profile: column}`; its identifiers (a loyalty card, say) lead
to it. Other rows carry an identifier themselves or point to a row that does (`via`). An identifier that several
profiles claim belongs to the lowest `profile_id`, so every order of arrival ends the same.

Tables are tagged in the order profile tables, tables with identifiers, then tables by way of another. When an
identifier moves, or a row that others point to changes its profile, the rows concerned are staged again as they are
stored: retagging is an upsert of the same row.
"""

from __future__ import annotations

from ringup.errors import ProjectError
from transforms.decode import literal, stage_name
from transforms.project import Table
from transforms.warehouse import Warehouse, quoted


def _stored(table: Table) -> tuple[str, str]:
    return quoted("live", table.source, table.name), quoted("live", table.source, f"{table.name} tail")


class Tagging:
    """Tags staged rows with their profile and stages again the rows whose profile changed."""

    def __init__(self, warehouse: Warehouse, tables: tuple[Table, ...]) -> None:
        self._warehouse, self._con = warehouse, warehouse.con
        self._tables = {table.relation: table for table in tables}
        self.order = self._ordered(tables)
        self._children = {
            parent.relation: tuple(t for t in tables if t.via is not None and self._parent(t) is parent)
            for parent in tables
        }
        self._staged: set[str] = set()
        self._changed: set[str] = set()
        self._orphans = {t.relation for t in tables if t.via is not None and self._has_untagged(t)}
        self._moved = False
        for parent in tables:
            if self._children[parent.relation]:
                keys = ", ".join(f"{quoted(c.name)} {c.data_type}" for c in parent.columns if c.name in parent.key)
                self._con.execute(f"create temp table {self._old(parent)} ({keys}, profile_id bigint)")

    def _parent(self, table: Table) -> Table:
        assert table.via is not None
        _, name = table.via
        parent = self._tables.get(f"{table.source}.{name}")
        if parent is None or len(parent.key) != 1:
            raise ProjectError(
                f"{table.relation} finds its customer by way of {name}, which is no table with a key of one column",
                where=table.path,
                mend="Name a table of the same source whose primary key this column holds.",
            )
        return parent

    def _has_untagged(self, table: Table) -> bool:
        """Whether rows may wait for the row that leads to their profile; asked once, when the state is opened."""
        return any(
            self._warehouse.number(
                "select count(*) from duckdb_tables() where database_name = 'live' and schema_name = ? "
                "and table_name = ?",
                [table.source, name],
            )
            and self._warehouse.number(
                f"select count(*) from {quoted('live', table.source, name)} where profile_id is null and not _deleted"
            )
            for name in (table.name, f"{table.name} tail")
        )

    def _ordered(self, tables: tuple[Table, ...]) -> tuple[Table, ...]:
        def rank(table: Table) -> int:
            if table.profile is not None:
                return 0
            return 1 if table.via is None else 1 + rank(self._parent(table)) + 1

        return tuple(sorted(tables, key=rank))

    @staticmethod
    def _old(table: Table) -> str:
        """Rows of a parent table that were stored, with the profile that they had."""
        return quoted("temp", "main", f"old {table.relation}")

    def everyone_sql(self) -> str:
        """All profiles there are."""
        parts = [
            f"select {quoted(table.profile)} as profile_id from {name} where not _deleted"
            for table in self.order
            if table.profile is not None
            for name in _stored(table)
        ]
        return " union ".join(parts) or "select null::bigint as profile_id limit 0"

    def begin(self) -> None:
        """Forget the batch before."""
        self._con.execute("truncate temp.main.touched")
        self._con.execute("truncate temp.main.touching")
        if self._moved:
            self._con.execute("truncate temp.main.moved")
        for relation in self._staged:
            if self._children[relation]:
                self._con.execute(f"truncate {self._old(self._tables[relation])}")
        self._staged, self._changed, self._moved = set(), set(), False

    def may_retag(self, table: Table) -> bool:
        """Whether rows of this table that the batch does not hold may have to change their profile."""
        if table.via is not None:
            parent = self._parent(table).relation
            return parent in self._changed or (parent in self._staged and table.relation in self._orphans)
        return self._moved and bool(table.identifiers) and table.profile is None

    def retag(self, table: Table, *, changed: bool) -> int:
        """Stage again the stored rows whose identifier moved, or whose parent the batch holds; returns how many.

        `changed` says whether the stage holds changes of rows that were there before.
        """
        if changed:
            self._changed.add(table.relation)
        if not self.may_retag(table):
            return 0
        stage = stage_name(table)
        if table.via is not None:
            parent = self._parent(table)
            column, key = quoted(table.via[0]), quoted(parent.key[0])
            concerned = (
                f"join (select p.{key} as k, p._committed_at as at, o.profile_id as was from {stage_name(parent)} p "
                f"left join {self._old(parent)} o on p.{key} = o.{key}) c "
                f"on m.{column} = c.k and m.profile_id is not distinct from c.was"
            )
        else:
            matches = " or ".join(
                f"(i.kind = {literal(kind)} and m.{quoted(column)} = i.value)"
                for kind, column in table.identifiers.items()
            )
            at = (
                "(select min(_committed_at) from "
                + " union all ".join(
                    f"(select _committed_at from {stage_name(t)})" for t in self.order if t.profile is not None
                )
                + ")"
            )
            concerned = f"join (select *, {at} as at from temp.main.moved) i on ({matches})"
            concerned = concerned.replace("i.at", "c.at")
        alias = "c" if table.via is not None else "i"
        columns = ", ".join(quoted(c.name) for c in table.columns)
        mine = ", ".join(f"m.{quoted(c.name)}" for c in table.columns)
        same = " and ".join(f"s.{quoted(k)} = m.{quoted(k)}" for k in table.key)
        again = sum(
            self._warehouse.changed(
                f"insert into {stage} (_n, _seen, _position, _committed_at, _deleted, _fresh, {columns}) "
                f"select distinct 0, m._position, m._position, {alias}.at, false, false, {mine} "
                f"from {name} m {concerned} "
                f"where not m._deleted and not exists (select 1 from {stage} s where {same})"
            )
            for name in _stored(table)
        )
        if again:
            self._changed.add(table.relation)
        return again

    def note_old(self, table: Table, same: str) -> None:
        """Keep, for the tables that lead here, which profile the stored rows had."""
        if self._children[table.relation]:
            key = quoted(table.key[0])
            self._con.execute(f"insert into {self._old(table)} select {key}, max(profile_id) from found group by {key}")

    def tag(self, table: Table) -> None:
        """Give the staged rows their profile."""
        stage = stage_name(table)
        if table.profile is not None:
            self._con.execute(f"update {stage} set profile_id = {quoted(table.profile)} where not _deleted")
            if table.identifiers:
                self._move_identifiers(table)
        elif table.via is not None:
            parent = self._parent(table)
            column, key = quoted(table.via[0]), quoted(parent.key[0])
            self._con.execute(
                f"update {stage} set profile_id = p.profile_id from {stage_name(parent)} p "
                f"where {stage}.{column} = p.{key} and not p._deleted"
                if parent.relation in self._staged
                else f"update {stage} set profile_id = null where false"
            )
            base, tail = _stored(parent)
            staged = f"select {key} from {stage_name(parent)}" if parent.relation in self._staged else "select null"
            missing = self._warehouse.changed(
                f"select count(*) from {stage} where not _deleted and {column} not in "
                f"(select x from ({staged}) t(x) where x is not null)"
            )
            if missing:
                self._con.execute(
                    f"update {stage} set profile_id = p.profile_id from ("
                    + " union all ".join(
                        f"select {key}, profile_id from {name} where not _deleted and {key} in "
                        f"(select {column} from {stage})"
                        for name in (base, tail)
                    )
                    + f") p where {stage}.{column} = p.{key} and {stage}.profile_id is null"
                )
                self._orphans.add(table.relation)
        elif table.identifiers:
            for kind, column in table.identifiers.items():
                self._con.execute(
                    f"update {stage} set profile_id = i.profile_id from ("
                    "select value, min(profile_id) as profile_id from live.ringup.identifiers "
                    f"where kind = {literal(kind)} and value in (select {quoted(column)} from {stage}) group by value"
                    f") i where {stage}.{quoted(column)} = i.value and {stage}.profile_id is null"
                )
        self._staged.add(table.relation)

    def _move_identifiers(self, table: Table) -> None:
        """Bring the identifiers to what the staged profiles say; `moved` gets those that changed hands."""
        stage, con = stage_name(table), self._con
        profile = quoted(table.profile or "")
        claims = " union all ".join(
            f"select {literal(kind)} as kind, {quoted(column)}::varchar as value, {profile} as profile_id "
            f"from {stage} where not _deleted and {quoted(column)} is not null"
            for kind, column in table.identifiers.items()
        )
        con.execute(f"create or replace temp table claims as {claims}")
        con.execute(
            "create or replace temp table held as select kind, value, profile_id from live.ringup.identifiers "
            f"where profile_id in (select {profile} from {stage})"
        )
        con.execute(
            "create or replace temp table before_move as select kind, value, min(profile_id) as profile_id "
            "from live.ringup.identifiers where (kind, value) in "
            "(select (kind, value) from claims union select (kind, value) from held) group by kind, value"
        )
        con.execute(f"delete from live.ringup.identifiers where profile_id in (select {profile} from {stage})")
        con.execute("insert into live.ringup.identifiers select kind, value, profile_id from claims")
        moved = self._warehouse.number(
            "insert into temp.main.moved select kind, value, max(was) from ("
            "select kind, value, profile_id as was, null::bigint as is_now from before_move union all "
            "select kind, value, null, min(profile_id) from live.ringup.identifiers where (kind, value) in "
            "(select (kind, value) from claims union select (kind, value) from held) group by kind, value"
            ") group by kind, value having max(was) is distinct from max(is_now)"
        )
        self._moved = moved > 0

    def touch(self, used: list[Table]) -> None:
        """Add the profiles of all staged rows to `touched`."""
        parts = [
            f"select profile_id, _committed_at from {stage_name(table)} where profile_id is not null"
            for table in used
            if table.of_customers
        ]
        if not parts:
            return
        union = " union all ".join([*parts, "from temp.main.touching"])
        self._con.execute(
            f"insert into touched select profile_id, min(_committed_at) from ({union}) group by profile_id"
        )
