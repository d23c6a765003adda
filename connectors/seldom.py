"""Warnings of what lasts."""

from __future__ import annotations

import logging
import math
import time


class Seldom:
    """Warns of what may be said many times a second: at once, and then at pauses that grow from seconds to minutes."""

    _FIRST, _LONGEST = 10.0, 600.0

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: dict[object, tuple[float, float]] = {}

    def warn(self, kind: object, message: str, *values: object) -> None:
        """Warn of something of this kind, unless it was said a moment ago."""
        now = time.monotonic()
        at, pause = self._said.get(kind, (-math.inf, self._FIRST))
        if now - at >= pause:
            lasts = now - at < 3 * pause
            self._said[kind] = now, min(2 * pause, self._LONGEST) if lasts else self._FIRST
            self._log.warning(message, *values)
