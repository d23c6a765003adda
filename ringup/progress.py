"""What `ringup run` says while it runs: a live line on a terminal, plain lines or JSON lines elsewhere."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

LIVE_EVERY, PLAIN_EVERY = 1.0, 10.0
"""Seconds between two looks at a terminal, and elsewhere."""

Pulse = Callable[[], dict[str, Any]]
"""Gives `state`, `lag`, and the counts of `changes` and `messages` since the start; from any thread, at little cost."""


class Progress:
    """Says what happens, from any thread."""

    def __init__(self, project: str, *, as_json: bool = False, console: Console | None = None) -> None:
        self._project = project
        self._json = as_json
        self._console = console or Console(highlight=False)
        self._status: Status | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin; on a terminal a line keeps turning at the bottom."""
        if self._console.is_terminal and not self._json:
            self._status = self._console.status(f"{self._project}: starting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and leave the terminal as it was."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        if self._status is not None:
            self._status.stop()

    def say(self, text: str, **values: object) -> None:
        """A line of its own."""
        now = datetime.now().astimezone()
        if self._json:
            line = json.dumps(
                {"at": now.isoformat(timespec="milliseconds"), "project": self._project, "says": text} | values
            )
            self._console.print(Text(line), soft_wrap=True)
        else:
            self._console.print(Text.assemble((f"{now:%H:%M:%S}  ", "dim"), (text, "not dim")), soft_wrap=True)

    def follow(self, pulse: Pulse) -> None:
        """Show the pulse from now on, as it changes."""
        self._thread = threading.Thread(target=self._follow, args=(pulse,), name="progress", daemon=True)
        self._thread.start()

    def _follow(self, pulse: Pulse) -> None:
        every = PLAIN_EVERY if self._status is None else LIVE_EVERY
        before, since = pulse(), time.monotonic()
        while not self._done.wait(every):
            beat, now = pulse(), time.monotonic()
            rates = {name: round((beat[name] - before[name]) / (now - since)) for name in ("changes", "messages")}
            if self._status is not None:
                self._status.update(f"{self._project}: {_line(beat, rates)}")
            elif beat != before:
                self.say(_line(beat, rates), **beat, **{f"{name}_per_s": rate for name, rate in rates.items()})
            before, since = beat, now


class ProgressHandler(logging.Handler):
    """Warnings of the log, as lines between the others."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.WARNING)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        """Say it; the log file has the traceback."""
        self._progress.say(f"{record.levelname.lower()}: {record.getMessage()}")


def _line(beat: dict[str, Any], rates: dict[str, int]) -> str:
    lag = beat["lag"]
    behind = "lag unknown" if lag is None else f"{lag:,} changes behind" if lag else "up to date"
    return (
        f"{beat['state']}, {behind}, {rates['changes']:,} changes/s, {rates['messages']:,} messages/s"
        f"  ({beat['changes']:,} changes and {beat['messages']:,} messages since the start)"
    )
