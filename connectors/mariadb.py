"""Looks whether a MariaDB database is ready for capture, and says what stands in the way. It changes nothing there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import pymysql

from connectors.catalog import Catalog, CatalogTable, Needs
from connectors.included import includes
from connectors.lacking import columns_lack, names_lack, together
from connectors.mariadb_catalog import UNREADABLE, tables_of
from connectors.mariadb_session import Session, connect, place_of, rows
from ringup.errors import SourceError

_VARIABLES: Mapping[str, tuple[str, str]] = {
    "log_bin": ("ON", "its changes cannot be followed"),
    "binlog_format": ("ROW", "its log has statements in the place of rows"),
    "binlog_row_image": ("FULL", "its log has rows in part only"),
    "log_bin_compress": ("OFF", "its log is compressed, and the connector would lose changes without a word"),
}
_PRIVILEGES = {"REPLICATION SLAVE": ("REPLICATION SLAVE",), "REPLICATION CLIENT": ("BINLOG MONITOR",)}
"""What the login needs on all databases, and other names of it."""

_ALL = "ALL PRIVILEGES"
_SKIP = "schema.history.internal.skip.unparseable.ddl"
_LISTS = ("include.list", "exclude.list")


def prepare(config: Mapping[str, str], declared: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """See that what `config` (a resolved connector configuration) captures is ready; nothing is ever done to it.

    `declared` are the columns of each table (`database.table`) that the project counts on.

    Raises SourceUnreachable where waiting may help, else SourceError with all that is to be mended: no log of whole
    rows, missing privileges, no tables, a table without a key, a column that is not there or that cannot be captured.
    """
    with connect(config) as session:
        if lacking := _survey(session, config, declared or {}):
            raise together(lacking)
    return []


def examine(config: Mapping[str, str]) -> Needs:
    """All that `prepare` would raise. Raises SourceError when the server cannot be asked."""
    with connect(config) as session:
        return Needs(tuple(_survey(session, config, {})), ())


def captured(config: Mapping[str, str]) -> list[str]:
    """The tables (`database.table`) that are there and that `config` captures. Raises SourceError as `prepare` does."""
    with connect(config) as session:
        return [str(table) for table in tables_of(session) if includes(config, table.schema, table.name)]


def _survey(session: Session, config: Mapping[str, str], declared: Mapping[str, Sequence[str]]) -> list[SourceError]:
    """What stands in the way."""
    there = tables_of(session)
    tables = [table for table in there if includes(config, table.schema, table.name)]
    lacks = (
        _server_lacks(session, config),
        _login_lacks(session, config),
        names_lack(config, place_of(config), [str(table) for table in there]),
        _nothing_included(config, tables),
        chain.from_iterable(_table_lacks(session, config, table) for table in tables),
        _types_lack(config, there),
        columns_lack(declared, {str(table): [column.name for column in table.columns] for table in tables}),
    )
    return list(chain.from_iterable(lacks))


def _server_lacks(session: Session, config: Mapping[str, str]) -> Iterator[SourceError]:
    there = dict(rows(session, f"show global variables where variable_name in {tuple(_VARIABLES)}"))
    for name, (wanted, cause) in _VARIABLES.items():
        if (value := there.get(name, wanted)) != wanted:  # an old server has no compression
            yield SourceError(
                f"{place_of(config)} has {name}={value}, so {cause}",
                mend=f"as an administrator: set global {name} = {wanted}; and the same in the server's my.cnf"
                if name != "log_bin"
                else "write log_bin into the server's my.cnf, then restart the server",
            )


def _login_lacks(session: Session, config: Mapping[str, str]) -> Iterator[SourceError]:
    """To follow the log, and to read a snapshot while nothing changes."""
    everywhere = _granted_everywhere(session)
    missing = [
        privilege
        for privilege, others in _PRIVILEGES.items()
        if not everywhere & {privilege, *others, _ALL}  # those of its roles are among them
    ]
    if config.get("snapshot.locking.mode") != "none" and not everywhere & {"RELOAD", _ALL}:
        missing.append("RELOAD")
    if missing:
        yield SourceError(
            f"the user {config['database.user']} may not follow changes: it lacks {', '.join(missing)}",
            mend=f"as an administrator: grant {', '.join(missing).lower()} on *.* to {_account(session)}",
        )


def _account(session: Session) -> str:
    user, _, host = rows(session, "select current_user()")[0][0].rpartition("@")
    return f"'{user}'@'{host}'"


def _granted_everywhere(session: Session) -> set[str]:
    """What the login and its roles may do on all databases."""
    lines = (re.match(r"GRANT (.+) ON \*\.\* TO ", words) for (words,) in rows(session, "show grants"))
    return {word.strip() for found in lines if found for word in found[1].split(",")}


def _nothing_included(config: Mapping[str, str], tables: Sequence[CatalogTable]) -> Iterator[SourceError]:
    if not tables:
        yield SourceError(
            f"{place_of(config)} has no table that the source includes and the user {config['database.user']} may see",
            mend="correct database.include.list and table.include.list, create the tables, or grant select on them",
        )


def _table_lacks(session: Session, config: Mapping[str, str], table: CatalogTable) -> Iterator[SourceError]:
    """A snapshot reads the table, and rows are told apart by their keys."""
    user, quoted = config["database.user"], f"`{table.schema}`.`{table.name}`"
    try:
        rows(session, f"select 1 from {quoted} limit 0")
    except pymysql.OperationalError:
        yield SourceError(
            f"the user {user} may not read {table}", mend=f"grant select on {quoted} to {_account(session)}"
        )
    if not table.key:
        yield SourceError(
            f"the table {table} has no primary key, so its rows cannot be told apart",
            mend=f"alter table {quoted} add primary key (...), or leave it out by table.exclude.list",
        )


def _types_lack(config: Mapping[str, str], there: Catalog) -> Iterator[SourceError]:
    """The connector reads the definitions of all tables of a database, unless it may skip those that it cannot read."""
    skips = config.get(_SKIP) == "true"
    read = config if skips else {f"database.{rule}": config.get(f"database.{rule}", "") for rule in _LISTS}
    for table in there:
        for column in table.columns:
            if column.told in UNREADABLE and includes(read, table.schema, table.name):
                yield SourceError(
                    f"the column {table}.{column.name} is of the type {column.told}, at which the connector stops",
                    mend=f"alter table `{table.schema}`.`{table.name}` modify `{column.name}` varchar(...)"
                    if includes(config, table.schema, table.name)
                    else f"set {_SKIP} to true in the source, since it does not capture {table}",
                )
