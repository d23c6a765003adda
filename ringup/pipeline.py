"""The one loop: a batch from the log, the mirror, the models, the decisions and the outbox, in one transaction."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.capture import Capture

from activations import outbox
from activations.channels import open_channels
from activations.dispatch import Dispatcher
from activations.plan import plan
from activations.templates import check_messages
from connectors.embedded import EmbeddedLog
from connectors.log import Batch
from connectors.sources import load_sources
from ringup.config import Config
from ringup.engine import Engine
from ringup.errors import RingupError
from ringup.metrics import Metrics
from ringup.questions import Questions
from transforms.compact import compact
from transforms.project import load_project
from transforms.prove import ProofReport
from transforms.warehouse import Settings

log = logging.getLogger(__name__)

IDLE_WAIT = 0.25
"""Seconds to wait for changes before looking after the house: sweeps, receipts, the capture process."""


class Pipeline:
    """A running project. `run` is the loop; `status`, `profile` and `prove` may be asked from any thread."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self.config = config
        self.metrics = Metrics()
        self.state = "starting"
        state = config.state_folder
        state.mkdir(parents=True, exist_ok=True)
        self.sources = load_sources(config.sources_folder)
        self.project = load_project(config.dbt_folder, state / "dbt")
        check_messages(self.project.activations, self.project.models)
        self.channels = open_channels(config.channels, self.project.activations)
        self.capture = Capture(self.sources, state, environ)
        settings = Settings(config.pipeline.memory_limit, config.pipeline.threads)
        self.engine = Engine(state / "live.duckdb", self.project, settings)
        self.log = EmbeddedLog(
            state / "log.db",
            expected=[source.prefix for source in self.sources],
            transaction_wait=config.pipeline.transaction_wait.total_seconds(),
        )
        self.dispatcher = Dispatcher(self.channels)
        self.questions = Questions(self.engine.warehouse.reader(), self.project)
        self._swept: dict[str, datetime] = {}
        self._sent_upto = 0

    def run(self, stop: threading.Event, on_change: Callable[[], None] = lambda: None) -> None:
        """Take in, decide and send until `stop` is set; then finish what is in flight and release everything."""
        try:
            self.capture.start()
            self.log.seek(self.engine.warehouse.positions())
            self.dispatcher.start()
            self._catch_up()
            self._set("live" if self.engine.ready else "bootstrapping", on_change)
            while not stop.is_set():
                self.capture.check()
                batch = self.log.read(self.config.pipeline.max_batch, IDLE_WAIT)
                if batch is not None:
                    self._take(batch)
                elif self.log.bootstrapped:
                    if not self.engine.ready:
                        self.engine.start(datetime.now(UTC))
                        self._set("live", on_change)
                    self._quiet()
                if self.engine.ready:
                    self._sweep()
                    self._catch_up()
        finally:
            self._set("stopping", on_change)
            self._close()

    def _set(self, state: str, on_change: Callable[[], None]) -> None:
        if state != self.state:
            log.info("state: %s", state)
            self.state = state
            on_change()

    def _take(self, batch: Batch) -> None:
        if not self.engine.ready and not batch.snapshot:
            self.engine.start(datetime.now(UTC))
            self.state = "live"
        warehouse, now = self.engine.warehouse, datetime.now(UTC)
        with warehouse.transaction():
            candidates, changes, quarantined = self.engine.apply(batch)
            decisions, deliveries = plan(candidates, self.project.activations, snapshot=batch.snapshot, now=now)
            outbox.record(warehouse.con, self.dispatcher.receipts())
            new = outbox.append(warehouse.con, decisions, deliveries)
        self._hand_over(new)
        self.log.acknowledge(batch.positions)
        self.metrics.batch(changes=changes, quarantined=quarantined, torn=batch.torn, decided=len(decisions))

    def _sweep(self) -> None:
        """Move the clock for the models whose interval has passed."""
        now = datetime.now(UTC)
        due = [
            name
            for name, every in self.engine.refresh.sweeps.items()
            if now - self._swept.get(name, datetime.min.replace(tzinfo=UTC)) >= (every or timedelta.max)
        ]
        if not due:
            return
        warehouse = self.engine.warehouse
        with warehouse.transaction():
            candidates = self.engine.refresh.sweep(now, due)
            decisions, deliveries = plan(candidates, self.project.activations, snapshot=False, now=now)
            new = outbox.append(warehouse.con, decisions, deliveries)
        self._hand_over(new)
        self._swept.update(dict.fromkeys(self.engine.refresh.sweeps, now))

    def _hand_over(self, deliveries: list[Any]) -> None:
        """Give new deliveries to the dispatcher, unless older ones still wait in the outbox: order is kept."""
        self._sent_upto = self.dispatcher.offer(deliveries, self._sent_upto)

    def _catch_up(self) -> None:
        """Fetch from the outbox what the dispatcher had no room for, or an earlier run left."""
        if self.dispatcher.wants_more(self._sent_upto):
            self._hand_over(outbox.pending(self.engine.warehouse.con, after=self._sent_upto))

    def _quiet(self) -> None:
        """A moment without changes: write receipts, fold tails in, keep the files small."""
        warehouse = self.engine.warehouse
        if receipts := self.dispatcher.receipts():
            with warehouse.transaction():
                outbox.record(warehouse.con, receipts)
        compact(warehouse, self.engine.mirror)
        warehouse.tidy()

    def _close(self) -> None:
        for step in (self.capture.stop, self.dispatcher.stop, self._last_receipts, self.log.close, self.engine.close):
            try:
                step()
            except (RingupError, OSError, RuntimeError):
                log.exception("while stopping")

    def _last_receipts(self) -> None:
        with self.engine.warehouse.transaction():
            outbox.record(self.engine.warehouse.con, self.dispatcher.receipts())

    def status(self) -> dict[str, Any]:
        """What the run is doing: state, lag, counts."""
        return {
            "state": self.state,
            "lag": self.log.lag(),
            **self.metrics.snapshot(),
            **self.questions.counts(),
            "waiting": self.dispatcher.waiting(),
        }

    def profile(self, profile_id: int) -> dict[str, Any] | None:
        """Everything the models say of one profile, and the messages it got."""
        return self.questions.profile(profile_id)

    def prove(self) -> ProofReport:
        """Compare both clocks at the last committed batch, while the run goes on."""
        return self.questions.prove()
