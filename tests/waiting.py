"""Waiting for what has to come about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def wait_for(true: Callable[[], Answer], patience: float = 30.0) -> Answer:
    """The first answer that is true; the test fails when there is none in time."""
    until = time.monotonic() + patience
    while not (answer := true()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return answer
