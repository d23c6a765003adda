"""What the run counts about itself since it started."""

from __future__ import annotations

import threading
from typing import Any

SINCE_THE_START = ("batches", "changes", "quarantined", "torn", "messages")
"""The counters, in the order in which they are shown."""


class Metrics:
    """Counters, safe to read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(SINCE_THE_START, 0)

    def batch(self, **counts: int) -> None:
        """Add one batch's counts."""
        with self._lock:
            self._counts["batches"] += 1
            for name, count in counts.items():
                self._counts[name] += count

    def snapshot(self) -> dict[str, Any]:
        """All counters, by name."""
        with self._lock:
            return dict(self._counts)
