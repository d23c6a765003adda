"""How a run stands, in a word or two."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.board import SourceState

WAITED_FOR = ("waiting", "missing", "paused", "failed", "unknown")
"""States of a source in which nothing of it comes until somebody mends it."""


def standing(sources: Mapping[str, SourceState], *, ready: bool, heard: bool = True) -> str:
    """How a run stands, in a word or two: `live` when the models are computed and every source is followed.

    `heard` says that the log answers; where that is Kafka, it may not.
    """
    waiting = [name for name, said in sources.items() if said.state in WAITED_FOR]
    if not heard:
        waiting.insert(0, "Kafka")
    if waiting:
        return f"waiting for {', '.join(waiting)}"
    if not ready:
        return "bootstrapping"
    return "live" if all(said.state == "streaming" for said in sources.values()) else "catching up"
