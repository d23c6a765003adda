"""What comes from a cluster, as long as there is somebody who can read it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from confluent_kafka import Message

from connectors.kafka_client import KafkaClient
from connectors.kafka_errors import Unanswered
from connectors.log import Partition
from connectors.seldom import Seldom

log = logging.getLogger("ringup.kafka")

_ANSWER = 1.0
"""Seconds between two questions to a cluster that does not answer."""

Came: TypeAlias = Mapping[Partition, Sequence[Message]]
"""Messages by partition."""


class Arrivals:
    """Takes messages from a client. Those that nobody can read while the schema registry is silent are kept."""

    def __init__(self, client: KafkaClient) -> None:
        self._client = client
        self._kept: Came = {}
        self._seldom, self._silent = Seldom(log), ""
        self._looked = time.monotonic()

    @property
    def trouble(self) -> str | None:
        """Why nothing can be read now."""
        return self._client.trouble or (self._silent if self._kept else None)

    @property
    def kept(self) -> int:
        """How many messages wait for the registry."""
        return sum(len(messages) for messages in self._kept.values())

    def forget(self) -> None:
        """Begin anew, for the client reads from somewhere else."""
        self._kept = {}

    def look(self, every: float) -> bool:
        """Find topics and partitions that are new, unless that was done less than `every` seconds ago."""
        now = time.monotonic()
        if now - self._looked < (_ANSWER if self._client.trouble else every):
            return False
        self._looked = now
        self._client.find()
        return True

    def take(self, limit: int, wait: float, read: Callable[[Came], None]) -> bool:
        """Let `read` have what comes within `wait` seconds; whether anything came, and could be read.

        Where it raises Unanswered it has the same again next time.
        """
        came = self._kept or self._client.read(limit, wait)
        try:
            read(came)
        except Unanswered as error:
            self._seldom.warn("registry", "%s", error)
            self._kept, self._silent = came, error.message
            time.sleep(wait)
            return False
        self._kept = {}
        return bool(came)
