"""Makes a PostgreSQL database ready for capture: publication and before images, and says what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import psycopg
from psycopg import sql

from connectors.catalog import Needs
from connectors.included import includes
from connectors.lacking import SourceUnreachable, columns_lack, names_lack, together
from connectors.postgres_session import connect, last_words, one
from ringup.errors import SourceError

_TABLES = (Path(__file__).parent / "postgres.sql").read_text()


_Step: TypeAlias = tuple[sql.Composed, str]
"""A statement, and what was done when it has run."""


@dataclass(frozen=True, slots=True)
class _Table:
    schema: str
    name: str
    has_key: bool
    full_identity: bool
    published: bool
    readable: bool
    columns: list[str]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


def prepare(config: Mapping[str, str], declared: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """Make ready what `config` (a resolved connector configuration) captures; returns what was done.

    `declared` are the columns of each table (`schema.table`) that the project counts on.

    Raises SourceUnreachable where waiting may help, else SourceError, with the field of the configuration where it is
    one: wrong login, no logical WAL, no tables, a table without a key, a column that is not there, missing rights.
    """
    try:
        with connect(config) as con:
            con.execute("set lock_timeout = '3s'")
            lacking, steps = _survey(con, config, declared or {})
            if lacking:
                raise together(lacking)
            _carry_out(con, steps)
            return [done for _, done in steps]
    except psycopg.OperationalError as error:  # it went away again, or somebody holds a lock
        raise SourceUnreachable(
            f"{config['database.dbname']}: {last_words(error)}",
            mend="start the database, or end what holds its tables",
        ) from error


def examine(config: Mapping[str, str]) -> Needs:
    """What `prepare` would find and do, with nothing done. Raises SourceError when the database cannot be asked."""
    with connect(config) as con:
        lacking, steps = _survey(con, config, {})
        return Needs(tuple(lacking), tuple(statement.as_string(con) for statement, _ in steps))


def captured(config: Mapping[str, str]) -> list[str]:
    """The tables (`schema.table`) that are there and that `config` captures. Raises SourceError as `prepare` does."""
    with connect(config) as con:
        return [str(table) for table in _tables(con, config) if includes(config, table.schema, table.name)]


def _tables(con: psycopg.Connection, config: Mapping[str, str]) -> list[_Table]:
    return [_Table(*row) for row in con.execute(_TABLES, [config["publication.name"]]).fetchall()]


def _survey(
    con: psycopg.Connection, config: Mapping[str, str], declared: Mapping[str, Sequence[str]]
) -> tuple[list[SourceError], list[_Step]]:
    """What stands in the way, and what is to be done once nothing does."""
    there = _tables(con, config)
    tables = [table for table in there if includes(config, table.schema, table.name)]
    lacks = (
        _server_lacks(con, config),
        names_lack(config, config["database.dbname"], [str(table) for table in there]),
        _nothing_included(config, tables),
        _tables_lack(config, tables),
        columns_lack(declared, {str(table): table.columns for table in tables}),
    )
    steps = [*_identities(tables), *_publication(con, config["publication.name"], tables)]
    return list(chain.from_iterable(lacks)), steps


def _server_lacks(con: psycopg.Connection, config: Mapping[str, str]) -> Iterator[SourceError]:
    place = f"{config['database.hostname']}:{config['database.port']}"
    level = one(con, "show wal_level")
    if level != "logical":
        yield SourceError(
            f"{place} has wal_level={level}, so its changes cannot be followed",
            mend="as an administrator: alter system set wal_level = 'logical'; then restart the server",
        )
    user = config["database.user"]
    if not one(con, "select rolreplication or rolsuper from pg_roles where rolname = current_user"):
        granted = (
            "select exists (select from pg_roles where rolname = 'rds_replication' and pg_has_role(oid, 'member'))"
        )
        if not one(con, granted):
            yield SourceError(
                f"the user {user} may not follow changes",
                mend=f'as an administrator: alter role "{user}" replication',
            )


def _nothing_included(config: Mapping[str, str], tables: list[_Table]) -> Iterator[SourceError]:
    if not tables:
        yield SourceError(
            f"{config['database.dbname']} has no table that the source includes",
            mend="correct schema.include.list and table.include.list, or create the tables first",
        )


def _tables_lack(config: Mapping[str, str], tables: list[_Table]) -> Iterator[SourceError]:
    """A snapshot reads the tables, and rows are told apart by their keys."""
    user, closed = config["database.user"], [table for table in tables if not table.readable]
    if closed:
        schemas = ", ".join(sorted({f'"{table.schema}"' for table in closed}))
        yield SourceError(
            f"the user {user} may not read {', '.join(map(str, closed))}",
            mend=f'as their owner: grant usage on schema {schemas} to "{user}"; '
            f'grant select on {", ".join(map(str, closed))} to "{user}"',
        )
    for table in tables:
        if not table.has_key:
            yield SourceError(
                f"the table {table} has no primary key, so its rows cannot be told apart",
                mend=f"alter table {table} add primary key (...), or leave it out by table.exclude.list",
            )


def _identities(tables: list[_Table]) -> Iterator[_Step]:
    for table in tables:
        if not table.full_identity:
            statement = sql.SQL("alter table {} replica identity full").format(table.identifier)
            yield statement, f"{table}: before images (replica identity full)"


def _publication(con: psycopg.Connection, publication: str, tables: list[_Table]) -> Iterator[_Step]:
    name, made = sql.Identifier(publication), "alter publication {} add table {}"
    if not one(con, "select exists (select from pg_publication where pubname = %s)", publication):
        made = "create publication {} for table {} with (publish_via_partition_root)"
    missing = [table for table in tables if not table.published]
    if missing:
        listed = sql.SQL(", ").join(table.identifier for table in missing)
        told = ", ".join(map(str, missing))
        yield sql.SQL(made).format(name, listed), f"{told}: added to the publication {publication}"


def _carry_out(con: psycopg.Connection, steps: Sequence[_Step]) -> None:
    for number, (statement, _) in enumerate(steps):
        try:
            con.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            rest = "; ".join(statement.as_string(con) for statement, _ in steps[number:])
            raise SourceError(
                f"the user may not prepare the database: {last_words(error)}",
                mend=f"as the owner of the tables: {rest}",
            ) from error
