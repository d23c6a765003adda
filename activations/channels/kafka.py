"""A Kafka topic that gets each message as a CloudEvent, from an idempotent producer.

A message is delivered when the broker acknowledges it, for all replicas that are in sync. One that the broker refuses
for good is rejected; whatever else goes wrong holds the channel.

A message that is not acknowledged in time stays with the producer, and the next attempt waits on for it: as long as
its client lives, nothing is published twice. The next one, after a kill, publishes again under the same id what is not
known to be acknowledged.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from activations.channels.base import Outcome
from activations.cloudevents import record
from activations.producer import TopicProducer
from activations.types import Delivery
from connectors.topics import NAME
from ringup.addresses import Brokers
from ringup.config import Client, Config, Settings
from ringup.durations import Duration
from ringup.errors import ConfigError

_TAKEN: Mapping[str, str] = {
    **dict.fromkeys(("bootstrap.servers", "metadata.broker.list"), "the brokers are what `bootstrap` says"),
    **dict.fromkeys(("acks", "request.required.acks"), "ringup relies on `acks: all`"),
    **dict.fromkeys(("delivery.timeout.ms", "message.timeout.ms"), "how long to wait is what `timeout` says"),
    "enable.idempotence": "ringup relies on `enable.idempotence: true`",
    "transactional.id": "ringup publishes without transactions",
}
"""Settings of the client that are not the user's, by all their names, and why."""


def _free(client: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
    for name in client:
        if name in _TAKEN:
            raise ValueError(f"`{name}` cannot be set: {_TAKEN[name]}|Leave it out.")
    return client


class KafkaChannelSettings(Settings):
    """Which topic messages are published to, and how patient to be with its brokers."""

    type: Literal["kafka"]
    """A Kafka topic that gets CloudEvents."""
    topic: Annotated[str, Field(pattern=f"^{NAME}$")]
    """The topic, which must be there: letters, digits, dots, hyphens and underscores."""
    bootstrap: Brokers | None = None
    """The brokers to begin with: `host:port`, several with commas. Default: those of the block `kafka:`, with the
    settings of its `client`."""
    client: Annotated[Client, AfterValidator(_free)] = Field(default_factory=dict)
    """Settings of librdkafka, passed on as they stand: TLS, SASL and whatever else the cluster asks for."""
    source: Annotated[str, Field(pattern=r"^\S+$")] | None = None
    """The events' attribute `source`, a URI reference. Default: `/ringup/` and the project's name."""
    timeout: Annotated[Duration, Field(gt=timedelta())] = timedelta(seconds=5)
    """How long an attempt waits for the broker to acknowledge a message."""
    retry: Annotated[tuple[Annotated[Duration, Field(gt=timedelta())], ...], Field(min_length=1)] = tuple(
        timedelta(seconds=seconds) for seconds in (1, 5)
    )
    """The longest wait before each further attempt. The last one repeats until the broker answers."""
    in_flight: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    """How many messages may be under way at once, one for each profile."""

    def channel(self, name: str, config: Config) -> KafkaChannel:
        """The channel with these settings."""
        client: dict[str, str | int | bool]
        if self.bootstrap is not None:
            client = {**self.client, "bootstrap.servers": self.bootstrap}
        elif config.kafka is not None:
            client = {**config.kafka.access, **self.client}
        else:
            raise ConfigError(
                "it is missing, and there is no block `kafka:` whose cluster it could be",
                where=f"ringup.yml: channels.{name}.bootstrap",
                mend="Add `bootstrap: host:port`.",
            )
        producer = TopicProducer(self.topic, client, f"ringup.yml: channels.{name}")
        return KafkaChannel(self, producer, self.source or f"/ringup/{config.project}")


class KafkaChannel:
    """Publishes each message as one record, many at once."""

    def __init__(self, settings: KafkaChannelSettings, producer: TopicProducer, source: str) -> None:
        self.retry: Sequence[timedelta] = settings.retry
        self.in_flight = settings.in_flight
        self._timeout = settings.timeout.total_seconds()
        self._producer = producer
        self._source = source
        self._reports: dict[str, Future[Outcome]] = {}

    async def open(self) -> None:
        """Begin, and look for the topic; brokers that do not answer yet are waited for, as they are later.

        Raises ConfigError for settings that the client does not take, ChannelError when the topic is not there.
        """
        self._producer.open()
        await self._producer.check(self._timeout)

    async def send(self, delivery: Delivery) -> Outcome:
        """Publish the message; after an attempt that took too long, wait on for the same record."""
        report = self._reports.get(delivery.delivery_id)
        if report is None:
            report = self._producer.publish(record(delivery, self._source))
            self._reports[delivery.delivery_id] = report
        done, _ = await asyncio.wait([report], timeout=self._timeout)
        if not done:
            why = f": {self._producer.said}" if self._producer.said else ""
            return Outcome("unknown", f"not acknowledged within {self._timeout:g} s{why}", channel_down=True)
        del self._reports[delivery.delivery_id]
        return report.result()

    async def close(self) -> None:
        """End at once. What is not acknowledged by now stays in the outbox."""
        await self._producer.close()
