"""The project's connectors in Kafka Connect: compared with their files, applied, looked at and shown."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from connectors.connect import Connect, ConnectorState, NotThere
from connectors.databases import database_of
from connectors.drift import Step, desired, shown, step
from connectors.kafka_signals import KafkaSignals
from connectors.sources import Source, load_sources, refuse_avro, resolve
from ringup.checked import nearest
from ringup.config import load_config
from ringup.errors import ConfigError, SourceError
from ringup.show import console

_WORDS = {
    "create": ("to be created", "created"),
    "change": ("to be changed", "changed"),
    "nothing": ("as it should be", "as it should be"),
}


class Connecting:
    """The sources of a project, those with `names` or all, and the Connect cluster that is to run them."""

    def __init__(self, project: Path, names: Iterable[str] | None = None) -> None:
        config = load_config(project, os.environ, channels=False)
        if config.kafka is None or config.kafka.connect is None:
            raise ConfigError(
                "no Kafka Connect is named",
                where="ringup.yml: kafka.connect",
                mend="Add a block `kafka:` with `bootstrap` and `connect`; docs/kafka.md has an example.",
            )
        self.connect = Connect(config.kafka.connect)
        self.sources = chosen(config.sources_folder, names)
        if config.kafka.registry is None:
            refuse_avro(self.sources)
        self._bootstrap = config.kafka.bootstrap
        self._signals = KafkaSignals(config.kafka.access)

    def plan(self) -> list[Step]:
        """What differs between the files and Connect."""
        return [step(s.name, self._desired(s), self.connect.config(s.name)) for s in self.sources]

    def apply(self) -> list[Step]:
        """Make Connect have what the files say; what was done. All is checked before the first is changed.

        Raises SourceError with file and field for what Connect or the database refuses.
        """
        steps = self.plan()
        waiting = {found.name for found in steps if found.kind != "nothing"}
        changed = [source for source in self.sources if source.name in waiting]
        for source in changed:
            _prepare(source)
            for field, words in self.connect.mistakes(source.name, self._desired(source)):
                raise SourceError(
                    f"Kafka Connect refuses it: {words}",
                    where=f"{source.path}: config.{field}",
                    mend="Correct the value.",
                )
        for source in changed:
            if topic := self._signals.make_topic(source):
                typer.echo(f"{source.name}: made the topic {topic}", err=True)
            self.connect.put(source.name, self._desired(source))
        return steps

    def states(self) -> list[ConnectorState]:
        """What they are doing."""
        return [self._state(source.name) for source in self.sources]

    def _desired(self, source: Source) -> dict[str, str]:
        return desired(source, self._bootstrap)

    def _state(self, name: str) -> ConnectorState:
        try:
            return self.connect.state(name)
        except NotThere:
            return ConnectorState(name, "MISSING", "create it: ringup connectors apply", ())


def chosen(folder: Path, names: Iterable[str] | None = None) -> list[Source]:
    """The sources of a folder, those with `names` or all; ConfigError for a name that none of them has."""
    sources = {source.name: source for source in load_sources(folder)}
    for name in names or ():
        if name not in sources:
            raise ConfigError(f"no source is called {name}", where=str(folder), mend=nearest(name, sources))
    return [source for name, source in sources.items() if not names or name in names]


def _prepare(source: Source) -> None:
    """Make the database ready, where its login is known here; Connect may be the only one that knows it."""
    try:
        config = resolve(source, os.environ)
    except ConfigError as error:
        typer.echo(f"{source.name}: the database is not prepared from here: {error.message}", err=True)
        return
    try:
        for done in database_of(config).prepare(config):
            typer.echo(f"{source.name}: {done}", err=True)
    except SourceError as error:
        field = f": {error.where}" if error.where else ""
        raise SourceError(error.message, mend=error.mend, where=f"{source.path}{field}") from error


def show_steps(steps: Iterable[Step], *, as_json: bool, done: bool) -> None:
    """What is to be done or was done about each connector, setting by setting."""
    if as_json:
        typer.echo(json.dumps([_said(found) for found in steps], indent=2))
        return
    for found in steps:
        console.print(Text.assemble((found.name, "bold"), f": {_WORDS[found.kind][done]}"))
        for key, (was, will) in found.changes.items():
            for sign, value, style in (("-", was, "red"), ("+", will, "green")):
                if value is not None:
                    console.print(Text(f"  {sign} {key} = {shown(key, value)}", style=style), soft_wrap=True)


def _said(found: Step) -> dict[str, Any]:
    changes = {key: {"is": shown(key, was), "becomes": shown(key, will)} for key, (was, will) in found.changes.items()}
    return {"connector": found.name, "step": found.kind, "changes": changes}


def show_states(states: Iterable[ConnectorState], *, as_json: bool) -> None:
    """Connectors and their tasks."""
    if as_json:
        typer.echo(json.dumps([asdict(state) for state in states], indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Connector", "State", "Tasks", "Why"):
        table.add_column(title, overflow="fold")
    for state in states:
        tasks = ", ".join(f"task {task.number} {task.state}" for task in state.tasks)
        table.add_row(state.name, state.state, tasks, state.failed or state.cause or "")
    console.print(table)
