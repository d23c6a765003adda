"""Signals to connectors in Kafka Connect: records of a topic that each of them listens to."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from connectors.connect import Connect, NotThere
from connectors.kafka_errors import REFUSED
from connectors.kafka_refusals import grant_topics, refused_in, wrong_setting
from connectors.signals import TOPIC, by_topic, execute_snapshot, topic_of
from connectors.sources import Source
from ringup.errors import LogError, SourceError

log = logging.getLogger("ringup.kafka")

_PATIENCE = 15.0
_REFUSED = {*REFUSED, KafkaError.POLICY_VIOLATION}


class KafkaSignals:
    """Speaks to the connectors by way of the brokers of `settings`, which are librdkafka's.

    With `connect`, a connector that does not listen is found out; without it, it is believed to.
    """

    def __init__(self, settings: Mapping[str, str | int | bool], connect: Connect | None = None) -> None:
        self._settings: dict[str, Any] = {**settings, "logger": log}
        self._servers = str(settings["bootstrap.servers"])
        self._connect = connect

    def make_topic(self, source: Source) -> str | None:
        """Make the topic that a source's connector listens to; its name, or None where it is there already.

        Raises LogError when no broker answers or none may be made, ConfigError for settings that are none.
        """
        topic = self._topic(source)
        heard: list[KafkaError] = []
        settings: dict[str, Any] = {**self._settings, "error_cb": heard.append}
        try:
            admin = AdminClient(settings)
        except KafkaException as error:
            raise wrong_setting(error, self._settings) from error
        try:
            if topic in admin.list_topics(timeout=_PATIENCE).topics:
                return None
            # Debezium reads the first partition only.
            admin.create_topics([NewTopic(topic, 1)], operation_timeout=_PATIENCE)[topic].result(_PATIENCE)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return None
            admin.poll(0)  # what was said of the brokers meanwhile
            if (why := refused_in(heard, self._settings)) is not None:
                raise why from error
            raise self._failure(f"the topic {topic} cannot be made", error.args[0], topic) from error
        return topic

    def ask_for_snapshot(self, source: Source, tables: Sequence[str]) -> None:
        """Let a source's connector read these tables (`schema.table`) again, as they are now.

        Raises SourceError when it is not there or does not listen, LogError when the brokers do not take the signal.
        """
        self._check(source)
        self.make_topic(source)
        failed: list[KafkaError] = []
        producer = Producer({**self._settings, "acks": "all", "message.timeout.ms": int(_PATIENCE * 1_000)})
        topic = self._topic(source)
        producer.produce(
            topic,
            execute_snapshot(tables),
            source.prefix,
            partition=0,
            on_delivery=lambda error, _: failed.append(error) if error is not None else None,
        )
        if producer.flush(2 * _PATIENCE) or failed:
            raise self._failure(f"the topic {topic} does not take the signal", failed[0] if failed else None, topic)

    def _topic(self, source: Source) -> str:
        return by_topic(source.config, self._servers)[TOPIC]

    def _check(self, source: Source) -> None:
        if self._connect is None:
            return
        there = self._connect.config(source.name)
        if there is None:
            raise NotThere(f"Kafka Connect has no connector {source.name}", mend="ringup connectors apply")
        if topic_of(there) != self._topic(source):
            raise SourceError(
                f"the connector {source.name} does not listen to the topic {self._topic(source)}",
                where=source.path,
                mend="ringup connectors apply",
            )

    def _failure(self, what: str, error: KafkaError | None, topic: str) -> LogError:
        refused = error is not None and error.code() in _REFUSED
        return LogError(
            f"{what}: {error.str() if error is not None else 'no broker took it in time'}",
            where=self._servers,
            mend=f"let an administrator run: {grant_topics(self._settings, [topic], 'Create', 'Write')}"
            if refused
            else "start the brokers, or correct `kafka.bootstrap` and the settings for TLS and SASL",
        )
