"""What the connectors in Kafka Connect are doing. They are not ringup's children: it looks, and says what it sees.

Kafka Connect leaves a task that failed as it is, for good. A run is left alone overnight, so what failed is started
again, after pauses that grow while it keeps failing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from connectors.board import SourceState, since_now
from connectors.connect import Connect, ConnectorState, NotThere
from connectors.databases import database_of
from connectors.kafka_signals import KafkaSignals
from connectors.sources import Source, resolve
from ringup.errors import CaptureError, RingupError

log = logging.getLogger("ringup.connect")

_LOOK = 1.0
"""Seconds between two looks."""
_LEAVING = 1.0
"""Seconds that the end of a run waits for a look that is under way: Connect may hang."""

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_STEADY = 30.0
"""Seconds after which one that was started again counts as mended."""

_PAUSED = ("PAUSED", "STOPPED")


@dataclass(slots=True)
class Restarts:
    """When a connector that failed is started again: at once, and later and later where that did not help."""

    _pause: float = 0.0
    _last: float | None = None

    def due(self, now: float) -> bool:
        """Whether one that has failed is to be started again now; a yes is taken for done."""
        since = now - self._last if self._last is not None else self._pause
        if since < self._pause:
            return False
        mended = since > self._pause + _STEADY
        self._pause = _FIRST_PAUSE if mended else min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._last = now
        return True


class ConnectCapture:
    """Looks after the connectors of `sources`, from a thread of its own; without `connect` it believes in them.

    `environ` has what the sources refer to, where their logins are known here.
    """

    def __init__(
        self, sources: Sequence[Source], connect: Connect | None, signals: KafkaSignals, environ: Mapping[str, str]
    ) -> None:
        self._sources = {source.name: source for source in sources}
        self._connect, self._signals, self._environ = connect, signals, environ
        self._states = {
            source.name: since_now("starting" if connect is not None else "streaming") for source in sources
        }
        self._restarts = {source.name: Restarts() for source in sources}
        self._placed = set[str]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="connect", daemon=True)

    def start(self, declared: Mapping[str, Mapping[str, Sequence[str]]] | None = None) -> None:
        """Begin to look. The databases are prepared by `ringup connectors apply`."""
        if self._connect is not None:
            self._thread.start()

    def check(self) -> None:
        """Nothing here can end the run: whatever a connector does, it may be mended while ringup waits."""

    def states(self) -> Mapping[str, SourceState]:
        """What each source is doing."""
        return dict(self._states)

    def read_again(self, source: str, tables: Sequence[str]) -> None:
        """Let these tables (`schema.table`) of a source be read again, as a snapshot.

        Where that cannot be asked for, a warning says so: whoever mends it may ask by `ringup connectors snapshot`.
        """
        try:
            self._signals.ask_for_snapshot(self._sources[source], tables)
        except RingupError as error:
            again = f"ringup connectors snapshot {source} {' '.join(tables)}"
            log.warning("%s was not asked to read tables: %s (%s; then: %s)", source, error, error.mend, again)
            return
        with suppress(RingupError):  # Connect alone may know the login, or the database writes something by itself
            config = resolve(self._sources[source], self._environ)
            database_of(config).nudge(config)

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_LEAVING)

    def _watch(self) -> None:
        while not self._stop.is_set():
            for name in list(self._states):
                if self._stop.is_set():
                    return
                now, known = self._look(name), self._states[name]
                if (now.state, now.cause) != (known.state, known.cause):
                    self._states[name] = now
            self._stop.wait(_LOOK)

    def _look(self, name: str) -> SourceState:
        assert self._connect is not None
        try:
            connector = self._connect.state(name)
            if failed_by_itself(connector) and self._restarts[name].due(time.monotonic()):
                log.warning("%s failed and is started again: %s", name, connector.failed)
                self._connect.restart(name, only_failed=True)
            said = state_of(connector)
            # A worker that dies before it has noted a place reads all tables anew, and nothing fires from a snapshot.
            if said.state == "streaming" and name not in self._placed:
                if not self._connect.placed(name):
                    return since_now("snapshot")
                self._placed.add(name)
            return said
        except NotThere:
            self._placed.discard(name)
            return since_now("missing", "Kafka Connect has no connector of this name", "ringup connectors apply")
        except CaptureError as error:
            return since_now("unknown", str(error), error.mend)
        except Exception as error:  # nobody else looks: this thread outlives whatever happens
            log.debug("%s cannot be looked at", name, exc_info=True)
            return since_now("unknown", f"{type(error).__name__}: {error}", "see what Kafka Connect answers")


def failed_by_itself(connector: ConnectorState) -> bool:
    """Whether it failed, and nobody has paused or stopped it."""
    return connector.failed is not None and connector.state not in _PAUSED


def state_of(connector: ConnectorState) -> SourceState:
    """A connector's state in the words of a source."""
    if (cause := connector.failed) is not None:
        return since_now("failed", cause, "mend it: ringup starts it again every minute or sooner")
    if connector.state in _PAUSED:
        return since_now("paused", "the connector was paused", f"ringup connectors resume {connector.name}")
    return since_now("streaming" if connector.running else "starting")
