"""What is told in one topic of Kafka, and holds once others were read as far as they went by then."""

from __future__ import annotations

import logging
from collections.abc import Collection

from connectors.kafka_client import KafkaClient
from connectors.kafka_errors import Unanswered
from connectors.log import Partition

log = logging.getLogger("ringup.kafka")


class Goals:
    """Names that are `reached` once all was read that their topics had when they were announced.

    The end of a snapshot is such a thing: its notification may be read before its rows.
    """

    def __init__(self, client: KafkaClient) -> None:
        self._client = client
        self._announced = dict[str, Collection[str]]()
        self._ends = dict[str, dict[Partition, int]]()
        self.reached = set[str]()

    def announce(self, name: str, topics: Collection[str]) -> None:
        """From now on `name` waits for what is in these topics; once is enough."""
        if name not in self.reached and name not in self._ends:
            self._announced[name] = topics

    def look(self) -> None:
        """See how far the announced ones are; cheap when there are none."""
        try:
            if self._announced:
                self._client.find()
            for name, topics in list(self._announced.items()):
                mine = [place for place in self._client.assigned if place[0] in topics]
                self._ends[name] = self._client.ends(mine)
                del self._announced[name]
        except Unanswered as error:
            log.warning("%s", error)  # and asked again
        for name, ends in list(self._ends.items()):
            if self._client.reached(ends):
                self.reached.add(name)
                del self._ends[name]
