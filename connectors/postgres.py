"""Makes a PostgreSQL database ready for capture: publication and before images, and says what stands in the way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import psycopg
from psycopg import sql

from ringup.errors import SourceError

_TABLES = (Path(__file__).parent / "postgres.sql").read_text()
_CONNECT_TIMEOUT = 10
_NAME = re.compile(r"\w+\.\w+")


class SourceUnreachable(SourceError):
    """The database does not answer, or not yet: worth waiting for."""


@dataclass(frozen=True, slots=True)
class _Table:
    schema: str
    name: str
    has_key: bool
    full_identity: bool
    published: bool
    readable: bool

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


def prepare(config: Mapping[str, str]) -> list[str]:
    """Make ready what `config` (a resolved connector configuration) captures; returns what was done.

    Raises SourceUnreachable where waiting may help, else SourceError, with the field of the configuration where it is
    one: wrong login, no logical WAL, no tables, a table without a key, missing rights.
    """
    try:
        with _connect(config) as con:
            con.execute("set lock_timeout = '3s'")
            _check_server(con, config)
            tables = _included(con, config)
            _check_reading(tables, config["database.user"])
            done = _check_keys_and_identity(con, tables)
            return done + _publish(con, config["publication.name"], tables)
    except psycopg.OperationalError as error:  # it went away again, or somebody holds a lock
        raise SourceUnreachable(
            f"{config['database.dbname']}: {_last_words(error)}",
            mend="start the database, or end what holds its tables",
        ) from error


def _connect(config: Mapping[str, str]) -> psycopg.Connection:
    place = f"{config['database.hostname']}:{config['database.port']}/{config['database.dbname']}"
    try:
        return psycopg.connect(
            host=config["database.hostname"],
            port=config["database.port"],
            user=config["database.user"],
            password=config["database.password"],
            dbname=config["database.dbname"],
            sslmode=config.get("database.sslmode", "prefer"),
            connect_timeout=_CONNECT_TIMEOUT,
            application_name="ringup",
            autocommit=True,
        )
    except psycopg.OperationalError as error:
        words = _last_words(error)
        if "password authentication failed" in words or "no password supplied" in words:
            raise SourceError(
                f"{place} refuses the login of {config['database.user']}: {words}",
                where="config.database.password",
                mend="correct database.user and database.password, or the variables that they refer to",
            ) from error
        if "does not exist" in words or "pg_hba.conf" in words:
            raise SourceError(
                f"{place}: {words}", where="config.database.dbname", mend="correct it, or let this login in"
            ) from error
        raise SourceUnreachable(
            f"{place} does not answer: {words}",
            mend="start the database, or correct database.hostname and database.port",
        ) from error


def _check_server(con: psycopg.Connection, config: Mapping[str, str]) -> None:
    place = f"{config['database.hostname']}:{config['database.port']}"
    level = _one(con, "show wal_level")
    if level != "logical":
        raise SourceError(
            f"{place} has wal_level={level}, so its changes cannot be followed",
            mend="as an administrator: alter system set wal_level = 'logical'; then restart the server",
        )
    user = config["database.user"]
    if not _one(con, "select rolreplication or rolsuper from pg_roles where rolname = current_user"):
        granted = (
            "select exists (select from pg_roles where rolname = 'rds_replication' and pg_has_role(oid, 'member'))"
        )
        if not _one(con, granted):
            raise SourceError(
                f"the user {user} may not follow changes",
                mend=f'as an administrator: alter role "{user}" replication',
            )


def _included(con: psycopg.Connection, config: Mapping[str, str]) -> list[_Table]:
    rows = con.execute(_TABLES, [config["publication.name"]]).fetchall()
    there = [_Table(*row) for row in rows]
    tables = [t for t in there if includes(config, t.schema, t.name)]
    names = [str(table) for table in there]
    for named in filter(_NAME.fullmatch, _patterns(config, "table.include.list")):
        if named.lower() not in (name.lower() for name in names):
            near = get_close_matches(named, names, n=1)
            raise SourceError(
                f"{config['database.dbname']} has no table {named}",
                where="config.table.include.list",
                mend=f"did you mean {near[0]}?" if near else "correct it, or create the table first",
            )
    if not tables:
        raise SourceError(
            f"{config['database.dbname']} has no table that the source includes",
            mend="correct schema.include.list and table.include.list, or create the tables first",
        )
    return tables


def includes(config: Mapping[str, str], schema: str, table: str) -> bool:
    """Whether a source captures a table. Debezium's own rule: regular expressions for the whole name, in any case."""
    return _wanted(config, "schema", schema) and _wanted(config, "table", f"{schema}.{table}")


def _wanted(config: Mapping[str, str], kind: str, name: str) -> bool:
    patterns, refused = (_patterns(config, f"{kind}.{rule}.list") for rule in ("include", "exclude"))
    matches = [bool(re.fullmatch(pattern, name, re.IGNORECASE)) for pattern in patterns or refused]
    return any(matches) if patterns else not any(matches)


def _patterns(config: Mapping[str, str], setting: str) -> list[str]:
    return [pattern.strip() for pattern in config.get(setting, "").split(",") if pattern.strip()]


def _check_reading(tables: list[_Table], user: str) -> None:
    """A snapshot reads the tables; all that may not be read are told at once."""
    closed = [table for table in tables if not table.readable]
    if closed:
        schemas = ", ".join(sorted({f'"{table.schema}"' for table in closed}))
        raise SourceError(
            f"the user {user} may not read {', '.join(map(str, closed))}",
            mend=f'as their owner: grant usage on schema {schemas} to "{user}"; '
            f'grant select on {", ".join(map(str, closed))} to "{user}"',
        )


def _check_keys_and_identity(con: psycopg.Connection, tables: list[_Table]) -> list[str]:
    done = []
    for table in tables:
        if not table.has_key:
            raise SourceError(
                f"the table {table} has no primary key, so its rows cannot be told apart",
                mend=f"alter table {table} add primary key (...), or leave it out by table.exclude.list",
            )
    for table in tables:
        if not table.full_identity:
            _alter(con, sql.SQL("alter table {} replica identity full").format(table.identifier))
            done.append(f"{table}: before images (replica identity full)")
    return done


def _publish(con: psycopg.Connection, publication: str, tables: list[_Table]) -> list[str]:
    name = sql.Identifier(publication)
    missing = [table for table in tables if not table.published]
    if not missing:
        return []
    listed = sql.SQL(", ").join(table.identifier for table in missing)
    if _one(con, "select exists (select from pg_publication where pubname = %s)", publication):
        _alter(con, sql.SQL("alter publication {} add table {}").format(name, listed))
    else:
        _alter(
            con,
            sql.SQL("create publication {} for table {} with (publish_via_partition_root)").format(name, listed),
        )
    return [f"{table}: added to the publication {publication}" for table in missing]


def _alter(con: psycopg.Connection, statement: sql.Composed) -> None:
    try:
        con.execute(statement)
    except psycopg.errors.InsufficientPrivilege as error:
        raise SourceError(
            f"the user may not prepare the database: {_last_words(error)}",
            mend=f"as the owner of the tables: {statement.as_string(con)}",
        ) from error


def _one(con: psycopg.Connection, query: str, *values: object) -> object:
    row = con.execute(query, values).fetchone()
    return None if row is None else row[0]


def _last_words(error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
