"""The one loop: a batch from the log, the mirror, the models, the decisions and the outbox, in one transaction."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

from activations.channels import open_channels
from activations.dispatch import Dispatcher
from activations.outbox import pending
from activations.plan import plan
from activations.templates import check_messages
from connectors.board import SourceState
from connectors.log import Batch, Positions
from connectors.sources import load_sources
from ringup.anew import Anew
from ringup.captured import check_captured, declared_columns
from ringup.changes import open_capture, open_log
from ringup.config import Config
from ringup.engine import Clock, Engine, wall_clock
from ringup.lakes import open_lake, standing_of
from ringup.metrics import Metrics
from ringup.publishing import Watch
from ringup.questions import Questions
from ringup.scheduling import Schedule, told_of
from ringup.standing import standing
from transforms.changes import Candidate
from transforms.compact import compact, compact_if_long
from transforms.dbt.manifest import fingerprint
from transforms.lake_cut import Cut
from transforms.project import load_project
from transforms.prove import ProofReport
from transforms.warehouse import Settings

log = logging.getLogger(__name__)

IDLE_WAIT = 0.1
"""Seconds to wait for changes before looking after the house: sweeps, receipts, the capture process."""

LOOK_EVERY = 0.1
"""Seconds between two looks at what the sources are doing."""


class Pipeline:
    """A running project. `run` is the loop; `status`, `profile` and `prove` may be asked from any thread."""

    def __init__(self, config: Config, environ: Mapping[str, str], clock: Clock = wall_clock) -> None:
        self.config, self.clock = config, clock
        self.metrics = Metrics()
        self.state = "starting"
        folder = config.state_folder
        folder.mkdir(parents=True, exist_ok=True)
        self.sources = sources = load_sources(config.sources_folder)
        self.capture = open_capture(config, sources, environ)
        self.project = load_project(config.dbt_folder, folder / "dbt")
        check_captured(self.project.tables, sources)
        check_messages(self.project.activations, self.project.models)
        self.dispatcher = Dispatcher(open_channels(config, self.project.activations))
        settings = Settings(config.pipeline.memory_limit, config.pipeline.threads)
        self.engine = Engine(folder / "live.duckdb", self.project, settings, clock)
        engine = self.engine
        self.log = open_log(config, sources, self.project.tables, engine.warehouse, engine.mirror.decoder.ahead)
        self.lake = open_lake(config, sources, self.project.tables, engine.warehouse, self.log.hold)
        self.anew = Anew(self.engine, sources)
        self.published = Watch(config.scheduled_folder / "published") if engine.refresh.adopts else None
        self.schedule = Schedule(config)
        self.questions = Questions(self.engine.warehouse.reader(), self.project)
        self._looked = 0.0
        self._told: Mapping[str, SourceState] = {}

    def run(self, stop: threading.Event, on_change: Callable[[str], None] = lambda state: None) -> None:
        """Take in, decide and send until `stop` is set; then finish what is under way and release everything.

        Raises what ended it or, where it ended in order, what went wrong at the end.
        """
        try:
            self.log.seek(self.engine.warehouse.positions(), stop)
            if self.lake is not None:
                self.lake.start()
            self.capture.start(declared_columns(self.project.tables, self.sources))
            self.dispatcher.start()
            gc.freeze()  # what is there by now stays, and need not be looked through again and again
            while not stop.is_set():
                self.capture.check()
                if self.lake is not None:
                    self.lake.check()
                self._look(on_change)
                batch = self.log.read(self.config.pipeline.max_batch, IDLE_WAIT)
                if not self.engine.ready and self.log.bootstrapped and (batch is None or not batch.snapshot):
                    self.engine.start(self.clock())
                    self._tell_lake(self.engine.warehouse.positions(), self.engine.warehouse.topics())
                if batch is not None:
                    self._take(batch)
                else:
                    self._quiet()
                if self.engine.ready:
                    compact_if_long(self.engine.warehouse, self.engine.mirror)
                    self._pass_time()
                    self._adopt()
                    self.schedule.check()
                    self.dispatcher.refill(partial(pending, self.engine.warehouse.con))
        finally:
            self._become("stopping", on_change)
            failed = self._close()
            gc.unfreeze()
        if failed is not None:
            raise failed

    def _look(self, on_change: Callable[[str], None]) -> None:
        """See what the sources are doing, and say what is new."""
        if time.monotonic() - self._looked < LOOK_EVERY:
            return
        self._looked = time.monotonic()
        sources = self.capture.states()
        for name, said in sources.items():
            if said.cause and said != self._told.get(name):
                log.warning("%s is %s: %s", name, said.state, said.cause)
        self._told = sources
        self.anew.look(sources, self.capture, self.log)
        if (now := standing(sources, ready=self.engine.ready, heard=self.log.trouble is None)) != self.state:
            self._become(now, on_change)

    def _become(self, state: str, on_change: Callable[[str], None]) -> None:
        log.info("state: %s", state)
        self.state = state
        on_change(state)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it or nothing, with the receipts that came meanwhile; those of a rollback come again."""
        with self.engine.warehouse.transaction():
            self.engine.outbox.record(self.dispatcher.receipts())
            yield
        self.dispatcher.recorded()

    def _take(self, batch: Batch) -> None:
        """One batch, one transaction; what it decided is sent when that is durable."""
        with self._transaction():
            candidates, _, quarantined = self.engine.apply(batch)
            decided = self._decide(candidates, snapshot=batch.snapshot)
        self.dispatcher.submit(decided)
        self.log.acknowledge(batch.positions)
        self._tell_lake(batch.positions, batch.topics)
        changes = batch.records.num_rows - batch.records.column("value").null_count  # a tombstone repeats a delete
        self.metrics.batch(changes=changes, quarantined=quarantined, torn=batch.torn, messages=len(decided))

    def _tell_lake(self, positions: Positions, topics: Mapping[str, str]) -> None:
        """How far the state is, once it is whole: from there it can go on when it is built again from the lake."""
        if self.lake is not None and self.engine.ready:
            self.lake.committed(Cut(positions, topics))

    def _pass_time(self) -> None:
        """Evaluate who is due by now."""
        if self.clock() < self.engine.upcoming():
            return
        with self._transaction():
            decided = self._decide(self.engine.due(), snapshot=False)
        self.dispatcher.submit(decided)

    def _adopt(self) -> None:
        """Take over what a scheduled run published since the last look."""
        if self.published is None:
            return
        with self.published.opened(self.engine.warehouse) as found:
            if found is None:
                return
            with self._transaction():
                decided = self._decide(self.engine.refresh.adopt(found, self.clock()), snapshot=False)
        self.dispatcher.submit(decided)

    def _decide(self, candidates: Iterable[Candidate], *, snapshot: bool) -> list[Any]:
        """Decide, and write decisions and deliveries, in the caller's transaction."""
        now = self.clock()
        decisions, deliveries = plan(candidates, self.project.activations, snapshot=snapshot, now=now)
        return self.engine.outbox.append(decisions, deliveries)

    def _quiet(self) -> None:
        """A moment without changes: write receipts, fold tails in, keep the files small."""
        warehouse = self.engine.warehouse
        if self.dispatcher.receipts():
            with self._transaction():
                pass
        if self.engine.ready:
            compact(warehouse, self.engine.mirror)
            warehouse.tidy()

    def _close(self) -> Exception | None:
        """Stop in the order of the flow; a step that fails does not keep the others from being done.

        Returns the first error.
        """
        failed = None
        steps: list[Callable[[], object]] = [
            self.schedule.stop,
            self.capture.stop,
            self.dispatcher.stop,
            self._quiet,
            self.log.close,
            self.engine.close,
        ]
        if self.lake is not None:
            steps.insert(2, self.lake.stop)
        for step in steps:
            try:
                step()
            except Exception as error:
                log.exception("while stopping: %s", error)
                failed = failed or error
        return failed

    def status(self) -> dict[str, Any]:
        """What the run is doing: state, lag, counts."""
        return {
            "state": self.state,
            "sources": {name: asdict(said) for name, said in self.capture.states().items()},
            "lag": self.lag(),
            "log": {"state": "trouble" if self.log.trouble else "up", "cause": self.log.trouble, "mend": None},
            "lake": standing_of(self.lake),
            "scheduled": told_of(self.config, self.schedule),
            **self.metrics.snapshot(),
            "waiting": self.dispatcher.waiting(),
            "channels": {
                name: {"state": "trouble" if cause else "up", "cause": cause, "mend": None}
                for name, cause in self.dispatcher.troubles().items()
            },
            "absent": {name: list(shape.absent) for name, shape in self.engine.mirror.shapes.items() if shape.absent},
            "edited": fingerprint(self.config.dbt_folder) != self.project.fingerprint,
            **self.questions.counts(),
        }

    def lag(self) -> int | None:
        """How many records are still ahead; None while the log does not answer."""
        return self.log.lag() if self.log.trouble is None else None

    def profile(self, profile_id: int) -> dict[str, Any] | None:
        """Everything the models say of one profile, and the messages it got."""
        return self.questions.profile(profile_id)

    def prove(self) -> ProofReport:
        """Compare both clocks at the last committed batch, while the run goes on."""
        return self.questions.prove()

    def copy(self, path: str) -> dict[str, Any]:
        """Copy the rows of all models, as they are in one commit, for a scheduled run to be compared with."""
        return self.questions.copy(path)
