"""The change log as Kafka topics, which Debezium writes by way of Kafka Connect."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Collection, Mapping
from threading import Event
from typing import TYPE_CHECKING

import pyarrow as pa

from connectors.assembly import Assembly
from connectors.formats import Formats
from connectors.kafka_arrivals import Arrivals, Came
from connectors.kafka_client import KafkaClient
from connectors.kafka_goals import SnapshotGoals
from connectors.kafka_overdue import Overdue
from connectors.kafka_positions import tell_of_gaps
from connectors.kafka_seat import Seat
from connectors.kafka_topic_ids import TopicIds
from connectors.log import RECORDS, Batch, Partition, Positions
from connectors.snapshots import apart
from connectors.topics import DATA, NOTIFICATION, TRANSACTION, kind_of, own_topics, source_of

if TYPE_CHECKING:
    from connectors.registry import Registry

log = logging.getLogger("ringup.kafka")

_LOOK = 10.0
_LOOK_SOON = 0.25
_ANSWER = 1.0
_START = 60.0
_SEAT = 30.0
_COMMIT_EVERY = 1.0
_NONE: pa.Table = RECORDS.empty_table()


class KafkaLog:
    """Reads topics of Kafka: a `connectors.log.Log`. Only `lag` may be asked from other threads.

    `tables` are the topics of the tables that are wanted, `expected` the topic prefixes of the sources whose first
    snapshots must be complete before anything may fire; `bootstrapped` says that they were already. `settings` are
    those of librdkafka, among them `bootstrap.servers` and `group.id`, and `name` tells this reader from others of the
    group, which has one at a time. `topics` are the ids of those that the positions are of, as batches brought them.
    Avro is read where there is a `registry`.
    """

    def __init__(
        self,
        settings: Mapping[str, str | int | bool],
        expected: Collection[str],
        tables: Collection[str],
        transaction_wait: float = 1.0,
        *,
        name: str,
        bootstrapped: bool = False,
        topics: Mapping[str, str] | None = None,
        registry: Registry | None = None,
    ) -> None:
        own = {topic for source in expected for topic in own_topics(source)}
        self._client = KafkaClient(settings, own.union(tables), own)
        self._seat, self._ids = Seat(settings, name), TopicIds(settings, topics or {})
        self._registry, self._formats = registry, Formats(registry)
        self._arrivals = Arrivals(self._client)
        self._wait = transaction_wait
        self._sources = {topic: source_of(topic, expected) for topic in own.union(tables)}
        self._kinds = {topic: kind_of(topic, source) for topic, source in self._sources.items()}
        self._tables = {
            prefix: [topic for topic in tables if topic not in own and self._sources[topic] == prefix]
            for prefix in expected
        }
        self._snapshots = SnapshotGoals(self._client, self._tables, complete=bootstrapped)
        self._committed = -math.inf
        self._ready = deque[Batch]()
        self._taken = dict[Partition, int]()
        self._done: Positions = {}
        self._overdue = Overdue(self._client)
        self._assemblies = self._fresh()

    @property
    def bootstrapped(self) -> bool:
        """Whether everything up to the end of the first snapshots was read."""
        return self._snapshots.complete and not self._ready

    @property
    def read_anew(self) -> Collection[str]:
        """The topics of the tables that a snapshot was read of to its end since `seek`; see `Log`."""
        return frozenset(self._snapshots.anew) if not self._ready else frozenset()

    @property
    def trouble(self) -> str | None:
        """Why nothing can be read now; see `Log`."""
        return self._arrivals.trouble

    def seek(self, positions: Positions, stop: Event | None = None) -> None:
        """Continue after `positions`; see `Log`. Raises LogError, too, when another ringup reads for the group."""
        self._taken, self._done, self._assemblies = dict(positions), positions, self._fresh()
        self._overdue = Overdue(self._client)
        self._arrivals.forget()
        self._ready.clear()
        # Notifications are few: always read from their beginning. A table that is not declared any more is left alone.
        wanted = {topic for topic, kind in self._kinds.items() if kind != NOTIFICATION}
        begins = self._client.seek({place: offset for place, offset in positions.items() if place[0] in wanted})
        # What is empty has a position, too: that nothing was there before this offset.
        self._taken |= {place: offset - 1 for place, offset in begins.items() if place[0] in wanted}
        if not positions:
            tell_of_gaps({place: offset for place, offset in begins.items() if self._kinds[place[0]] == DATA})
        notices = [place for place in self._client.assigned if self._kinds[place[0]] == NOTIFICATION]
        self._snapshots.begin(self._client.ends(notices, patience=None))
        self._ids.begin({topic for topic, _ in positions})
        self._ids.check(self._topics(), _START)
        self._seat.take(self._topics(), _SEAT, stop)

    def read(self, limit: int, wait: float) -> Batch | None:
        """Take about `limit` further records; see `Log`."""
        until = time.monotonic() + wait
        while True:
            self._seat.check()
            if not self._ready:
                self._look()
            rest = max(0.0, min(until - time.monotonic(), _LOOK_SOON))
            more = False
            if not self._seat.sure:
                time.sleep(rest)
            else:
                more = not self._ready and self._read(limit, rest)
                if self._ready:
                    return self._ready.popleft()
            if not more and time.monotonic() >= until:
                return None

    def _read(self, limit: int, wait: float) -> bool:
        """Take in what comes within `wait` seconds, and whether there was anything."""
        more = self._arrivals.take(limit, wait, self._take_in)
        if not self._arrivals.kept:
            self._release_overdue()
        else:  # nothing is late for that
            for assembly in self._assemblies.values():
                assembly.wait_anew()
        return more

    def acknowledge(self, positions: Positions) -> None:
        """Commit the offsets to the consumer group, for tools that show its lag; now and then is enough."""
        self._done = positions
        if time.monotonic() - self._committed >= _COMMIT_EVERY:
            self._committed = time.monotonic()
            self._seat.commit(positions)

    def hold(self, positions: Positions) -> None:
        """Nothing: what stays in a topic is for the cluster to say."""

    def lag(self) -> int:
        """How many records lie behind the last one read."""
        waiting: int = sum(assembly.held.num_rows for assembly in self._assemblies.values())
        return self._client.lag() + waiting + self._arrivals.kept

    def cluster(self) -> str:
        """The id of the cluster. Raises LogError when no broker answers."""
        return self._client.cluster()

    def close(self) -> None:
        """Tell the group where this ended, and leave it and the cluster."""
        self._seat.commit(self._done)
        self._seat.leave()
        self._client.close()
        if self._registry is not None:
            self._registry.close()

    def _fresh(self) -> dict[str, Assembly]:
        return {
            source: Assembly({topic.removeprefix(f"{source}."): topic for topic in topics}, self._wait)
            for source, topics in self._tables.items()
        }

    def _look(self) -> None:
        """Find topics and partitions that are new: soon, while a transaction waits or a topic is missing."""
        missing = self._kinds.keys() - self._topics()
        waiting = any(
            assembly.waits_for(missing) or (assembly.held.num_rows and f"{source}.transaction" in missing)
            for source, assembly in self._assemblies.items()
        )
        soon = waiting or (missing and not self._snapshots.complete)
        if self._arrivals.look(_LOOK_SOON if soon else _LOOK):
            self._seat.follow(self._topics())
            self._ids.check(self._topics(), _ANSWER)

    def _topics(self) -> set[str]:
        """The topics that are read."""
        return {topic for topic, _ in self._client.assigned}

    def _take_in(self, came: Came) -> None:
        """Sort records by what they are, and make batches of what is whole. Raises Unanswered, and has done nothing."""
        arrived: dict[str, list[pa.Table]] = {source: [] for source in self._assemblies}
        said: list[tuple[Partition, int, bytes]] = []
        for place, messages in came.items():
            if self._kinds[place[0]] == DATA:
                arrived[self._sources[place[0]]].append(self._formats.table(place, messages))
            else:
                said.extend((place, offset, value) for offset, value in self._formats.words(place, messages))
        for place, offset, value in said:
            self._take_word(place, offset, value)
        if came:
            given = [a.add(pa.concat_tables([_NONE, *arrived[source]])) for source, a in self._assemblies.items()]
            self._give(pa.concat_tables(given))
        self._snapshots.look()

    def _take_word(self, place: Partition, offset: int, value: bytes) -> None:
        """Take in what a connector says of its transactions and snapshots."""
        source = self._sources[place[0]]
        try:
            if self._kinds[place[0]] == TRANSACTION:
                self._assemblies[source].mark(place, offset, value)
            else:
                self._snapshots.note(source, place, offset, value)
        except (ValueError, KeyError, TypeError):
            log.warning("%s[%d] has at offset %d what cannot be read; it is passed over", *place, offset)

    def _release_overdue(self) -> None:
        """Give out what was held for too long."""
        released = self._overdue.released(self._assemblies.values())
        torn = sum(count for _, count in released)
        if released:
            log.warning(
                "%d source transactions did not become whole within %g s; they go on as they are", torn, self._wait
            )
            self._give(pa.concat_tables([changes for changes, _ in released]), torn)

    def _give(self, changes: pa.Table, torn: int = 0) -> None:
        """Make batches of changes: what a snapshot read apart from what just happened."""
        if not changes.num_rows and not torn:
            return
        parts = apart(changes) if self._snapshots.complete else [(changes, True)] * bool(changes.num_rows)
        before = dict(self._taken)
        last = changes.group_by(["topic", "partition"]).aggregate([("offset", "max")])
        for topic, number, offset in zip(
            *(last.column(name).to_pylist() for name in ("topic", "partition", "offset_max")), strict=True
        ):
            self._taken[topic, number] = offset
        for assembly in self._assemblies.values():
            self._taken.update(assembly.upto())
        for number, (part, snapshot) in enumerate(parts, start=1):
            # Both parts are of the same partitions: only the last one has brought them to their end.
            positions = dict(self._taken) if number == len(parts) else before
            self._ready.append(Batch(part, positions, snapshot, torn if number == 1 else 0, self._ids.known))
