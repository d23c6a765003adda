"""Connectors as code: what Kafka Connect should run, and how far that is from what it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from connectors.converters import converting
from connectors.databases import database_of
from connectors.signals import by_topic
from connectors.sources import Source, configured

_DEFAULTS: Mapping[str, str] = {
    "tasks.max": "1",
    # Transactions are in the order of the one partition of their topic; the brokers' default for the rest.
    "topic.creation.default.partitions": "1",
    "topic.creation.default.replication.factor": "-1",
    # Kafka's own limit of 1 MB is one large row; a change has it twice, before and after.
    "topic.creation.default.max.message.bytes": "33554432",
    "producer.override.max.request.size": "33554432",
    "producer.override.buffer.memory": "67108864",
}
_SECRET = re.compile(r"password|secret|token|credential|jaas|private", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{[^}]+\}")


@dataclass(frozen=True, slots=True)
class Step:
    """What has to be done about one connector; `changes` has for each setting what it is and what it should be."""

    name: str
    kind: Literal["create", "change", "nothing"]
    changes: Mapping[str, tuple[str | None, str | None]]


def desired(source: Source, bootstrap: str) -> dict[str, str]:
    """The configuration that Connect should have: secrets stay references, which Connect itself resolves.

    `bootstrap` are the brokers by which a connector can be told to read a table again, and where it may keep what it
    has to know of the tables' past.
    """
    brokered = database_of(source.config).brokered(source.prefix, bootstrap)
    config = {**_DEFAULTS, **brokered, **converting(source.config), **configured(source)}
    return {**config, **by_topic(config, bootstrap)}


def step(name: str, wanted: Mapping[str, str], there: Mapping[str, str] | None) -> Step:
    """Compare what should be with what is."""
    known = there or {}
    changes = {
        key: (known.get(key), wanted.get(key))
        for key in sorted(known.keys() | wanted.keys())
        if known.get(key) != wanted.get(key)
    }
    return Step(name, "create" if there is None else "change" if changes else "nothing", changes)


def shown(key: str, value: str | None) -> str | None:
    """A value as it may be printed: a secret that is written out is not."""
    if value is None or not _SECRET.search(key) or _REFERENCE.fullmatch(value):
        return value
    return "****"
