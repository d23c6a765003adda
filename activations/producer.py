"""Records for one Kafka topic, each with a future for what the broker says of it."""

from __future__ import annotations

import asyncio
import logging
import threading
from asyncio import AbstractEventLoop, Future
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from activations.channels.base import Outcome
from activations.cloudevents import Record
from connectors.kafka_errors import UNKNOWN
from connectors.kafka_refusals import Refusal, grant_topics, refusal, wrong_setting
from ringup.errors import ChannelError

log = logging.getLogger(__name__)

REFUSALS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
    }
)
"""Errors that say no to this record, now and later. Whatever else is wrong, is wrong with the topic or its brokers."""

FORBIDDEN = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})

RELIED_ON: Mapping[str, str | int | bool] = {
    "enable.idempotence": True,
    "acks": "all",
    "delivery.timeout.ms": 0,  # a record is never given up
}
"""What the promises of the channel stand on."""

DEFAULTS: Mapping[str, str | int | bool] = {
    "allow.auto.create.topics": False,
    "batch.size": 16_384,  # as Kafka's own; a larger record goes by itself, so its size is no other one's trouble
    "linger.ms": 0,
    "log_level": 2,  # what keeps messages from arriving is told once, by the outcome
    "partitioner": "murmur2_random",  # as Kafka's own, so that other clients look for a key where it is
    "reconnect.backoff.max.ms": 1_000,
    "topic.metadata.refresh.interval.ms": 10_000,  # a topic that was missing is found soon
}

_LOOK = 0.1
"""Seconds after which the thread looks whether it is to end."""


class TopicProducer:
    """An idempotent producer in one event loop: it sends again by itself, and the broker knows what it has already.

    A thread hands on what the brokers answer. A client that fails for good is replaced when the next record comes.
    `client` are librdkafka's settings, `where` is the place in ringup.yml that errors name.
    """

    def __init__(self, topic: str, client: Mapping[str, str | int | bool], where: str) -> None:
        self._topic, self._where = topic, where
        self._settings: dict[str, Any] = {**DEFAULTS, **client, **RELIED_ON, "error_cb": self._tell, "logger": log}
        self._client: Producer | None = None
        self._spoilt = False
        self._pending: set[Future[Outcome]] = set()
        self._came: list[tuple[Future[Outcome], Outcome]] = []
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._refused: Refusal | None = None
        self.said: str | None = None
        """What the client said last of brokers that it does not reach."""

    def open(self) -> None:
        """Begin, in the event loop that runs. Raises ConfigError for settings that the client does not take."""
        self._client = self._made()
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, args=(loop,), name=f"to {self._topic}", daemon=True)
        self._thread.start()

    async def check(self, patience: float) -> None:
        """Look for the topic. Brokers that do not answer within `patience` seconds may do so later.

        Raises ChannelError when they refuse the login, or the topic is not there, or is not for this login.
        """
        client = self._opened()
        try:
            there = await asyncio.to_thread(client.list_topics, self._topic, patience)
        except KafkaException as error:
            if (why := self._refused) is not None:
                raise ChannelError(why.message, where=f"{self._where}.client.{why.field}", mend=why.mend) from error
            log.warning("%s: no broker answers yet: %s", self._where, self.said or error.args[0].str())
            return
        wrong = there.topics[self._topic].error
        made_by_itself = str(self._settings["allow.auto.create.topics"]).lower() == "true"
        if wrong is not None and wrong.code() in (FORBIDDEN if made_by_itself else UNKNOWN | FORBIDDEN):
            absent, brokers = wrong.code() in UNKNOWN, self._settings["bootstrap.servers"]
            raise ChannelError(
                self._words(wrong),
                where=f"{self._where}.topic",
                mend=f"Create it: kafka-topics --bootstrap-server {brokers} --create --topic {self._topic}"
                f" (or, where `ringup kafka` runs the brokers, start that with --topic {self._topic})"
                if absent
                else f"Let an administrator run: {grant_topics(self._settings, [self._topic], 'Write')}",
            )

    def publish(self, record: Record) -> Future[Outcome]:
        """Hand over a record. The future ends when the broker has taken or refused it, however long that takes."""
        if self._spoilt:
            self._client, self._spoilt = self._made(), False
        report = asyncio.get_running_loop().create_future()
        self._pending.add(report)
        report.add_done_callback(self._pending.discard)
        note = partial(self._note, report)
        try:
            self._opened().produce(self._topic, record.value, record.key, headers=record.headers, on_delivery=note)
        except KafkaException as error:
            report.set_result(self._outcome(error.args[0]))
        except BufferError:
            report.set_result(Outcome("retry", "the client holds as much as it may (queue.buffering.max.kbytes)"))
        return report

    async def close(self) -> None:
        """End at once; what is not acknowledged by now may have arrived or not."""
        self._closing.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        if self._client is not None:
            self._client.purge()
            self._client = None

    def _made(self) -> Producer:
        try:
            return Producer(self._settings)
        except KafkaException as error:
            raise wrong_setting(error, self._settings, f"{self._where}.client") from error

    def _opened(self) -> Producer:
        if self._client is None:
            raise ChannelError("the channel is not open", mend="Send through a Dispatcher that was started.")
        return self._client

    def _serve(self, loop: AbstractEventLoop) -> None:
        """Hand on what the brokers answer, until the end. A client that failed for good is left alone."""
        while not self._closing.is_set():
            client = self._opened()
            try:
                client.poll(_LOOK)
            except KafkaException as error:
                loop.call_soon_threadsafe(self._spoil, error.args[0])
                while self._client is client and not self._closing.wait(_LOOK):
                    pass
            if self._came:
                loop.call_soon_threadsafe(_end, self._came)
                self._came = []

    def _note(self, report: Future[Outcome], error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.said = None
            outcome = Outcome("delivered", f"{self._topic}[{message.partition()}]@{message.offset()}")
        else:
            outcome = self._outcome(error)
        self._came.append((report, outcome))

    def _spoil(self, error: KafkaError) -> None:
        """The client cannot go on, and what it held may have arrived or not."""
        self._spoilt = True
        outcome = Outcome("unknown", self._words(error), error.code(), channel_down=True)
        _end([(report, outcome) for report in self._pending])

    def _tell(self, error: KafkaError) -> None:
        """Remember what the client says. That all brokers are down says less than why one is."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self.said is None:
            self.said = error.str()
        self._refused = refusal(error, self._settings) or self._refused

    def _outcome(self, error: KafkaError) -> Outcome:
        if error.code() in REFUSALS:
            return Outcome("rejected", self._words(error), error.code())
        return Outcome("retry", self._words(error), error.code(), channel_down=True)

    def _words(self, error: KafkaError) -> str:
        if error.code() in UNKNOWN:
            return f"the topic {self._topic} is not there: {error.str()}"
        if error.code() in FORBIDDEN:
            return f"this login may not write to {self._topic}: {error.str()}"
        return error.str()


def _end(came: Sequence[tuple[Future[Outcome], Outcome]]) -> None:
    for report, outcome in came:
        if not report.done():
            report.set_result(outcome)
