"""Whether ringup gets into a Kafka cluster, and may read what it is to read: asked once, before anything is read."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined]

from connectors.kafka_errors import Unanswered, nobody_answers
from connectors.kafka_refusals import CLIENT, Settings, grant, grant_topics, principal, refused_in, wrong_setting
from ringup.errors import LogError

log = logging.getLogger("ringup.kafka")

_ANSWER = 10.0
"""Seconds that a cluster has for its first answer."""
_DOUBT = 2.0
"""Seconds for which a refusal may be one broker's only, or one that just starts."""
_RIGHTS = 10.0
"""Seconds for what is asked of a cluster that has answered."""
_AGAIN = 0.1
_UNTIMED = 3600.0
"""Seconds until librdkafka gives up asking who keeps a group, as many as it takes: where it has given up and a broker
comes back, it aborts the whole process (confluentinc/librdkafka#4605). So it is the caller who waits, and lets go."""


def check_access(settings: Settings, topics: Collection[str]) -> None:
    """Log in, and see that all `topics`, be they there yet or not, and the group of `settings` may be read.

    Raises ConfigError for settings that librdkafka does not take, LogError for what the cluster refuses, Unanswered
    when no broker answers.
    """
    heard: list[KafkaError] = []
    given: dict[str, Any] = {**settings, "error_cb": heard.append, "logger": log, "log_level": 2}
    try:
        admin = AdminClient(given)
    except KafkaException as error:
        raise wrong_setting(error, settings) from error
    _enter(admin, heard, settings)
    _check_topics(admin, settings, topics)
    _check_group(admin, settings)


def was_read(settings: Settings) -> bool:
    """Whether offsets were committed to the group of `settings`; False when nobody can say."""
    group = str(settings["group.id"])
    admin = admin_of(settings)  # which has to live for as long as it is asked
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=_UNTIMED)
    return any(getattr(said, "topic_partitions", ()) for _, said in said_of(asked))


def _enter(admin: AdminClient, heard: list[KafkaError], settings: Settings) -> None:
    answer = admin.describe_cluster(request_timeout=_ANSWER)
    until, refused = time.monotonic() + _ANSWER, None
    while not answer.done() and time.monotonic() < until:
        admin.poll(_AGAIN)  # that is when `heard` hears
        why = refused_in(heard, settings)
        refused = refused or (time.monotonic() if why else None)
        if why is not None and refused is not None and time.monotonic() - refused >= _DOUBT:
            raise why
    try:
        answer.result(_AGAIN)
    except (KafkaException, TimeoutError) as error:
        raise _unanswered(heard, settings) from error


def _unanswered(heard: list[KafkaError], settings: Settings) -> Unanswered:
    """Brokers that cannot be reached say so. What takes a connection and closes it is often one that wants TLS."""
    said = next((error.str() for error in reversed(heard) if error.code() != KafkaError._ALL_BROKERS_DOWN), None)
    if heard and said is None:
        protocol = str(settings.get("security.protocol", "plaintext")).upper()
        return Unanswered(
            f"the brokers take connections and close them; it is {protocol}, and their listener may want another one",
            where=f"{CLIENT}.security.protocol",
            mend="Set it to what the listener at that port speaks: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
        )
    return nobody_answers(said or "nothing came in time", str(settings.get("bootstrap.servers", "")))


def _check_topics(admin: AdminClient, settings: Settings, topics: Collection[str]) -> None:
    """One that may not be described looks as if it were not there, so it is asked for by its name."""
    if not topics:
        return
    asked = admin.describe_topics(
        TopicCollection(sorted(topics)), include_authorized_operations=True, request_timeout=_RIGHTS
    )
    closed = [name for name, said in said_of(asked) if _is_closed(said, KafkaError.TOPIC_AUTHORIZATION_FAILED)]
    if closed:
        raise LogError(
            f"{principal(settings)} may not read {', '.join(closed)}",
            where=str(settings.get("bootstrap.servers", "")),
            mend=f"let an administrator run: {grant_topics(settings, closed, 'Read')}",
        )


def admin_of(settings: Settings) -> AdminClient:
    """A client for questions; what it would say of brokers that are away, the reader says."""
    given: dict[str, Any] = {**settings, "logger": log, "log_level": 2}
    return AdminClient(given)


def group_of(admin: AdminClient, group: str, patience: float) -> Any:
    """What the cluster says of a consumer group within `patience` seconds: a description, an error, or None.

    A client that said nothing still asks, so it is not for another question.
    """
    until = time.monotonic() + patience
    while True:
        asked = admin.describe_consumer_groups([group], include_authorized_operations=True, request_timeout=_UNTIMED)
        [(_, said)] = said_of(asked, patience)
        # The first to ask for a group makes the brokers look for who keeps it.
        if not isinstance(said, KafkaError) or not said.retriable() or time.monotonic() > until:
            return said
        time.sleep(_AGAIN)


def _check_group(admin: AdminClient, settings: Settings) -> None:
    group = str(settings["group.id"])
    said = group_of(admin, group, _RIGHTS)
    if _is_closed(said, KafkaError.GROUP_AUTHORIZATION_FAILED):
        raise LogError(
            f"{principal(settings)} may not commit to the group {group}",
            where="ringup.yml: kafka.group",
            mend=f"let an administrator run: {grant(settings, '--operation', 'Read', '--group', group)}",
        )


def said_of(asked: Mapping[str, Future[Any]], patience: float = _RIGHTS) -> Iterator[tuple[str, Any]]:
    """What the cluster says of each: a description, an error, or None where it says nothing in time."""
    for name, future in asked.items():
        try:
            yield name, future.result(patience + 1)
        except KafkaException as error:
            yield name, error.args[0]
        except TimeoutError:
            yield name, None


def _is_closed(said: Any, code: int) -> bool:
    """Whether it may not be read. What cannot be said, for want of an answer or by an old broker, is no refusal."""
    if isinstance(said, KafkaError):
        return said.code() == code
    rights: list[AclOperation] = getattr(said, "authorized_operations", None) or [AclOperation.READ]
    return AclOperation.READ not in rights
