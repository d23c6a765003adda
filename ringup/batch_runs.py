"""Scheduled runs that were: a folder for each, with its record and dbt's log; the last ones are kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from ringup.config import Config
from ringup.errors import OwnedError, WarehouseError
from ringup.service import Ownership
from transforms.lake_files import put
from transforms.prove import ModelProof
from transforms.quality_report import ModelStats

KEPT = 30
"""Runs whose records are kept."""


@dataclass(frozen=True, slots=True)
class ModelRun:
    """A model in a run: its clock, its rows, the seconds it took, why it is not good, if it is not, and warnings."""

    name: str
    clock: str
    rows: int | None
    seconds: float
    why: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """A scheduled run.

    `state` is `running`, `published`, `held` (something is not good, and was not published), `failed` (nothing was), or
    `died`. `batch` is the live run's commit that it computed, `as_of` the time that it was computed for. `proofs` hold
    its continuous models against what was kept; `stats` are the good models in figures, for later ones to go by.
    """

    id: str
    began: datetime
    ended: datetime | None = None
    state: str = "running"
    why: str | None = None
    batch: int | None = None
    as_of: datetime | None = None
    models: tuple[ModelRun, ...] = ()
    proofs: tuple[ModelProof, ...] = ()
    stats: tuple[ModelStats, ...] = ()

    @property
    def differ(self) -> int:
        """How many rows of continuous models differ from those that were kept."""
        return sum(proof.differ for proof in self.proofs)


class History:
    """The runs of a project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def folder_of(self, run: Run) -> Path:
        """Where a run has its files."""
        return self.folder / run.id

    def begin(self, now: datetime) -> Run:
        """A new run; old ones are forgotten."""
        for old in sorted(self._folders())[: -KEPT + 1]:
            shutil.rmtree(old, ignore_errors=True)
        run = Run(f"{now:%Y-%m-%dT%H-%M-%S}.{now.microsecond // 1000:03}Z", now)
        self._note(run)
        return run

    def end(self, run: Run) -> None:
        """Note what became of it."""
        self._note(replace(run, ended=datetime.now(UTC)))

    def runs(self, *, running: bool) -> list[dict[str, Any]]:
        """The records, the newest first; `running` says whether the newest may still go on."""
        found = []
        for folder in sorted(self._folders(), reverse=True):
            with suppress(WarehouseError):  # a damaged record is no reason not to see the others
                found.append(self.read(folder.name))
        for place, run in enumerate(found):
            if run["state"] == "running" and (place > 0 or not running):
                run["state"] = "died"
        return found

    def stats(self) -> list[ModelStats]:
        """The figures of good models, the newest last."""
        found = reversed(self.runs(running=True))
        return [ModelStats.read(said) for run in found for said in run.get("stats", ())]

    def read(self, name: str) -> dict[str, Any]:
        """One record. Raises WarehouseError where there is none."""
        path = self.folder / name / "run.json"
        try:
            said: dict[str, Any] = orjson.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise WarehouseError(
                f"there is no record of this run: {error}", where=str(path), mend="See which there are: ringup runs"
            ) from error
        return said

    def _folders(self) -> Iterator[Path]:
        if self.folder.is_dir():
            yield from (path for path in self.folder.iterdir() if (path / "run.json").exists())

    def _note(self, run: Run) -> None:
        said = {**asdict(run), "differ": run.differ}
        text = orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str)
        put(self.folder_of(run) / "run.json", lambda out: out.write(text))


def goes_on(config: Config) -> bool:
    """Whether a scheduled run of the project goes on now."""
    folder = config.scheduled_folder
    if not (folder / "owner.pid").exists():
        return False
    try:
        with Ownership(folder, asks=True):
            return False
    except OwnedError:
        return True
