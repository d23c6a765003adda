"""What Kafka's clients say when something is wrong, by what can be done about it."""

from __future__ import annotations

import re

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
