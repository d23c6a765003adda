"""Debezium's signals: what lets a source that streams read tables again, told by a file or by a topic of Kafka."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from connectors.databases import POSTGRES, database_of

TOPIC = "signal.kafka.topic"
"""The setting that names the topic which a connector listens to."""

_CHANNELS = "signal.enabled.channels"
_POLL: Mapping[str, str] = {"signal.poll.interval.ms": "500"}


def execute_snapshot(tables: Sequence[str]) -> str:
    """The signal that lets these tables (`schema.table`) be read again, as they are now, between two changes.

    Streaming rests meanwhile and goes on where it was: no change is missed.
    """
    data = {"type": "BLOCKING", "data-collections": [re.escape(table) for table in tables]}
    return json.dumps({"id": str(uuid4()), "type": "execute-snapshot", "data": data})


def by_file(state: Path, source: str) -> dict[str, str]:
    """The settings with which a source's embedded engine listens to `ask_by_file`."""
    file = _file(state, source)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return {**_POLL, _CHANNELS: "file", "signal.file": str(file), **POSTGRES.unheard}


def ask_by_file(state: Path, source: str, tables: Sequence[str]) -> None:
    """Let a source's embedded engine read tables again: now, or when it starts. It empties the file as it reads it."""
    file = _file(state, source)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(execute_snapshot(tables) + "\n")


def by_topic(config: Mapping[str, str], bootstrap: str) -> dict[str, str]:
    """The settings with which a connector listens to a topic; what `config` says of them stays.

    `bootstrap` are the brokers. How to log in to them is for `config` to say, as `signal.consumer.*`.
    """
    ours = {**_POLL, TOPIC: f"{config['topic.prefix']}.signals", "signal.kafka.bootstrap.servers": bootstrap}
    found = {key: config.get(key, value) for key, value in ours.items()}
    found[_CHANNELS] = _with(config.get(_CHANNELS), "kafka")
    for excluded, word in database_of(config).unheard.items():
        if excluded.replace("exclude", "include") not in config:  # only one of the two lists may be there
            found[excluded] = _with(config.get(excluded), word)
    return found


def topic_of(config: Mapping[str, str]) -> str | None:
    """The topic that a connector with this configuration listens to, if it does to any."""
    listens = "kafka" in _words(config.get(_CHANNELS))
    return config.get(TOPIC, f"{config['topic.prefix']}-signal") if listens else None


def _file(state: Path, source: str) -> Path:
    return state / "signals" / f"{source}.json"


def _with(listed: str | None, word: str) -> str:
    return ",".join(dict.fromkeys([*_words(listed), word]))


def _words(listed: str | None) -> list[str]:
    return [word.strip() for word in (listed or "").split(",") if word.strip()]
