"""What a lake is filled from, and how far the live state was that it has all of: there a state built from it goes on.

Whole transactions end there in every topic at once, which the ends of the lake's files do not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from connectors.log import Positions, flat, nested
from ringup.errors import LakeError
from transforms.lake_files import put, told

_NAME = "committed.json"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a lake is filled from: which log, for which state (its id), and whether from that state's beginning on."""

    log: str
    state: str
    whole: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """A commit of the live state: the log's positions, and the ids that topics have beside their names."""

    positions: Positions
    topics: Mapping[str, str]

    def within(self, upto: Positions) -> bool:
        """Whether all of it was read up to there."""
        return all(offset <= upto.get(place, -1) for place, offset in self.positions.items())


def note(folder: Path, origin: Origin, cut: Cut) -> None:
    """Keep both in the lake. Raises LakeError when that cannot be written."""
    said = {**asdict(origin), "topics": dict(cut.topics), "positions": nested(cut.positions)}
    put(folder / _NAME, lambda out: out.write(orjson.dumps(said)))


def noted(folder: Path) -> tuple[Origin, Cut] | None:
    """What was kept last; None when nothing was. Raises LakeError when it is damaged."""
    path = folder / _NAME
    try:
        with told(path):
            text = path.read_bytes() if path.exists() else None
        if text is None:
            return None
        said = orjson.loads(text)
        origin = Origin(str(said["log"]), str(said["state"]), bool(said["whole"]))
        return origin, Cut(flat(said["positions"]), dict(said["topics"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LakeError(
            f"it cannot be read: {error}",
            where=str(path),
            mend="Restore it. Or move the lake away: the next run begins another one.",
        ) from error
