"""Ctrl-C and SIGTERM, which ask for the same: an end in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_BOTH = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second one interrupts."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    with _handled(on_signal):
        yield stop


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """SIGTERM interrupts as Ctrl-C does: for what can be left as it is at any moment."""
    with _handled(signal.default_int_handler):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _BOTH}
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)
