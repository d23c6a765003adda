"""A MariaDB server that somebody talks to: logging in, and what it means when that fails."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import pymysql

from connectors.lacking import SourceUnreachable, check_port, login_refused

Session: TypeAlias = "pymysql.Connection[Any]"

_TIMEOUT = 10
_LOGIN_REFUSED = (1045, 1698)


@contextmanager
def connect(config: Mapping[str, str]) -> Iterator[Session]:
    """Log in for a while, as `config` says, a resolved connector configuration; every statement commits by itself.

    Raises SourceUnreachable where waiting may help, also for a server that goes away meanwhile, else SourceError with
    the field.
    """
    with _log_in(config) as session:
        try:
            yield session
        except pymysql.MySQLError as error:
            place = place_of(config)
            raise SourceUnreachable(f"{place}: {last_words(error)}", mend="start the server again") from error


def _log_in(config: Mapping[str, str]) -> Session:
    place = place_of(config)
    check_port(config, "MariaDB mostly has 3306")
    try:
        return pymysql.connect(
            host=config["database.hostname"],
            port=int(config["database.port"]),
            user=config["database.user"],
            password=config["database.password"],
            ssl=_encryption(config.get("database.ssl.mode", "")),
            connect_timeout=_TIMEOUT,
            read_timeout=_TIMEOUT,
            charset="utf8mb4",
            autocommit=True,
        )
    except pymysql.MySQLError as error:
        if _number(error) in _LOGIN_REFUSED:
            raise login_refused(config, place, last_words(error)) from error
        raise SourceUnreachable(
            f"{place} does not answer: {last_words(error)}",
            mend="start the server, or correct database.hostname, database.port and database.ssl.mode",
        ) from error


def place_of(config: Mapping[str, str]) -> str:
    """Where the server is."""
    return f"{config['database.hostname']}:{config['database.port']}"


def rows(session: Session, query: str) -> Sequence[tuple[Any, ...]]:
    """What a query says."""
    with session.cursor() as cursor:
        cursor.execute(query)
        found: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return found


def last_words(error: pymysql.MySQLError) -> str:
    """What an error says."""
    return str(error.args[-1]) if error.args else type(error).__name__


def _number(error: pymysql.MySQLError) -> object:
    return error.args[0] if error.args else None


def _encryption(mode: str) -> ssl.SSLContext | None:
    """As Debezium's `database.ssl.mode` says, by the certificates that this machine trusts."""
    if mode.lower() in ("", "disable", "disabled"):
        return None
    context = ssl.create_default_context()
    context.check_hostname = mode.lower() in ("verify-full", "verify_full", "verify_identity")
    if "verify" not in mode.lower():
        context.verify_mode = ssl.CERT_NONE
    return context
