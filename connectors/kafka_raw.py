"""Kafka's topics as they are, for whoever reads them beside the pipeline."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from connectors.formats import Formats
from connectors.kafka_arrivals import Arrivals, Came
from connectors.kafka_client import KafkaClient
from connectors.log import Partition, Positions
from connectors.raw import LAKE
from connectors.topics import TRANSACTION, own_topics

if TYPE_CHECKING:
    from connectors.registry import Registry

_LOOK, _LOOK_SOON = 10.0, 1.0
"""Seconds between two looks for topics and partitions that are new, and while a topic is missing."""
_TURN = 1.0
"""The longest time between two thoughts of that."""


class KafkaRaw:
    """Reads all of some topics: a `connectors.raw.RawLog`. It neither joins the consumer group nor commits anything.

    `topics` are those of the tables; what their `sources` (topic prefixes) say of their transactions is read, too, but
    not what they notify: such a topic may be made anew at any time, and is of no use later. Keys and values become text
    as for the pipeline; Avro needs a `registry`, which is this reader's own.
    """

    def __init__(
        self,
        settings: Mapping[str, str | int | bool],
        sources: Collection[str],
        topics: Collection[str],
        registry: Registry | None = None,
    ) -> None:
        own = (own_topics(source).items() for source in sources)
        self._wanted = {topic for kinds in own for topic, kind in kinds if kind == TRANSACTION}.union(topics)
        self._client = KafkaClient(settings, self._wanted, quiet=True, keeper=LAKE)
        self._arrivals = Arrivals(self._client)
        self._registry, self._formats = registry, Formats(registry)
        self._begins: dict[Partition, int] = {}
        self._came: list[pa.Table] = []

    @property
    def trouble(self) -> str | None:
        """Why nothing can be read now: no broker answers, or no schema registry."""
        return self._arrivals.trouble

    def seek(self, positions: Positions) -> dict[Partition, int]:
        """Continue after `positions`; see `RawLog`. Those of topics that are not wanted any more are left alone.

        Raises Unanswered when no broker answers.
        """
        self._arrivals.forget()
        wanted = {place: offset for place, offset in positions.items() if place[0] in self._wanted}
        self._begins = self._client.seek(wanted)
        return dict(self._begins)

    def read(self, limit: int, wait: float) -> tuple[pa.Table, Positions] | None:
        """About `limit` further records; see `RawLog`."""
        until = time.monotonic() + wait
        while True:
            missing = not self._wanted.issubset(topic for topic, _ in self._client.assigned)
            self._arrivals.look(_LOOK_SOON if missing else _LOOK)
            rest = max(0.0, min(until - time.monotonic(), _TURN))
            if self._arrivals.take(limit, rest, self._take_in):
                return pa.concat_tables(self._came), self._positions()
            if time.monotonic() >= until:
                return None

    def close(self) -> None:
        """Leave the cluster and the registry."""
        self._client.close()
        if self._registry is not None:
            self._registry.close()

    def _take_in(self, came: Came) -> None:
        self._came = [self._formats.table(place, messages) for place, messages in came.items()]

    def _positions(self) -> dict[Partition, int]:
        """How far all was read: to the end, where that was reached, though no record may stand there."""
        read = {place: max(upto, self._begins.get(place, 0)) for place, upto in self._client.assigned.items()}
        return {place: upto - 1 for place, upto in read.items() if upto}
