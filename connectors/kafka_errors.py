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


class UnknownSchema(Exception):
    """The registry has no such Avro schema."""


def without_login(url: str) -> str:
    """An address, or several with commas, as it may be shown."""
    return re.sub(r"(?<=://)[^/]*@", "", url)
