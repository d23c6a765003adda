"""A PostgreSQL database that somebody talks to: logging in, and what it means when that fails."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from connectors.lacking import SourceUnreachable, check_port, login_refused
from ringup.errors import SourceError

_CONNECT_TIMEOUT = 10
NUDGE = "ringup"
"""The prefix of the messages that ringup writes into the WAL; they go no further."""


def connect(config: Mapping[str, str]) -> psycopg.Connection:
    """Log in as `config` says, a resolved connector configuration; every statement is a transaction of its own.

    Raises SourceUnreachable where waiting may help, else SourceError with the field.
    """
    place = f"{config['database.hostname']}:{config['database.port']}/{config['database.dbname']}"
    check_port(config, "PostgreSQL mostly has 5432")
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
        words = last_words(error)
        if "password authentication failed" in words or "no password supplied" in words:
            raise login_refused(config, place, words) from error
        if "does not exist" in words or "pg_hba.conf" in words:
            raise SourceError(
                f"{place}: {words}", where="config.database.dbname", mend="correct it, or let this login in"
            ) from error
        raise SourceUnreachable(
            f"{place} does not answer: {words}",
            mend="start the database, or correct database.hostname and database.port",
        ) from error


def nudge(config: Mapping[str, str]) -> None:
    """Write a transaction that changes nothing: Debezium looks up from its search for where it was at the next one."""
    try:
        with connect(config) as con:
            con.execute("select pg_logical_emit_message(true, %s, '')", [NUDGE])
    except psycopg.Error as error:
        raise SourceUnreachable(
            f"{config['database.dbname']}: {last_words(error)}", mend="start the database"
        ) from error


def one(con: psycopg.Connection, query: str, *values: object) -> object:
    """The first value of the first row; None where there is no row."""
    row = con.execute(query, values).fetchone()
    return None if row is None else row[0]


def last_words(error: psycopg.Error) -> str:
    """What an error says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
