"""The seat in a project's consumer group: whoever has it reads, and a second ringup is refused."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka_group import PREFIX, Group, is_ringup, told
from connectors.kafka_refusals import Settings, wrong_setting
from connectors.log import Positions
from ringup.errors import LogError

log = logging.getLogger("ringup.kafka")

_OURS: dict[str, str | int | bool] = {
    "group.protocol": "classic",
    "partition.assignment.strategy": "range,roundrobin",
    "enable.auto.commit": False,
    "log_level": 2,  # the reader says the same of the brokers
}
_SESSION = 10_000
"""Milliseconds after which the brokers forget a ringup that has died, unless the settings say otherwise."""
_STEP = 0.02
_POLL = 0.1
_LOOK = 1.0
"""Seconds that an answer about the group may take while the log is read, and the pause before it is asked again."""
_LEAVE = 2.0
_TWIN = 60.0
"""Seconds within which whoever is thrown out twice has a twin."""


class Seat:
    """Membership of the consumer group, which shows in the tools for groups, and commits its offsets.

    It is a consumer that reads nothing: which partitions the group gives it does not matter. A thread serves it, as the
    brokers wait for each member when one comes or goes, and as a call may take as long as they please. `name` tells
    this ringup from others; one that died and comes back by the same name has its seat again at once. Of two that come
    at the same moment, the one whose name is the first in order stays.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        """`settings` are librdkafka's, `group.id` among them. Raises ConfigError for those that it does not take."""
        self.name = f"{PREFIX}{name}"
        session = int(settings.get("session.timeout.ms", _SESSION))
        self._session = session / 1_000
        self._group = Group(settings, self.name, self._session)
        self._given: dict[str, Any] = {**settings, **_OURS, "session.timeout.ms": session, "logger": log}
        self._given |= {"max.poll.interval.ms": session, "group.instance.id": self.name}
        self._given |= {"on_commit": self._committed, "error_cb": self._tell}
        try:
            self._consumer = Consumer(self._given)
        except KafkaException as error:
            raise wrong_setting(error, settings) from error
        self._topics: Collection[str] = frozenset()  # wanted
        self._subscribed: Collection[str] = frozenset()
        self._positions: Positions = {}  # to be committed
        self._committing = False
        self._joined = self._alone = self._forgotten = self._doubted = False
        self._rivals: Collection[str] = frozenset()
        self._looked, self._served, self._fenced = 0.0, time.monotonic(), -math.inf
        self._warned: set[str] = set()
        self._lost: LogError | None = None
        self._looking, self._leaving = Lock(), Event()
        self._thread = Thread(target=self._serve, name="seat", daemon=True)

    def take(self, topics: Collection[str], patience: float, stop: Event | None = None) -> None:
        """Join by way of these topics, and wait until the seat is this ringup's, or until `stop`.

        Where there is no topic yet there is nothing to join by: that is for `follow`. Raises LogError when another one
        has the seat, and when the brokers do not give it within `patience` seconds.
        """
        until = time.monotonic() + patience
        self._group.refuse(self._group.others(self._group.members(patience)))
        self.follow(topics)
        while self._topics and not self._alone and not (stop is not None and stop.is_set()):
            self.check()
            if time.monotonic() > until:
                raise self._group.closed(patience)
            time.sleep(_STEP)

    def follow(self, topics: Collection[str]) -> None:
        """These are the topics that are there now."""
        self._topics = frozenset(topics) or self._topics
        if self._topics and self._thread.ident is None:
            self._thread.start()

    def check(self) -> None:
        """See that the seat is this one's; cheap. Raises LogError when it is another's, or may not be had any more."""
        before, self._served = self._served, time.monotonic()
        if self._subscribed and self._served - before > self._session:
            self._doubted, self._looked = True, 0.0  # the whole process was held up, and somebody may have come
        if self._doubted and self._served - self._looked >= _LOOK:
            self._look()
        if self._lost is not None:
            raise self._lost

    @property
    def sure(self) -> bool:
        """Whether nobody else can have the seat: otherwise read nothing."""
        return not (self._doubted or self._forgotten)

    def commit(self, positions: Positions) -> None:
        """Tell the group how far it is; nobody waits for it."""
        self._positions = positions

    def leave(self) -> None:
        """Give the seat up, so that another may have it at once. Takes a few seconds where no broker answers."""
        self._leaving.set()
        if self._thread.ident is None:
            self._thread.start()
        self._thread.join(2 * _LEAVE)

    def _serve(self) -> None:
        """Do what the group asks for, and leave it in the end. A thread, and the only one that uses the client."""
        try:
            while not self._leaving.is_set():
                self._turn(_POLL)
                if self._joined and not self._alone and time.monotonic() - self._looked >= _LOOK:
                    self._look()
        except LogError as error:
            self._lost = error
        until, self._topics = time.monotonic() + _LEAVE, self._subscribed
        with suppress(KafkaException, LogError):
            while self._is_busy() and time.monotonic() < until:
                self._turn(_STEP)
            self._consumer.unsubscribe()
            while self._consumer.memberid() and time.monotonic() < until:
                self._consumer.poll(_STEP)
        self._consumer.close()  # which waits for what was not answered, and nobody waits for that

    def _is_busy(self) -> bool:
        """Whether this is no time to go: who does while brokers take it in stays in their books until they give up."""
        return bool(self._positions or self._committing or (self._subscribed and not self._joined))

    def _turn(self, wait: float) -> None:
        """Hand on what is wanted, and take what comes."""
        try:
            if self._topics != self._subscribed:
                self._subscribed = self._topics
                self._consumer.subscribe(
                    sorted(self._topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._expired
                )
            if self._positions and not self._committing and (self._joined or not self._subscribed):
                positions, self._positions = self._positions, {}
                places = [TopicPartition(topic, number, offset + 1) for (topic, number), offset in positions.items()]
                self._consumer.commit(offsets=places, asynchronous=True)
                self._committing = True
            message = self._consumer.poll(wait)
        except KafkaException as error:
            self._heed(error.args[0])
        else:
            if message is not None and (wrong := message.error()) is not None:
                self._heed(wrong)

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Somebody came or went."""
        consumer.assign([])
        self._joined, self._alone, self._looked = True, False, 0.0

    def _expired(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Nothing was heard of this one for too long, so the brokers have forgotten it."""
        self._forgotten, self._joined = True, False

    def _revoked(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """The members are counted anew; until that is done the brokers take no offsets."""
        self._joined = False

    def _look(self) -> None:
        """See who else is in the group now. Raises LogError when the seat is another's."""
        with self._looking:
            self._looked, joined = time.monotonic(), self._joined
            if (members := self._group.members(_LOOK)) is None:
                return
            others = self._group.others(members)
            rivals = {member.group_instance_id: member for member in others if is_ringup(member)}
            listed = len(others) < len(members)
            if self._forgotten or not listed:  # so it is the newcomer
                self._group.refuse(rivals.values())
            # Who is refused is gone the next time.
            self._group.refuse([rivals[name] for name in rivals.keys() & self._rivals if name < self.name])
            # One of this name that died is listed, too: so that this one has joined has to be known besides.
            self._rivals, self._alone = rivals.keys(), joined and listed and not rivals
            self._doubted = self._doubted and not listed
            self._forgotten = self._forgotten and not self._joined
        for member in others:
            if not is_ringup(member) and member.member_id not in self._warned:
                self._warned.add(member.member_id)
                log.warning(
                    "the group %s is ringup's, and %s has joined it: offsets that it commits are not ringup's; "
                    "give it a group of its own",
                    *(self._group.id, told(member)),
                )

    def _heed(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._come_again()
        elif (wrong := self._group.wrong(error)) is not None:
            raise wrong
        else:
            self._tell(error)

    def _come_again(self) -> None:
        """The brokers have let in another one of this name: this one itself, when their answer got lost as one died.

        Or a twin, who would come again, too. Raises LogError for that.
        """
        before, self._fenced = self._fenced, time.monotonic()
        if self._fenced - before < _TWIN:
            raise self._group.twin()
        log.warning("the seat in the group %s was given away, and is taken again", self._group.id)
        Thread(target=self._consumer.close, name="seat before", daemon=True).start()
        self._consumer = Consumer(self._given)
        self._subscribed, self._joined, self._alone, self._committing = frozenset(), False, False, False

    def _tell(self, error: KafkaError) -> None:
        log.info("kafka, in the group: %s", error.str())

    def _committed(self, error: KafkaError | None, places: Sequence[TopicPartition]) -> None:
        self._committing = False
        if error is not None:
            log.info("offsets were not committed to the group %s: %s", self._group.id, error.str())
