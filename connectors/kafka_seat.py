"""The seat in a project's consumer group: whoever has it reads, and a second ringup is refused."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from threading import Thread
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka_access import admin_of, group_of
from connectors.kafka_errors import REFUSED
from connectors.kafka_refusals import Settings, grant, principal, wrong_setting
from connectors.log import Positions
from ringup.errors import LogError

log = logging.getLogger("ringup.kafka")

_PREFIX = "ringup-"
"""What the names of all ringups in a group begin with: another consumer's may not."""
_OURS: dict[str, str | int | bool] = {
    "group.protocol": "classic",
    "partition.assignment.strategy": "range,roundrobin",
    "enable.auto.commit": False,
    "max.poll.interval.ms": 86_400_000,  # a batch that takes long is no reason to give the seat away
    "log_level": 2,  # the reader says the same of the brokers
}
_SESSION = 10_000
"""Milliseconds after which the brokers forget a ringup that has died, unless the settings say otherwise."""
_STEP = 0.02
_LOOK = 1.0
"""Seconds that an answer about the group may take while the log is read, and the pause before it is asked again."""
_LEAVE = 2.0
_WRONG = {*REFUSED, KafkaError.INCONSISTENT_GROUP_PROTOCOL, KafkaError.GROUP_MAX_SIZE_REACHED}


class Seat:
    """Membership of the consumer group, which shows in the tools for groups, and commits its offsets.

    It is a consumer that reads nothing: which partitions the group gives it does not matter. `name` tells this ringup
    from others; one that died and comes back by the same name has its seat again at once. Of two that come at the same
    moment, the one whose name is the first in order stays.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        """`settings` are librdkafka's, `group.id` among them. Raises ConfigError for those that it does not take."""
        self.name = f"{_PREFIX}{name}"
        self._settings, self._group = settings, str(settings["group.id"])
        self._session = int(settings.get("session.timeout.ms", _SESSION)) / 1_000
        ours = {"session.timeout.ms": _SESSION, **settings, **_OURS, "group.instance.id": self.name, "logger": log}
        try:
            self._consumer = Consumer({**ours, "on_commit": self._committed, "error_cb": self._tell})
        except KafkaException as error:
            raise wrong_setting(error, settings) from error
        self._topics: frozenset[str] = frozenset()
        self._joined = self._alone = False
        self._rivals: Collection[str] = frozenset()
        self._looked, self._served = 0.0, time.monotonic()
        self._underway = 0
        self._warned: set[str] = set()

    def take(self, topics: Collection[str], patience: float) -> None:
        """Join by way of these topics, and wait until the seat is this ringup's.

        Where there is no topic yet there is nothing to join by: that is for `follow`. Raises LogError when another one
        has the seat, and when the brokers do not give it within `patience` seconds.
        """
        until = time.monotonic() + patience
        self._refuse(self._others(self._members(patience)))
        self.follow(topics)
        while self._topics and not self._alone:
            if time.monotonic() > until:
                raise LogError(
                    f"the group {self._group} takes nobody in: no answer within {patience:g} s",
                    where=str(self._settings.get("bootstrap.servers", "")),
                    mend="see that the brokers are well: kafka-consumer-groups --describe --state shows their groups",
                )
            time.sleep(_STEP)
            self.check()

    def follow(self, topics: Collection[str]) -> None:
        """These are the topics that are there now."""
        if topics and topics != self._topics:
            self._topics = frozenset(topics)
            self._consumer.subscribe(sorted(topics), on_assign=self._assigned)

    def check(self) -> None:
        """Serve the group; cheap. Raises LogError when the seat is another's, or may not be taken any more."""
        before, self._served = self._served, time.monotonic()
        if self._joined and self._served - before > self._session:
            self._look()  # this process was held up, and somebody may have come meanwhile
        while (message := self._consumer.poll(0)) is not None:
            if (error := message.error()) is not None:
                self._heed(error)
        if self._joined and not self._alone and time.monotonic() - self._looked >= _LOOK:
            self._look()

    def commit(self, positions: Positions) -> None:
        """Tell the group how far it is; nobody waits for it."""
        places = [TopicPartition(topic, number, offset + 1) for (topic, number), offset in positions.items()]
        if places:
            with suppress(KafkaException):  # `check` says what is wrong, and offsets are only to look at
                self._consumer.commit(offsets=places, asynchronous=True)
                self._underway += 1

    def leave(self) -> None:
        """Give the seat up, so that another may have it at once. Takes a few seconds where no broker answers."""
        until = time.monotonic() + _LEAVE
        with suppress(KafkaException):
            while self._underway and time.monotonic() < until:
                self._consumer.poll(_STEP)
            self._consumer.unsubscribe()
            while self._consumer.memberid() and time.monotonic() < until:
                self._consumer.poll(_STEP)
        # It waits for what the brokers have not answered, however long that takes.
        closing = Thread(target=self._consumer.close, name="leaving the group", daemon=True)
        closing.start()
        closing.join(max(_STEP, until - time.monotonic()))

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Somebody came or went."""
        consumer.assign([])
        self._joined, self._alone, self._looked = True, False, 0.0

    def _look(self) -> None:
        """See who else is in the group now."""
        self._looked = time.monotonic()
        if (members := self._members(_LOOK)) is None:
            return
        others = self._others(members)
        rivals = {member.group_instance_id: member for member in others if _is_ringup(member)}
        if len(others) == len(members):  # the brokers have forgotten this one: it is the newcomer
            self._refuse(rivals.values())
        # Who is refused is gone the next time.
        self._refuse([rivals[name] for name in rivals.keys() & self._rivals if name < self.name])
        self._rivals, self._alone = rivals.keys(), not rivals
        for member in others:
            if not _is_ringup(member) and member.member_id not in self._warned:
                self._warned.add(member.member_id)
                log.warning(
                    "the group %s is ringup's, and %s at %s has joined it: offsets that it commits are not ringup's; "
                    "give it a group of its own",
                    *(self._group, member.client_id, member.host.lstrip("/")),
                )

    def _members(self, patience: float) -> Sequence[Any] | None:
        """The members of the group; None when nobody can say now."""
        said = group_of(admin_of(self._settings), self._group, patience)
        if said is None or (isinstance(said, KafkaError) and said.retriable()):
            return None
        members: Sequence[Any] = getattr(said, "members", ())
        return members

    def _others(self, members: Sequence[Any] | None) -> Sequence[Any]:
        return [member for member in members or () if member.group_instance_id != self.name]

    def _refuse(self, members: Iterable[Any]) -> None:
        """Raises LogError when there is a ringup among these."""
        for member in filter(_is_ringup, members):
            raise LogError(
                f"another ringup reads for the group {self._group}: {member.group_instance_id} "
                f"at {member.host.lstrip('/')}",
                where="ringup.yml: kafka.group",
                mend="Stop that one first, or give this project a `group` and a `state` of its own. The brokers forget "
                f"one that has died within {self._session:g} s.",
            )

    def _heed(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            raise LogError(
                f"{self.name} has lost its seat in the group {self._group}: {error.str()}",
                where="ringup.yml: kafka.group",
                mend="A ringup with the same state, host and folder has come after it, a copy of a machine perhaps. "
                "Stop one of them.",
            )
        if error.code() in _WRONG:
            rights = grant(self._settings, "--operation", "Read", "--group", self._group)
            raise LogError(
                f"{principal(self._settings)} cannot be in the group {self._group}: {error.str()}",
                where="ringup.yml: kafka.group",
                mend=f"let an administrator run: {rights}"
                if error.code() in REFUSED
                else "Name a group that no other consumer uses.",
            )
        log.info("kafka, in the group: %s", error.str())

    def _tell(self, error: KafkaError) -> None:
        log.info("kafka, in the group: %s", error.str())

    def _committed(self, error: KafkaError | None, places: Sequence[TopicPartition]) -> None:
        self._underway -= 1
        if error is not None:
            log.info("offsets were not committed to the group %s: %s", self._group, error.str())


def _is_ringup(member: Any) -> bool:
    return str(member.group_instance_id or "").startswith(_PREFIX)
