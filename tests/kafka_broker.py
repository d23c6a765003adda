"""A broker that tests do things to, and the messages that they find on it."""

from __future__ import annotations

import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from ringup.local_kafka import LocalKafka, java
from tests.cloud_events import event_of
from tests.waiting import wait_for

GUARDED = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
unused = count(1)
"""Numbers for names that nothing has yet."""


class Broker:
    """A broker that lets everybody do everything until a rule says otherwise."""

    def __init__(self, kafka: LocalKafka) -> None:
        self.kafka = kafka
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 2})

    def topic(self, name: str | None = None, **config: str) -> str:
        """Make a topic with three partitions, once the broker says that it is there."""
        name = name or f"shop.messages.{next(unused)}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        done(self.admin.create_topics([NewTopic(name, 3, 1, config=settings)], operation_timeout=10))
        wait_for(lambda: len(self.admin.list_topics(name, 10).topics[name].partitions) == 3)
        return name

    def delete(self, topic: str) -> None:
        """Remove a topic."""
        done(self.admin.delete_topics([topic], operation_timeout=10))

    def rule(self, kind: ResourceType, name: str, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
        """Let everybody do this, or nobody."""
        binding = AclBinding(kind, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, permission)
        done(self.admin.create_acls([binding]))
        return binding

    def unrule(self, rules: Iterable[AclBinding]) -> None:
        """Take rules back."""
        parts = ("restype", "name", "resource_pattern_type", "principal", "host", "operation", "permission_type")
        filters = [AclBindingFilter(*(getattr(rule, part) for part in parts)) for rule in rules]
        done(self.admin.delete_acls(filters))

    def read(self, topic: str, expected: int) -> list[Message]:
        """So many records of a topic, and what came with them; those of one partition in their order."""
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": "reader", "log_level": 2})
        messages: list[Message] = []
        with closing(consumer):
            consumer.assign([TopicPartition(topic, number, 0) for number in range(3)])
            until = time.monotonic() + 20
            while len(messages) < expected and time.monotonic() < until:
                messages += consumer.consume(10_000, 0.2)
            messages += consumer.consume(10_000, 0.2)
        assert [message.error() for message in messages if message.error()] == []
        return messages

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Dead for a while, by SIGKILL; up again afterwards, whatever happened."""
        self.kafka.kill()
        try:
            yield
        finally:
            self.kafka.start()

    def tool(self, main: str, *words: str) -> str:
        """What one of Kafka's own commands prints."""
        command = java("broker", f"org.apache.kafka.tools.{main}", "--bootstrap-server", self.kafka.bootstrap, *words)
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def done(futures: dict[Any, Any]) -> None:
    """Wait for what the broker was asked for."""
    for future in futures.values():
        future.result()


def event(message: Message) -> dict[str, Any]:
    """The CloudEvent in a record."""
    value = message.value()
    assert value is not None
    return event_of(message.headers() or [], value)  # type: ignore[arg-type]


def numbers(messages: Iterable[Message]) -> list[int]:
    """Which of the numbered deliveries they are."""
    return [event(message)["data"]["data"]["number"] for message in messages]


def in_order(messages: Iterable[Message]) -> bool:
    """Whether each profile's deliveries came in their order, and by one partition."""
    by_profile = defaultdict(list)
    for message in messages:
        by_profile[message.key()].append(message)
    return all(
        len({message.partition() for message in mine}) == 1 and numbers(mine) == sorted(numbers(mine))
        for mine in by_profile.values()
    )
