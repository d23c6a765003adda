"""Transactions that do not become whole in time, though all was read that there is."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pyarrow as pa

from connectors.assembly import Assembly
from connectors.kafka_client import KafkaClient
from connectors.kafka_errors import Unanswered
from connectors.log import Partition


class Overdue:
    """Lets go what assemblies held for too long, once all was read that the topics had by then.

    So it is not for want of reading, or of a broker, that it is not whole.
    """

    def __init__(self, client: KafkaClient) -> None:
        self._client = client
        self._upto: dict[Partition, int] | None = None

    def released(self, assemblies: Iterable[Assembly]) -> list[tuple[pa.Table, int]]:
        """The changes that go on as they are, by source, and of how many transactions; mostly none."""
        now = time.monotonic()
        late = [assembly for assembly in assemblies if assembly.overdue(now)]
        if not late:
            self._upto = None
            return []
        if self._upto is None:
            try:
                self._upto = self._client.ends(list(self._client.assigned))
            except Unanswered:
                for assembly in late:
                    assembly.wait_anew()
                return []
        if not self._client.reached(self._upto):
            return []
        self._upto = None
        return [assembly.tear() for assembly in late]
