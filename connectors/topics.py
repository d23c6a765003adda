"""Debezium's topics: whose they are and what is in them."""

from __future__ import annotations

from collections.abc import Collection

DATA, TRANSACTION, NOTIFICATION = range(3)
"""Kinds of topics: changes of a table, BEGIN and END of source transactions, notifications of the engine."""

NAME = r"[a-zA-Z0-9._-]{1,249}"
"""What Kafka takes for a topic's name, as a regular expression."""

_END = '{"status":"END"'


def source_of(topic: str, sources: Collection[str]) -> str:
    """The prefix of the source that a topic belongs to."""
    known = [source for source in sources if topic.startswith(f"{source}.")]
    return max(known, key=len, default=topic.partition(".")[0])


def kind_of(topic: str, source: str) -> int:
    """What the records of a topic are."""
    return own_topics(source).get(topic, DATA)


def own_topics(source: str) -> dict[str, int]:
    """The topics that a source has beside those of its tables, and what their records are."""
    return {f"{source}.transaction": TRANSACTION, f"{source}.notifications": NOTIFICATION}


def is_heartbeat(topic: str) -> bool:
    """Whether a topic only says that its source is alive."""
    return topic.startswith("__debezium-heartbeat.")


def ends_transaction(value: str | None) -> bool:
    """Whether a record of a transaction topic is an END rather than a BEGIN."""
    return value is not None and value.startswith(_END)
