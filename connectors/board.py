"""What the capture process and its parent tell each other: an order, and a board in the state folder."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)

FAILED = 3
"""Exit status of the capture process when a restart cannot mend it; the board says why."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the capture process is to do: capture `sources` (name, resolved configuration) into `state`."""

    state: str
    sources: Mapping[str, Mapping[str, str]]

    def words(self) -> str:
        """As one line of JSON."""
        return json.dumps(
            {"state": self.state, "sources": {name: dict(config) for name, config in self.sources.items()}}
        )

    @staticmethod
    def read(line: str) -> Order:
        """From that line."""
        return Order(**json.loads(line))


@dataclass(frozen=True, slots=True)
class SourceState:
    """What a source is doing since when (ISO 8601, UTC), and why and what would mend it where that is not good.

    `state` is one of starting, snapshot, streaming, restarting, waiting (for its database), failed, stopped.
    """

    state: str
    since: str | None = None
    cause: str | None = None
    mend: str | None = None


def since_now(state: str, cause: str | None = None, mend: str | None = None) -> SourceState:
    """What a source is doing from this moment on."""
    return SourceState(state, datetime.now(UTC).isoformat(timespec="milliseconds"), cause, mend)


class Board:
    """A small JSON file that says what each source is doing, for the parent and for anyone who looks.

    Each change replaces it at once, so that a reader never sees half of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._states: dict[str, SourceState] = {}
        self._lock = threading.Lock()

    def put(self, source: str, state: str, cause: str | None = None, mend: str | None = None) -> None:
        """Say what a source is doing now."""
        with self._lock:
            known = self._states.get(source)
            if known is not None and (known.state, known.cause) == (state, cause):
                return
            self._states[source] = since_now(state, cause, mend)
            fresh = self._path.with_suffix(".new")
            try:
                fresh.write_text(json.dumps({name: asdict(said) for name, said in self._states.items()}, indent=2))
                fresh.replace(self._path)
            except OSError as error:  # a full disk, say: what it stands for goes on, or fails by itself
                log.warning("what the sources are doing cannot be written: %s", error)


def read_board(path: Path) -> dict[str, SourceState]:
    """What the file says; nothing where there is none."""
    try:
        return {name: SourceState(**said) for name, said in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
