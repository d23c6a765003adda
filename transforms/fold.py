"""The lake folded into the DuckDB file of a scheduled run: the rows of every source table, whole sets at a time.

It ends where the mirror of the live run was at the same positions, and gets there by SQL of its own: so the one checks
the other. What was folded before is kept, and only what the lake has beyond it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ringup.errors import LakeError
from transforms.decode import decode_sql, literal
from transforms.fold_tags import SCHEMA, folded_name, owners_sql, tag_sql
from transforms.lake import Lake
from transforms.lake_cut import Cut, Origin
from transforms.lake_files import LakeFile
from transforms.lake_rows import TYPED
from transforms.project import Table
from transforms.warehouse import quoted, sql_of
from transforms.ways import ordered

AT_ONCE = 2_000_000
"""Records that are folded at a time."""

_PLACE = "(_partition::bigint << 48) | _offset"
"""A record's place: in each partition it rises with the offsets."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What was read: how many records, and of how many files."""

    records: int
    files: int


@dataclass(frozen=True, slots=True)
class _Part:
    """Files of a topic that are folded together; `typed` ones have the columns as they are declared."""

    files: tuple[LakeFile, ...]
    typed: bool


def fold(con: duckdb.DuckDBPyConnection, tables: Sequence[Table], lake: Lake, origin: Origin, cut: Cut) -> Folded:
    """Bring the source tables in `con`'s file to a commit of the live state; all of it in one transaction.

    The tables are in a schema of their own, each by its relation's name; `show` gives them the names that models read.
    Raises LakeError for a file that cannot be read.
    """
    con.execute("begin")
    try:
        con.execute(sql_of("fold.sql"))
        records = files = 0
        for table in ordered(tables):
            came = _Folding(con, table, origin, cut).fold(lake)
            records, files = records + came.records, files + came.files
        con.execute(owners_sql(tables))
        for table in ordered(tables):
            if table.of_customers:
                con.execute(tag_sql(table, tables))
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise
    return Folded(records, files)


class _Folding:
    """One table's share."""

    def __init__(self, con: duckdb.DuckDBPyConnection, table: Table, origin: Origin, cut: Cut) -> None:
        self._con, self._table = con, table
        self._upto = {number: offset for (topic, number), offset in cut.positions.items() if topic == table.topic}
        self._kinds = _kinds(table)
        self._declared = json.dumps([origin.log, cut.topics.get(table.topic), asdict(table)["columns"], table.key])
        self._begin()

    def _begin(self) -> None:
        """Find how far it is; a table that is declared otherwise now, or of another log, is begun anew."""
        known = self._con.execute(
            f"select declared, positions from {SCHEMA}.folded where relation = ?", [self._table.relation]
        ).fetchall()
        if known and known[0][0] == self._declared:
            self._done = {int(number): int(offset) for number, offset in json.loads(known[0][1]).items()}
            return
        columns = ", ".join(f"{quoted(column.name)} {column.data_type}" for column in self._table.columns)
        self._con.execute(
            f"create or replace table {folded_name(self._table)} "
            f"({columns}, profile_id bigint, _position bigint not null, _deleted boolean not null)"
        )
        self._done = {}

    def fold(self, lake: Lake) -> Folded:
        """Read what lies between what was folded and the cut."""
        files = [
            file
            for file in lake.files(self._table.topic)
            if file.last > self._done.get(file.partition, -1) and file.first <= self._upto.get(file.partition, -1)
        ]
        records = sum(self._part(part) for part in self._parts(files))
        self._con.execute(f"delete from {SCHEMA}.folded where relation = ?", [self._table.relation])
        self._con.execute(
            f"insert into {SCHEMA}.folded values (?, ?, ?)",
            [self._table.relation, self._declared, json.dumps({**self._done, **self._upto})],
        )
        return Folded(records, len(files))

    def _parts(self, files: Sequence[LakeFile]) -> Iterator[_Part]:
        """Files that follow one another, and are alike, up to so many records."""
        looked = ((file, *_looked_at(file, self._kinds)) for file in files)
        for typed, alike in groupby(looked, lambda one: one[1]):
            held: list[LakeFile] = []
            rows = 0
            for file, _, count in alike:
                if held and rows + count > AT_ONCE:
                    yield _Part(tuple(held), typed)
                    held, rows = [], 0
                held.append(file)
                rows += count
            yield _Part(tuple(held), typed)

    def _part(self, part: _Part) -> int:
        """Fold some files; what a snapshot read and what happened take turns, each a set of its own."""
        names = ", ".join(quoted(column.name) for column in self._table.columns)
        try:
            self._con.execute(f"create or replace temp table arrived as {self._arrived(part, names)}")
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise LakeError(
                f"a file of {self._table.topic} cannot be read: {error}",
                where=str(part.files[0].path.parents[1]),
                mend="See which one: ringup lake verify. Restore it.",
            ) from error
        [(records, turns)] = self._con.execute("select count(*), coalesce(max(_turn), 0) from arrived").fetchall()
        keys = ", ".join(quoted(name) for name in self._table.key)
        same = " and ".join(f"m.{quoted(name)} = n.{quoted(name)}" for name in self._table.key)
        kept = ", ".join(
            quoted(column.name)
            if column.name in self._table.key
            else f"case when not _deleted then {quoted(column.name)} end"
            for column in self._table.columns
        )
        mirror = folded_name(self._table)
        for turn in range(1, int(turns) + 1):
            self._con.execute(
                f"create or replace temp table newest as from arrived where _turn = {turn} "
                f"qualify row_number() over (partition by {keys} order by _position desc, _place desc) = 1"
            )
            self._con.execute(f"delete from newest n using {mirror} m where {same} and n._seen < m._position")
            self._con.execute(f"delete from {mirror} m using newest n where {same}")
            self._con.execute(
                f"insert into {mirror} ({names}, _position, _deleted) select {kept}, _position, _deleted from newest"
            )
        self._con.execute("drop table arrived")
        return int(records)

    def _arrived(self, part: _Part, names: str) -> str:
        """The changes of these files that are to be folded, each with its turn."""
        wanted = " or ".join(
            f"(_partition = {number} and _offset > {self._done.get(number, -1)} and _offset <= {offset})"
            for number, offset in self._upto.items()
        )
        files = ", ".join(literal(str(file.path)) for file in part.files)
        source = f"(from read_parquet([{files}], union_by_name = true, hive_partitioning = false) where {wanted})"
        if not part.typed:
            self._con.execute(
                f"create or replace temp view raw as select {literal(self._table.topic)} as topic, "
                f"{_PLACE} as n, _value as value from {source}"
            )
            source, place = f"({decode_sql(self._table)})", "_n"
        else:
            place = _PLACE
        return f"""
            select * exclude (_read, _other), sum(_other::int) over arrival as _turn
            from (
                select *, _read is distinct from lag(_read) over arrival as _other
                from (
                    select {names}, _seen, _position, _deleted, {place} as _place, _op = 'r' as _read
                    from {source}
                    where _bad is null and _op is not null
                )
                window arrival as (partition by _place >> 48 order by _place)
            )
            window arrival as (partition by _place >> 48 order by _place)
        """


def _looked_at(file: LakeFile, kinds: Mapping[str, pa.DataType]) -> tuple[bool, int]:
    """Whether a file has a table's columns with the types that they have now, and how many rows it has."""
    try:
        described = pq.read_metadata(file.path)
        has = described.schema.to_arrow_schema()
    except (OSError, pa.ArrowException) as error:
        raise LakeError(
            f"the file is damaged: {error}",
            where=str(file.path),
            mend="Restore it, or delete it: where the log still has what was in it, the next run writes it again.",
        ) from error
    fits = all(name in has.names for name in TYPED)
    return fits and all(name in has.names and has.field(name).type == kind for name, kind in kinds.items()), int(
        described.num_rows
    )


def _kinds(table: Table) -> Mapping[str, pa.DataType]:
    """The types, in Arrow, that a table's columns have in a file of the lake."""
    with duckdb.connect(":memory:") as con:
        con.execute("set timezone = 'UTC'")
        columns = ", ".join(f"null::{column.data_type} as {quoted(column.name)}" for column in table.columns)
        return {field.name: field.type for field in con.sql(f"select {columns}").to_arrow_table().schema}
