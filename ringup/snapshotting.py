"""`ringup connectors snapshot`: a source reads tables again, as they are now."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import typer

from connectors.databases import database_of
from connectors.included import includes
from connectors.kafka_signals import KafkaSignals
from connectors.lacking import SourceUnreachable
from connectors.signals import ask_by_file
from connectors.sources import Source, resolve
from ringup import service
from ringup.changes import connect_of
from ringup.checked import nearest
from ringup.config import Config, load_config
from ringup.connecting import chosen
from ringup.errors import ConfigError


def ask_for_snapshot(project: Path, name: str, tables: Sequence[str]) -> None:
    """Ask, and say what was asked for and where its end is seen.

    Raises ConfigError for a source or a table that is not there, and SourceError or LogError for one that cannot be
    asked.
    """
    config = load_config(project, os.environ, channels=False)
    (source,) = chosen(config.sources_folder, [name])
    login, known, unreachable = _login(source)
    for table in tables:
        _check(source, table, known, all_of_them=login is not None)
    if config.kafka is None:
        ask_by_file(config.state_folder, source.name, tables)
    else:
        KafkaSignals(config.kafka.access, connect_of(config.kafka)).ask_for_snapshot(source, tables)
    if login is not None:
        database_of(login).nudge(login)
    typer.echo(f"{name}: asked to read {', '.join(tables)} again. Nothing fires from the rows that it reads.")
    if unreachable:
        typer.echo(f"In a database that is idle now it begins with the next change, since {unreachable}.")
    typer.echo(_end_of_it(config, source))


def _login(source: Source) -> tuple[dict[str, str] | None, list[str], str]:
    """How to reach the database, and its tables; or why nobody can from here, and the tables that are written down.

    Kafka Connect may be the only one that knows the login.
    """
    try:
        login = resolve(source, os.environ)
        return login, database_of(login).captured(login), ""
    except (ConfigError, SourceUnreachable) as error:
        listed = source.config.get("table.include.list", "").split(",")
        return None, [name.strip() for name in listed if name.strip()], error.message


def _check(source: Source, table: str, known: Sequence[str], *, all_of_them: bool) -> None:
    """Raise ConfigError for a table that the source does not capture: nobody would ever hear of it."""
    schema, _, name = table.rpartition(".")
    if (all_of_them and table not in known) or not schema or not includes(source.config, schema, name):
        raise ConfigError(
            f"{source.name} captures no table {table}",
            where=source.path,
            mend=nearest(table, known) if known else "Write it as schema.table.",
        )


def _end_of_it(config: Config, source: Source) -> str:
    """How it is seen that it is done."""
    line = f"{config.state_folder}/logs/ringup.log says of each table that it was read again"
    if config.kafka is not None:
        return f"It is done with the record COMPLETED of the topic {source.prefix}.notifications; {line}."
    try:
        service.ask(config.state_folder, "status")
    except service.NotRunning:
        return f"Nothing runs now, so it begins with the next `ringup run`; {line}."
    return f"`ringup status` shows {source.name} as `snapshot`, and as `streaming` when it is done; {line}."
