"""Which topics were read: one that is deleted and made anew has its old name and another id."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Mapping

from confluent_kafka import KafkaError, TopicCollection
from confluent_kafka.admin import AdminClient

from connectors.kafka_access import admin_of, said_of
from connectors.kafka_positions import mend_remade
from connectors.kafka_refusals import Settings
from ringup.errors import LogError

log = logging.getLogger("ringup.kafka")

_AGAIN = 5.0
_NONE = "AAAAAAAAAAAAAAAAAAAAAA"
"""The id of a topic that has none, in base64."""


class TopicIds:
    """The ids of topics, as far as brokers have them (from Kafka 3.1 on) and tell them.

    A position in a topic means nothing in the next one of that name, though it may be large enough to have it, too.
    `known` are the ids of topics that were read before, by name.
    """

    def __init__(self, settings: Settings, known: Mapping[str, str]) -> None:
        self._settings = settings
        self._admin: AdminClient | None = None
        self.known = known
        """The topics that are read; another object when one has come."""
        self._asked: Collection[str] = frozenset()
        self._when = -math.inf

    def begin(self, read: Collection[str]) -> None:
        """Of these topics there are positions; of others nothing was read, so it does not matter which they are."""
        self.known = {name: number for name, number in self.known.items() if name in read}
        self._asked = frozenset()

    def check(self, topics: Collection[str], patience: float) -> None:
        """See now and then, and when one is new, that these are those that were read.

        Raises LogError for one that is not. Brokers that do not answer within `patience` seconds are no reason to stop.
        """
        if topics == self._asked and time.monotonic() - self._when < _AGAIN:
            return
        self._asked, self._when = topics, time.monotonic()
        found = self._now(topics, patience) if topics else {}
        if others := sorted(name for name, number in found.items() if self.known.get(name, number) != number):
            raise LogError(
                f"{', '.join(others)}: not the topic that was read; it was deleted, and made anew",
                where=str(self._settings.get("bootstrap.servers", "")),
                mend=mend_remade(others),
            )
        if found.keys() - self.known.keys():
            self.known = {**self.known, **found}

    def _now(self, topics: Collection[str], patience: float) -> dict[str, str]:
        self._admin = self._admin or admin_of(self._settings)
        asked = self._admin.describe_topics(TopicCollection(sorted(topics)), request_timeout=patience)
        found: dict[str, str] = {}
        for name, said in said_of(asked, patience):
            if said is None or isinstance(said, KafkaError):
                log.info("the id of the topic %s is not told: %s", name, said or "nothing came in time")
            elif (number := str(said.topic_id)) != _NONE:
                found[name] = number
        return found
