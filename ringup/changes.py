"""Where a project's changes come from: the change log that it keeps itself, or Kafka."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from connectors.board import SourceState
from connectors.capture import Capture
from connectors.connect import Connect
from connectors.connect_capture import ConnectCapture
from connectors.embedded import EmbeddedLog
from connectors.embedded_raw import EmbeddedRaw
from connectors.embedded_rest import left_over as left_over_in
from connectors.kafka_access import check_access, was_read
from connectors.kafka_client import KafkaClient
from connectors.kafka_log import KafkaLog
from connectors.kafka_raw import KafkaRaw
from connectors.kafka_signals import KafkaSignals
from connectors.log import Batch, Log
from connectors.raw import RawLog
from connectors.read_ahead import ReadAhead
from connectors.sources import Source, refuse_avro, refuse_without_kafka
from connectors.topics import own_topics
from ringup.config import Config, KafkaSettings
from ringup.errors import ConfigError
from transforms.project import Table
from transforms.warehouse import Warehouse

if TYPE_CHECKING:
    from connectors.registry import Registry

log = logging.getLogger(__name__)

FACT = "log"
STATE = "id"
OWN = "the change log of the state folder"


class Capturing(Protocol):
    """What brings changes into the log."""

    def start(self, declared: Mapping[str, Mapping[str, Sequence[str]]] | None = None) -> None:
        """Begin; `declared` are the columns of each source's tables that the project counts on."""

    def read_again(self, source: str, tables: Sequence[str]) -> None:
        """Let these tables (`schema.table`) of a source that streams be read again, as a snapshot."""

    def check(self) -> None:
        """Look after it; raises RingupError when the run cannot go on."""

    def states(self) -> Mapping[str, SourceState]:
        """What each source is doing."""

    def stop(self) -> None:
        """End."""


def client_settings(kafka: KafkaSettings, project: str) -> dict[str, str | int | bool]:
    """The settings of a consumer of the project."""
    return {**kafka.access, "group.id": kafka.group or f"ringup.{project}"}


def open_capture(config: Config, sources: Sequence[Source], environ: Mapping[str, str]) -> Capturing:
    """What brings changes in, not started yet. Raises ConfigError when `environ` lacks what a source refers to."""
    if config.kafka is None:
        refuse_without_kafka(sources)
        return Capture(sources, config.state_folder, environ)
    connect = connect_of(config.kafka)
    return ConnectCapture(sources, connect, KafkaSignals(config.kafka.access, connect), environ)


def connect_of(kafka: KafkaSettings) -> Connect | None:
    """The Connect cluster, if one is named."""
    return Connect(kafka.connect) if kafka.connect else None


def open_log(
    config: Config,
    sources: Sequence[Source],
    tables: Sequence[Table],
    warehouse: Warehouse,
    prepare: Callable[[Batch], Batch],
) -> Log:
    """The change log; what is read goes through `prepare`.

    Raises ConfigError when the state was built from another one: its positions mean nothing here.

    Raises LogError, too, when the cluster refuses the login, or what it is to read.
    """
    prefixes = [source.prefix for source in sources]
    wait = config.pipeline.transaction_wait.total_seconds()
    if config.kafka is None:
        _note(warehouse, config, OWN)
        own = EmbeddedLog(config.state_folder / "log.db", expected=prefixes, transaction_wait=wait)
        return ReadAhead(own, prepare)
    registry = open_registry(config.kafka, sources)
    ready = warehouse.fact("ready") == "yes"
    settings, topics = client_settings(config.kafka, config.project), [table.topic for table in tables]
    check_access(settings, {*topics, *(topic for prefix in prefixes for topic in own_topics(prefix))})
    if not warehouse.positions() and was_read(settings):
        log.warning(
            "the group %s was read before, and this state is empty: all is read anew, and nothing fires from what was "
            "there; what another state has not sent yet is not known here. If that was not meant, stop, and start with "
            "the state folder of the group",
            settings["group.id"],
        )
    name, known = reader_of(config, warehouse), warehouse.topics()
    reader = KafkaLog(settings, prefixes, topics, wait, name=name, bootstrapped=ready, topics=known, registry=registry)
    _note(warehouse, config, f"the Kafka cluster {reader.cluster()}")
    return ReadAhead(reader, prepare)


def open_raw(config: Config, sources: Sequence[Source], tables: Sequence[Table]) -> RawLog:
    """The same log as it lies there, for the lake."""
    if config.kafka is None:
        return EmbeddedRaw(config.state_folder / "log.db")
    settings = client_settings(config.kafka, config.project)
    prefixes, topics = [source.prefix for source in sources], [table.topic for table in tables]
    return KafkaRaw(settings, prefixes, topics, open_registry(config.kafka, sources))


def open_registry(kafka: KafkaSettings, sources: Sequence[Source]) -> Registry | None:
    """The schema registry, if one is named. Raises LogError when it does not answer, ConfigError when one is needed."""
    if kafka.registry is None:
        refuse_avro(sources)
        return None
    from connectors.registry import Registry  # it takes a while, and few have one

    registry = Registry(kafka.registry.url, kafka.registry.client)
    registry.check()
    return registry


def left_over(config: Config, sources: Sequence[Source], tables: Sequence[Table], warehouse: Warehouse) -> int | None:
    """How many records lie beyond the state's positions, while nothing runs; None when nobody can say.

    Raises LogError when it is Kafka, and no broker answers.
    """
    prefixes, positions = [source.prefix for source in sources], warehouse.positions()
    if config.kafka is None:
        return left_over_in(config.state_folder / "log.db", positions, prefixes)
    topics = [table.topic for table in tables]
    with closing(KafkaClient(client_settings(config.kafka, config.project), topics, quiet=True)) as client:
        return client.behind(positions)


def reader_of(config: Config, warehouse: Warehouse) -> str:
    """What tells this ringup from any other: the host, its state folder and the state in it.

    So one that comes back is known, and a copy of the state somewhere else is another one.
    """
    host = socket.gethostname()
    digest = sha256(f"{state_of(warehouse)} {host} {config.state_folder}".encode()).hexdigest()[:12]
    return f"{re.sub('[^A-Za-z0-9.-]', '-', host)[:100]}-{digest}"


def state_of(warehouse: Warehouse) -> str:
    """The id of the state, which it gets when it is asked for the first time."""
    state = warehouse.fact(STATE)
    if state is None:
        state = uuid4().hex
        warehouse.remember(STATE, state)
    return state


def _note(warehouse: Warehouse, config: Config, now: str) -> None:
    known = warehouse.fact(FACT)
    if known is None and warehouse.positions():
        known = OWN  # of a time when there was no other
    if known is None:
        warehouse.remember(FACT, now)
    elif known != now:
        raise ConfigError(
            f"the state was built from {known}, and its positions mean nothing in {now}",
            where="ringup.yml: kafka",
            mend=f"Go back to {known}, or name another folder as `state`: the sources are read anew into it. "
            f"This one is {config.state_folder}.",
        )
