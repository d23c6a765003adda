"""The state and what changes it, without the log and the channels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from activations.outbox import Outbox
from connectors.log import Batch
from transforms.changes import Candidate
from transforms.compact import compact
from transforms.declared import lacking, note_whole
from transforms.mirror import Mirror
from transforms.project import Project, Table
from transforms.refresh import Refresh
from transforms.retag import note_tags
from transforms.scope import Scope
from transforms.warehouse import Settings, Warehouse

log = logging.getLogger(__name__)


Clock: TypeAlias = Callable[[], datetime]
"""Tells the time."""


def wall_clock() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


class Engine:
    """Takes in batches: mirror, models, positions. Opened by one thread, which is the only one that writes."""

    def __init__(
        self, path: Path, project: Project, settings: Settings | None = None, clock: Clock = wall_clock
    ) -> None:
        self.clock = clock
        self.warehouse = Warehouse(path, settings)
        try:
            self.project = project
            self.mirror = Mirror(self.warehouse, project.tables)
            scope = Scope(self.warehouse, project)
            asked = frozenset(activation.model for activation in project.activations)
            self.refresh = Refresh(self.warehouse, project, scope, self.mirror, asked)
            self.outbox = Outbox(self.warehouse.con)
            self.ready = self.mirror.complete = self.warehouse.fact("ready") == "yes"
            if (scope.rebuilt or self.mirror.retagged) and self.ready:
                changed = ", ".join(m.name for m in scope.rebuilt) or "what says whose a row is"
                log.info("building all models again, since this changed: %s", changed)
                with self.warehouse.transaction():
                    self.refresh.everything()
                    scope.note_built()
            self.lacking = lacking(self.warehouse, project.tables) if self.ready else []
            note_tags(self.warehouse, project.tables)
            scope.note_built()  # where nothing is kept yet, `start` computes it all
            if self.ready:
                self.refresh.warm()
        except BaseException:
            self.warehouse.close()
            raise

    def apply(self, batch: Batch) -> tuple[list[Candidate], int, int]:
        """Take in a batch, in the caller's transaction. Returns the candidates, the changes and the quarantined.

        Until the first snapshots are whole the models wait: half a state would give wrong answers, and a snapshot's
        rows are no news. Then every model is computed once, and from there on change by change.
        """
        applied = self.mirror.apply(batch)
        candidates: list[Candidate] = []
        if self.ready:
            candidates = self.refresh.batch(applied, self.clock())
        self.warehouse.commit_positions(batch)
        return ([] if batch.snapshot else candidates), applied.rows, applied.quarantined

    def start(self, now: datetime) -> None:
        """The first snapshots are whole: cluster the mirror and compute every model once; nothing fires."""
        compact(self.warehouse, self.mirror, at_least=1)
        with self.warehouse.transaction():
            self.refresh.begin(now)
            self.warehouse.remember("ready", "yes")
            note_whole(self.warehouse, self.project.tables)
        self.warehouse.checkpoint()
        self.refresh.warm()
        self.ready = self.mirror.complete = True

    def upcoming(self) -> datetime:
        """No profile is due before this time."""
        return self.refresh.upcoming

    def due(self) -> list[Candidate]:
        """Evaluate those who are due by now, in the caller's transaction."""
        return self.refresh.due(self.clock())

    def note_read(self, tables: Sequence[Table]) -> None:
        """These tables are whole now: what the source had before they were declared was read."""
        with self.warehouse.transaction():
            note_whole(self.warehouse, tables)
        whole = {table.relation for table in tables}
        self.lacking = [table for table in self.lacking if table.relation not in whole]

    def close(self) -> None:
        """Release the file."""
        self.mirror.decoder.close()
        self.warehouse.close()
