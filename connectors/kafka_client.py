"""ringup's own way to a Kafka cluster: which partitions there are, how far they reach, and what is in them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined]

from connectors.kafka_errors import GONE, REFUSED, UNKNOWN, Unanswered, nobody_answers
from connectors.kafka_positions import WAREHOUSE, check_position, mend_remade
from connectors.kafka_refusals import grant_topics, wrong_setting
from connectors.log import Keeper, Partition, Positions
from connectors.seldom import Seldom
from ringup.errors import LogError

log = logging.getLogger("ringup.kafka")

Answer = TypeVar("Answer")

_ANSWER = 10.0
"""Seconds that a cluster has for its first answer."""
_RETURN = 60.0
"""And for the next ones at the start: a broker that has just answered comes back."""
_SOON = 5.0
"""And where somebody waits for a mere figure."""
_AGAIN = 0.2
_LOOK = 1.0
"""And while it is read: the pipeline waits for that."""

_OURS: Mapping[str, str | int | bool] = {
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",  # never a silent gap
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
}
_DEFAULTS: Mapping[str, str | int | bool] = {
    "fetch.wait.max.ms": 100,  # how long a broker waits when there is nothing; a record is sent at once
    "fetch.error.backoff.ms": 100,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
    "queued.min.messages": 100_000,
    "log_level": 2,  # what goes wrong is told by `_tell`, too
}


class KafkaClient:
    """A consumer with all partitions of `topics` assigned to it by hand; those in `ordered` may have one only.

    `settings` are librdkafka's own. Raises ConfigError for those that it does not take. A `quiet` one leaves it to its
    caller to say what is wrong. The positions are those of the `keeper`.
    """

    def __init__(
        self,
        settings: Mapping[str, str | int | bool],
        topics: Collection[str],
        ordered: Collection[str] = (),
        *,
        quiet: bool = False,
        keeper: Keeper = WAREHOUSE,
    ) -> None:
        self._servers = str(settings.get("bootstrap.servers", ""))
        self._topics, self._ordered = frozenset(topics), frozenset(ordered)
        self._settings, self._quiet, self._keeper = settings, quiet, keeper
        try:
            self._consumer = Consumer({**_DEFAULTS, **settings, **_OURS, "error_cb": self._tell, "logger": log})
        except KafkaException as error:
            raise wrong_setting(error, settings) from error
        self._doubted = self._closed = self._answered = False
        self._seldom = Seldom(log)
        self.trouble: str | None = None
        """Why nothing can be read now."""
        self.assigned: dict[Partition, int] = {}
        """Each partition with the offset up to which it was read: that of the next record, or of its end."""

    def cluster(self) -> str:
        """The id that the cluster was given when it was made."""
        return str(self._metadata(None).cluster_id)

    def partitions(self, patience: float | None = None) -> list[Partition]:
        """The partitions of the topics as the cluster has them now.

        Raises LogError when no broker answers, or when a topic that was read is not there any more.
        """
        there = self._metadata(patience).topics
        if gone := {topic for topic, _ in self.assigned} - there.keys():
            raise LogError(
                f"{', '.join(sorted(gone))}: the topic is not there any more",
                where=self._servers,
                mend=mend_remade(gone, self._keeper),
            )
        found = {name: there[name] for name in sorted(self._topics & there.keys()) if there[name].error is None}
        for name, topic in found.items():
            if name in self._ordered and len(topic.partitions) > 1:
                raise LogError(
                    f"the topic {name} has {len(topic.partitions)} partitions, so transactions have no order in it",
                    where=self._servers,
                    mend="create it anew with one partition; `topic.creation.default.partitions: 1` of the connector "
                    "does so for all",
                )
        return [(name, number) for name, topic in found.items() for number in sorted(topic.partitions)]

    def seek(self, positions: Positions) -> dict[Partition, int]:
        """Read on after `positions`; partitions that are not named from their beginning. See `connectors.log.Log`.

        Returns where those begin.
        """
        self.assigned = {}
        there = self.partitions()
        for partition, offset in positions.items():
            bounds = self._bounds(partition) if partition in there else None
            check_position(partition, offset, bounds, self._servers, self._keeper)
        self._consumer.assign([self._place(partition, positions) for partition in there])
        return {partition: self._bounds(partition)[0] for partition in there if partition not in positions}

    def find(self) -> None:
        """Look for partitions that are new, and read them from their beginning."""
        try:
            there = self.partitions(_LOOK)
            fresh = [partition for partition in there if partition not in self.assigned]
        except Unanswered as error:
            self.trouble = error.message
            self._seldom.warn("silent", "%s", error)
            return
        self.trouble = None
        if fresh:
            self._consumer.incremental_assign([self._place(partition, {}) for partition in fresh])
            log.info("reading %s, too", ", ".join(f"{topic}[{number}]" for topic, number in fresh))

    def ends(self, partitions: Iterable[Partition], patience: float | None = _LOOK) -> dict[Partition, int]:
        """The offset that the next record of each partition will have. Raises Unanswered, mostly soon."""
        return {partition: self._bounds(partition, patience)[1] for partition in partitions}

    def reached(self, ends: Mapping[Partition, int]) -> bool:
        """Whether all was read up to these."""
        return all(self.assigned.get(partition, 0) >= end for partition, end in ends.items())

    def behind(self, positions: Positions) -> int:
        """Records that lie beyond `positions`. Raises Unanswered when no broker answers soon."""
        bounds = {partition: self._bounds(partition, _SOON) for partition in self.partitions(_SOON)}
        return sum(max(0, end - max(positions.get(p, -1) + 1, low)) for p, (low, end) in bounds.items())

    def read(self, limit: int, wait: float) -> dict[Partition, list[Message]]:
        """Up to `limit` records by partition, as soon as there is one; none where none comes within `wait` seconds."""
        came = self._consumer.consume(limit, 0) or self._first(limit, wait)
        if self._doubted:
            self._doubted = False
            self.find()
        places: dict[Partition, list[Message]] = {}
        for message in came:
            if (error := message.error()) is None:
                places.setdefault((message.topic() or "", message.partition() or 0), []).append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._reached(message, message.offset() or 0)
            else:
                self._fail(message, error)
        for messages in places.values():
            self._reached(messages[-1], (messages[-1].offset() or 0) + 1)
        return places

    def lag(self) -> int:
        """Records that are in the topics and were not read, as far as is known."""
        behind = 0
        for (topic, number), upto in list(self.assigned.items()) if not self._closed else ():
            bounds = self._consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True)
            behind += max(0, bounds[1] - max(upto, bounds[0])) if bounds else 0
        return behind

    def close(self) -> None:
        """Leave the cluster."""
        self._closed = True
        self._consumer.close()

    def _metadata(self, patience: float | None) -> ClusterMetadata:
        there: ClusterMetadata = self._ask(lambda wait: self._consumer.list_topics(timeout=wait), patience)
        return there

    def _ask(self, question: Callable[[float], Answer], patience: float | None) -> Answer:
        """The cluster's answer; asked again while a broker dies or comes back. Raises Unanswered when that takes long.

        Without a `patience` of the caller's it is that for the start.
        """
        until = time.monotonic() + (patience or (_RETURN if self._answered else _ANSWER))
        while True:
            try:
                answer = question(max(until - time.monotonic(), _AGAIN))
            except KafkaException as error:
                if time.monotonic() + _AGAIN >= until:
                    raise nobody_answers(error.args[0].str(), self._servers) from error
                time.sleep(_AGAIN)
            else:
                self._answered = True
                return answer

    def _first(self, limit: int, wait: float) -> list[Message]:
        first = self._consumer.poll(wait)
        return [] if first is None else [first, *self._consumer.consume(limit, 0)]

    def _place(self, partition: Partition, positions: Positions) -> TopicPartition:
        offset = positions.get(partition)
        self.assigned[partition] = 0 if offset is None else offset + 1
        return TopicPartition(*partition, OFFSET_BEGINNING if offset is None else offset + 1)

    def _bounds(self, partition: Partition, patience: float | None = None) -> tuple[int, int]:
        place = TopicPartition(*partition)
        bounds = self._ask(lambda wait: self._consumer.get_watermark_offsets(place, timeout=wait), patience)
        return bounds if bounds is not None else (0, 0)

    def _tell(self, error: KafkaError) -> None:
        """What the client says of itself, while it is read or asked."""
        self._doubted = self._doubted or error.code() in UNKNOWN or error.code() == KafkaError._ALL_BROKERS_DOWN
        if not self._quiet:
            self._seldom.warn(error.code(), "kafka: %s", error.str())

    def _reached(self, message: Message, offset: int) -> None:
        partition = (message.topic() or "", message.partition() or 0)
        self.assigned[partition] = max(offset, self.assigned.get(partition, 0))

    def _fail(self, message: Message, error: KafkaError) -> None:
        place = f"{message.topic()}[{message.partition()}]"
        if error.code() in GONE:
            upto = self.assigned.get((message.topic() or "", message.partition() or 0), 0) - 1
            raise LogError(
                f"{place} was read up to offset {upto}, and what follows is not there any more: {error.str()}",
                where=self._servers,
                mend=f"let topics keep records for longer than ringup needs, and {self._keeper.anew}",
            )
        self._doubted = self._doubted or error.code() in UNKNOWN
        if error.code() in REFUSED or error.fatal():
            raise LogError(
                f"{place} may not be read: {error.str()}",
                where=self._servers,
                mend=f"let an administrator run: {grant_topics(self._settings, [message.topic() or ''], 'Read')}",
            )
        log.warning("%s: %s", place, error.str())
