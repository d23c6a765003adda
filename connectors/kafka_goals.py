"""What is told in one topic of Kafka, and holds once others were read as far as they went by then: snapshots' ends."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from connectors.kafka_client import KafkaClient
from connectors.kafka_errors import Unanswered
from connectors.log import Partition
from connectors.notices import read_notice
from connectors.snapshots import Scans

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


class SnapshotGoals:
    """Which snapshots were read to their end, by what connectors notify, read from the beginning.

    `tables` are the topics of each source's tables; `complete` says whether the first snapshots were read before.
    """

    def __init__(self, client: KafkaClient, tables: Mapping[str, Collection[str]], *, complete: bool) -> None:
        self._client, self._tables = client, tables
        self.complete = complete
        """Whether the first snapshot of every source was read."""
        self.begin({})

    @property
    def anew(self) -> Collection[str]:
        """The topics of the tables that a snapshot was read of to its end since `begin`."""
        return self._anew.reached

    def begin(self, known: Mapping[Partition, int]) -> None:
        """Start over. Up to the offsets `known` notifications are of the time before."""
        self._known, self._scans = known, Scans()
        self._first, self._anew = Goals(self._client), Goals(self._client)

    def note(self, source: str, place: Partition, offset: int, value: bytes) -> None:
        """Take in a notification. Raises ValueError for what is none."""
        notice = read_notice(value)
        if notice.ends_first:
            self._first.announce(source, self._tables[source])
        if offset >= self._known.get(place, 0):
            for topic in self._scans.note(source, notice).intersection(self._tables[source]):
                self._anew.announce(topic, {topic})

    def look(self) -> None:
        """Snapshots are in when all that was there at their end was read."""
        if not self.complete:
            self._first.look()
            self.complete = self._first.reached >= self._tables.keys()
        self._anew.look()
