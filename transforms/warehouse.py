"""The one DuckDB file that holds the state: opened by one process, written by one connection."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from connectors.log import Batch, flat, nested
from ringup.errors import WarehouseError

FORMAT = "1"
ROW_GROUP = 20_480
"""Rows a row group: small, so that the zone maps of a table clustered by profile leave out nearly all of it."""

SMALL_BATCH = 2_000
"""Changes up to which one thread is faster than several."""

TEMP = '"temp"."main".'

IDLE_CHECKPOINT = 16 << 20
"""Bytes of write-ahead log from which a quiet moment is used for a checkpoint."""


def sql_of(name: str) -> str:
    """The text of a `.sql` file beside the transforms."""
    return files("transforms").joinpath(name).read_text(encoding="utf-8")


def quoted(*parts: str) -> str:
    """A qualified SQL name."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


@dataclass(frozen=True, slots=True)
class Settings:
    """How much of the machine DuckDB may take."""

    memory_limit: str = "2GB"
    threads: int = 2


class Warehouse:
    """The state on disk, attached as `live` to an in-memory catalog, so that its row groups can be small.

    `con` is the writing connection; `reader()` gives another one that sees only what was committed.
    """

    def __init__(self, path: Path, settings: Settings | None = None, *, read_only: bool = False) -> None:
        """With `read_only` not a byte of it changes; what a crash left in the write-ahead log is read, too."""
        self.settings = settings = settings or Settings()
        self._small = self._refused = False
        self._numbers = count()
        self._topics: Mapping[str, str] = {}  # as they are noted
        self.undone: list[Callable[[], None]] = []
        self.path = path
        self.con = duckdb.connect(":memory:")
        how = "read_only" if read_only else f"row_group_size {ROW_GROUP}"
        location = str(path).replace("'", "''")
        try:
            self.con.execute(f"set memory_limit = '{settings.memory_limit}'")
            self.con.execute(f"set threads = {settings.threads}")
        except duckdb.Error as error:
            self.con.close()
            raise WarehouseError(
                f"DuckDB cannot work with these settings: {error}",
                where="ringup.yml: pipeline",
                mend="Correct `memory_limit` and `threads`; the defaults are 2GB and 2.",
            ) from error
        try:
            self.con.execute("set preserve_insertion_order = true")
            self.con.execute("set timezone = 'UTC'")
            self.con.execute("set checkpoint_threshold = '1GB'")
            self.con.execute(f"attach '{location}' as live ({how})")
        except duckdb.Error as error:
            self.con.close()
            raise WarehouseError(
                f"the state cannot be opened: {error}",
                where=str(path),
                mend="If another program has the file open, close it. If it is damaged, move the state folder away: "
                "the next run builds it again from the sources.",
            ) from error
        if not read_only:
            self.con.execute(sql_of("warehouse.sql"))
            if self.fact("format") is None:
                self.remember("format", FORMAT)
        known = self.fact("format")
        if known != FORMAT:
            self.con.close()
            raise WarehouseError(
                f"the state has format {known}, this ringup writes format {FORMAT}",
                where=str(path),
                mend="Use the ringup that wrote it, or move the state folder away: the next run builds it again.",
            )
        self.batch: int = self.number("select coalesce(max(batch), 0) from live.ringup.commits")

    def row(self, sql: str, parameters: list[object] | None = None) -> tuple[Any, ...] | None:
        """The first row of a result, read to its end: an unfinished result would block the connection."""
        rows = self.con.execute(sql, parameters or []).fetchall()
        return rows[0] if rows else None

    def number(self, sql: str, parameters: list[object] | None = None) -> int:
        """The first value of a result, 0 for none."""
        row = self.row(sql, parameters)
        return int(row[0] or 0) if row else 0

    def changed(self, sql: str, *parameters: object) -> int:
        """Run an insert, update or delete; the number of rows."""
        return int(self.con.execute(sql, list(parameters)).fetchall()[0][0])

    def expect(self, changes: int) -> None:
        """Say how large the next batch is. A small one runs on one thread, as starting others would cost more."""
        small = changes <= SMALL_BATCH
        if small != self._small:
            self.con.execute(f"set threads = {1 if small else self.settings.threads}")
            self._small = small

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing of it; after nothing, each of `undone` is called, to forget what is not so."""
        self.con.execute("begin")
        try:
            yield
        except BaseException:
            with suppress(duckdb.TransactionException):
                self.con.execute("rollback")
            self._topics = {}
            for forget in self.undone:
                forget()
            raise
        self.con.execute("commit")

    def fact(self, name: str) -> str | None:
        """What `remember` noted under this name."""
        row = self.row("select value from live.ringup.facts where name = ?", [name])
        return None if row is None else str(row[0])

    def remember(self, name: str, value: str) -> None:
        """Note a fact about this file."""
        self.forget(name)
        self.con.execute("insert into live.ringup.facts values (?, ?)", [name, value])

    def forget(self, name: str) -> None:
        """A fact does not hold any more."""
        self.con.execute("delete from live.ringup.facts where name = ?", [name])

    def positions(self) -> dict[tuple[str, int], int]:
        """Where the log is read on from: the newest commit's positions."""
        row = self.row("select positions from live.ringup.commits order by batch desc limit 1")
        if row is None:
            return {}
        return flat(orjson.loads(row[0]))

    def arrow(self, sql: str, parameters: list[object] | None = None) -> pa.Table:
        """A query's whole result."""
        with warnings.catch_warnings(action="ignore"):  # `con.sql` would save a copy of the rows, but plan twice
            return self.con.execute(sql, parameters or []).to_arrow_table()

    def question(self, sql: str) -> Callable[[], pa.Table]:
        """A query that is asked often: bound once, it costs less to run and to read than by `arrow`."""
        answer: Callable[[], pa.Table] = self.con.sql(sql).to_arrow_table
        return answer

    def computation(self, sql: str) -> Callable[[], pa.Table]:
        """A query that reads nothing but Arrow tables: DuckDB keeps the plan of such a prepared statement."""
        run = self._prepared(sql)
        return lambda: self.arrow(run)

    def order(self, sql: str) -> Callable[[], int]:
        """An insert or delete that is carried out often; gives the number of rows."""
        run = self._prepared(sql)
        return lambda: self.changed(run)

    def _prepared(self, sql: str) -> str:
        name = quoted(f"statement {next(self._numbers)}")
        self.con.execute(f"prepare {name} as {sql}")
        return f"execute {name}"

    def topics(self) -> Mapping[str, str]:
        """The ids of the topics that the positions are of, as far as they have any."""
        known: dict[str, str] = orjson.loads(self.fact("topics") or "{}")
        return known

    def commit_positions(self, batch: Batch) -> None:
        """Note, in the caller's transaction, that everything up to the batch's positions is in."""
        if batch.topics != self._topics:
            self._topics = batch.topics
            self.remember("topics", orjson.dumps(dict(batch.topics)).decode())
        self.batch += 1
        self.con.execute(
            "insert into live.ringup.commits values (?, ?, ?, ?)",
            [self.batch, orjson.dumps(nested(batch.positions)).decode(), batch.records.num_rows, datetime.now(UTC)],
        )

    def checkpoint(self) -> None:
        """Write a checkpoint, or leave it to the next quiet moment when somebody who reads is in the way.

        DuckDB keeps a commit that changed rows or tables for as long as anyone reads what was there before it, and
        refuses a checkpoint until then. Nothing is lost: the write-ahead log has it all, and the next start reads that.
        """
        try:
            self.con.execute("checkpoint live")
        except duckdb.TransactionException as error:
            if "other write transactions" not in str(error):
                raise
            self._refused = True
        else:
            self._refused = False

    def tidy(self) -> None:
        """In a quiet moment: forget old commits and write a checkpoint when the write-ahead log has grown."""
        wal = self.path.with_name(self.path.name + ".wal")
        if wal.exists() and wal.stat().st_size > IDLE_CHECKPOINT:
            self.con.execute("delete from live.ringup.commits where batch < ?", [self.batch - 100])
            self.checkpoint()
        elif self._refused:
            self.checkpoint()

    def columns(self, relation: str) -> Mapping[str, str]:
        """Names and types of a relation's columns, in order."""
        rows = self.con.execute(f"select column_name, column_type from (describe {relation})").fetchall()
        return {str(name): str(kind) for name, kind in rows}

    def reader(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own, for one thread, that sees what was committed."""
        reader = self.con.cursor()
        reader.execute("set timezone = 'UTC'")  # it is the connection's, not the database's
        return reader

    def close(self) -> None:
        """Write a checkpoint and release the file."""
        try:
            self.checkpoint()
        finally:
            self.con.close()
