"""What Kafka's clients say when something is wrong, by what can be done about it."""

from __future__ import annotations

import logging
import math
import re
import time

from confluent_kafka import KafkaError

from ringup.errors import LogError

GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}
UNKNOWN = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC}
REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
}


class Unanswered(LogError):
    """No broker answers, or no schema registry, or not yet: worth waiting for, once one has answered."""


def nobody_answers(said: str, servers: str) -> Unanswered:
    """The error for brokers that are not there, or not for these settings; `said` is the client's word for it."""
    return Unanswered(
        f"no Kafka broker answers: {said}",
        where=servers,
        mend="start the broker, or correct `kafka.bootstrap` and the settings for TLS and SASL",
    )


class UnknownSchema(Exception):
    """The registry has no such Avro schema."""


def without_login(url: str) -> str:
    """An address, or several with commas, as it may be shown."""
    return re.sub(r"(?<=://)[^/]*@", "", url)


class Seldom:
    """Warns of what may be said many times a second: at once, and then at pauses that grow from seconds to minutes."""

    _FIRST, _LONGEST = 10.0, 600.0

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: dict[object, tuple[float, float]] = {}

    def warn(self, kind: object, message: str, *values: object) -> None:
        """Warn of something of this kind, unless it was said a moment ago."""
        now = time.monotonic()
        at, pause = self._said.get(kind, (-math.inf, self._FIRST))
        if now - at >= pause:
            lasts = now - at < 3 * pause
            self._said[kind] = now, min(2 * pause, self._LONGEST) if lasts else self._FIRST
            self._log.warning(message, *values)
