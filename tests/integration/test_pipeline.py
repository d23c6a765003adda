"""The steps of the loop on real parts; only the capture process does not run: its log is written here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from activations.outbox import counts
from connectors.embedded import EmbeddedLogWriter
from connectors.log import Batch
from ringup.config import load_config
from ringup.engine import Clock, wall_clock
from ringup.pipeline import Pipeline
from tests.debezium import Record, begin, end
from tests.house import variables
from tests.http_receiver import HttpReceiver
from tests.outgoing import SECRET
from tests.starter_log import CUSTOMERS, END_OF_SNAPSHOT, ORDERED, customer, order


class Steps:
    """A pipeline that has taken in its first snapshot, and does one step at a time."""

    def __init__(self, folder: Path, webhook: str, clock: Clock = wall_clock) -> None:
        database = dict.fromkeys(variables(folder / "connectors"), "unused")
        environ = {**database, "WEBHOOK_URL": webhook, "WEBHOOK_SECRET": SECRET}
        self.pipeline = Pipeline(load_config(folder, environ), environ, clock)
        self.writer = EmbeddedLogWriter(self.pipeline.config.state_folder / "log.db")
        self.pipeline.log.seek(self.pipeline.engine.warehouse.positions())
        self.pipeline.dispatcher.start()
        self.pipeline.dispatcher.refill(lambda channel, after, limit: [])
        if not self.pipeline.engine.ready:
            self.pipeline._take(self.written(customer(1, "Ann"), END_OF_SNAPSHOT))
            self.pipeline.engine.start(clock())

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
def stepping(folder: Path, clock: Clock = wall_clock) -> Iterator[tuple[Steps, HttpReceiver]]:
    """A pipeline with a webhook that takes everything."""
    with HttpReceiver() as receiver:
        steps = Steps(folder, receiver.url, clock)
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


COLD = """
select customers.profile_id, cast(max(orders.order_id) as varchar) as event_id,
    max(orders.ordered_at) + interval 30 minutes as event_at
from {{ source('shop', 'customers') }} as customers
join {{ source('shop', 'orders') }} as orders on customers.profile_id = orders.profile_id
group by customers.profile_id
having max(orders.ordered_at) <= {{ as_of() }} - interval 30 minutes
"""
COLD_YML = "models: [{name: gone_cold, config: {meta: {refresh: continuous, kind: trigger}}}]"
COLD_TOLD = """
  - name: come_back
    type: application
    owner: {name: CRM}
    depends_on: [ref('gone_cold')]
    config: {meta: {activation: {channel: crm_webhook, when: fired, message: Come back}}}
"""


def test_what_nobody_does_is_told_when_its_time_has_come(folder: Path) -> None:
    """Half an hour without an order after an order: once, at the second, also over a restart, and not if one came."""
    models = folder / "dbt_project" / "models"
    (models / "triggers" / "gone_cold.sql").write_text(COLD)
    (models / "triggers" / "gone_cold.yml").write_text(COLD_YML)
    with (models / "activations.yml").open("a") as activations:
        activations.write(COLD_TOLD)
    now = [ORDERED]

    def told(steps: Steps, after: timedelta) -> list[str]:
        now[0] = ORDERED + after
        steps.pipeline._pass_time()
        query = "select event_id from live.ringup.outbox where activation = 'come_back' order by seq"
        return [row[0] for row in steps.pipeline.engine.warehouse.con.execute(query).fetchall()]

    with stepping(folder, lambda: now[0]) as (steps, _):
        steps.pipeline._take(steps.changed(order(1, 1, "c", 16)))
        assert told(steps, timedelta(minutes=30, microseconds=-1)) == []
        assert told(steps, timedelta(minutes=30)) == ["1"]
        assert told(steps, timedelta(hours=2)) == ["1"]
        late = ORDERED + timedelta(hours=2)
        steps.pipeline._take(steps.changed(order(2, 1, "c", 24, late)))
    with stepping(folder, lambda: now[0]) as (steps, _):
        assert told(steps, timedelta(hours=2, minutes=29)) == ["1"]
        steps.pipeline._take(steps.changed(order(3, 1, "c", 32, late + timedelta(minutes=29))))
        assert told(steps, timedelta(hours=2, minutes=58)) == ["1"]
    now[0] = ORDERED + timedelta(hours=9)
    with stepping(folder, lambda: now[0]) as (steps, _):
        assert told(steps, timedelta(hours=9)) == ["1", "3"]
