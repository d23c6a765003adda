"""Tables and columns that were declared after the first snapshots: what the source had of them before is read, too."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from connectors.board import SourceState
from connectors.log import Log
from connectors.sources import Source
from ringup.captured import source_of
from ringup.changes import Capturing
from ringup.engine import Engine
from transforms.project import Table

log = logging.getLogger(__name__)


class Anew:
    """Asks each source once it streams, and again when its engine had to be started anew meanwhile."""

    def __init__(self, engine: Engine, sources: Sequence[Source]) -> None:
        self._engine = engine
        self._sources = {source.name: source for source in sources}
        self._wanted: dict[str, list[Table]] = {}
        for table in engine.lacking:
            self._wanted.setdefault(source_of(table, sources).name, []).append(table)
        self._asked: set[str] = set()
        self._told: set[str] = set()
        for name, tables in self._wanted.items():
            relations = ", ".join(table.relation for table in tables)
            log.warning("%s: declared since the first snapshots, so what %s had before is to be read", relations, name)

    def look(self, states: Mapping[str, SourceState], capture: Capturing, changes: Log) -> None:
        """Do what can be done now. Called between two batches."""
        for topic in sorted({*changes.read_anew} - self._told):
            log.info("%s was read again", topic)
            self._told.add(topic)
        for name, tables in list(self._wanted.items()):
            prefix, state = self._sources[name].prefix, states[name].state
            if all(table.topic in changes.read_anew for table in tables):
                self._engine.note_read(tables)
                del self._wanted[name]
            elif state in ("starting", "restarting", "waiting"):
                self._asked.discard(name)
            elif state == "streaming" and name not in self._asked:
                self._asked.add(name)
                capture.read_again(name, [table.topic.removeprefix(f"{prefix}.") for table in tables])
