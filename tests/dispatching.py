"""Dispatchers of one channel, and the receipts that they give."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import duckdb

from activations.channels.base import Channel
from activations.dispatch import Dispatcher
from activations.types import FINAL, Delivery, Receipt

Receipts = Queue[Receipt]
PATIENCE = 60.0


def nothing_more(channel: str, *, after: int, limit: int) -> list[Delivery]:
    """An outbox without anything left from an earlier run."""
    return []


@contextmanager
def dispatching(channel: Channel) -> Iterator[tuple[Dispatcher, Receipts]]:
    """A dispatcher with one channel, `till`, and its receipts as they come."""
    dispatcher, receipts = running(channel, capacity=10_000)
    try:
        dispatcher.refill(nothing_more)
        yield dispatcher, receipts
    finally:
        dispatcher.stop()


def running(channel: Channel, capacity: int = 1000) -> tuple[Dispatcher, Receipts]:
    """A dispatcher that has started, and its receipts."""
    receipts: Receipts = Queue()
    dispatcher = Dispatcher({"till": channel}, receipts.put, capacity=capacity)
    dispatcher.start()
    return dispatcher, receipts


def finals(receipts: Receipts, count: int) -> list[Receipt]:
    """Wait for so many final receipts; the test fails when they do not come, or only others do."""
    found: list[Receipt] = []
    until = time.monotonic() + PATIENCE
    while len(found) < count:
        receipt = receipts.get(timeout=max(0.0, until - time.monotonic()))
        if receipt.state in FINAL:
            found.append(receipt)
    return found


@contextmanager
def live(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse file as the pipeline has it open."""
    with duckdb.connect(":memory:") as con:
        con.execute(f"attach '{path}' as live (row_group_size 20480)")
        yield con
