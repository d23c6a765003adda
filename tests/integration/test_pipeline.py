"""The steps of the loop on real parts; only the capture process does not run: its log is written here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from activations.outbox import counts
from connectors.embedded import EmbeddedLogWriter
from connectors.log import Batch
from ringup.config import load_config
from ringup.pipeline import Pipeline
from tests.debezium import Record, begin, end
from tests.house import variables
from tests.http_receiver import HttpReceiver
from tests.outgoing import SECRET
from tests.starter_log import CUSTOMERS, END_OF_SNAPSHOT, customer, order


class Steps:
    """A pipeline that has taken in its first snapshot, and does one step at a time."""

    def __init__(self, folder: Path, webhook: str) -> None:
        database = dict.fromkeys(variables(folder / "connectors"), "unused")
        environ = {**database, "WEBHOOK_URL": webhook, "WEBHOOK_SECRET": SECRET}
        self.pipeline = Pipeline(load_config(folder, environ), environ)
        self.writer = EmbeddedLogWriter(self.pipeline.config.state_folder / "log.db")
        self.pipeline.log.seek({})
        self.pipeline.dispatcher.start()
        self.pipeline.dispatcher.refill(lambda channel, after, limit: [])
        self.pipeline._take(self.written(customer(1, "Ann"), END_OF_SNAPSHOT))
        self.pipeline.engine.start(datetime.now(UTC))

    def written(self, *records: Record) -> Batch:
        """The batch of these records, once they are in the log."""
        self.writer.append(records)
        batch = self.pipeline.log.read(1_000, 0)
        assert batch is not None
        return batch

    def changed(self, *records: Record) -> Batch:
        """The batch of one source transaction."""
        return self.written(begin("shop"), *records, end("shop"))

    def wait_for_receipt(self) -> None:
        """Until a message has come to its end."""
        until = time.monotonic() + 30
        while not self.pipeline.dispatcher.receipts():
            assert time.monotonic() < until
            time.sleep(0.01)

    def delivered(self) -> int:
        """Messages that the ledger knows to be delivered."""
        return counts(self.pipeline.engine.warehouse.con)["delivered"]


@contextmanager
def stepping(folder: Path) -> Iterator[tuple[Steps, HttpReceiver]]:
    """A pipeline with a webhook that takes everything."""
    with HttpReceiver() as receiver:
        steps = Steps(folder, receiver.url)
        try:
            yield steps, receiver
        finally:
            steps.writer.close()
            steps.pipeline._close()


def test_receipts_of_a_transaction_that_failed_are_written_by_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that arrived is not sent again because the batch after it could not be committed."""
    with stepping(folder) as (steps, receiver):
        pipeline = steps.pipeline
        pipeline._take(steps.changed(order(1, 1, "c", 16)))
        steps.wait_for_receipt()
        with monkeypatch.context() as broken:
            broken.setattr(pipeline.engine.outbox, "append", lambda decisions, deliveries: 1 / 0)
            batch = steps.changed(order(2, 1, "c", 24))
            with pytest.raises(ZeroDivisionError):
                pipeline._take(batch)
        assert steps.delivered() == 0
        pipeline._take(batch)
        assert steps.delivered() == 1
        steps.wait_for_receipt()
        pipeline._quiet()
        assert steps.delivered() == 2
        assert len(receiver.ids()) == len(set(receiver.ids())) == 2


def test_changes_are_those_of_the_batch(folder: Path) -> None:
    """Orders whose customer comes after them are computed again, but count once; a tombstone is no change."""
    with stepping(folder) as (steps, _):
        before = steps.pipeline.metrics.snapshot()["changes"]
        steps.pipeline._take(steps.changed(order(1, 7, "c", 16), order(2, 7, "c", 24)))
        steps.pipeline._take(steps.changed(customer(7, "Bob", "c", 32), (CUSTOMERS, None, None)))
        assert steps.pipeline.metrics.snapshot()["changes"] - before == 3
        assert steps.pipeline.questions.counts()["rows"]["order_placed"] == 2


def test_an_end_that_fails_in_part_is_done_for_the_rest_and_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full when the last receipts are written, say: nobody takes that end for one in order."""

    def full() -> None:
        raise duckdb.IOException("No space left on device")

    with stepping(folder) as (steps, _):
        pipeline, stop = steps.pipeline, threading.Event()
        stop.set()
        with monkeypatch.context() as broken:
            broken.setattr(pipeline.capture, "start", lambda declared: None)
            broken.setattr(pipeline.dispatcher, "start", lambda: None)
            broken.setattr(pipeline, "_quiet", full)
            with pytest.raises(duckdb.IOException, match="No space left"):
                pipeline.run(stop)
        with pytest.raises(duckdb.ConnectionException, match="closed"):
            pipeline.engine.warehouse.con.execute("select 1")
