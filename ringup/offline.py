"""The same answers when nothing runs: the state is opened for reading only, for the one question.

Nothing in it changes. Where the project's models are no longer those whose rows are kept, the answer says so: only a
run computes them anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import duckdb

from connectors.board import SourceState
from connectors.sources import load_sources
from ringup.changes import left_over
from ringup.config import Config
from ringup.errors import LogError, ProjectError, WarehouseError
from ringup.metrics import Metrics
from ringup.questions import Questions
from ringup.scheduling import told_of
from transforms.project import Model, Project, load_project
from transforms.prove import ProofReport
from transforms.scope import built_fact, built_of, show_whole, views_of
from transforms.warehouse import Settings, Warehouse

ANEW = "Start `ringup run`: it computes what changed anew, and goes on from there."


@dataclass(frozen=True, slots=True)
class _State:
    """The state, the project as it is now, and the models whose SQL changed since their rows were computed."""

    warehouse: Warehouse
    project: Project
    outdated: tuple[Model, ...]
    questions: Questions


@contextmanager
def _opened(config: Config) -> Iterator[_State]:
    path = config.state_folder / "live.duckdb"
    if not path.exists():
        raise WarehouseError(
            "there is no state yet", where=str(path), mend="Start the pipeline once: ringup run (or: ringup demo)"
        )
    project = load_project(config.dbt_folder, config.state_folder / "dbt")
    settings = Settings(config.pipeline.memory_limit, config.pipeline.threads)
    try:
        with closing(Warehouse(path, settings, read_only=True)) as warehouse:
            yield _state(warehouse, project)
    except duckdb.CatalogException as error:
        raise WarehouseError(
            f"the first run did not get far enough to answer: {error}", where=str(path), mend="Start it: ringup run"
        ) from error


def _state(warehouse: Warehouse, project: Project) -> _State:
    views, kept, outdated = views_of(project), [], []
    for model in project.models:
        if model.materialized == "view":
            continue
        built = warehouse.fact(built_fact(model))
        if built is not None:
            kept.append(model)
        if built != built_of(model, {column.name: column.data_type for column in model.columns}, views):
            outdated.append(model)
    questions = Questions(warehouse.con, replace(project, models=tuple(kept)), [model.name for model in outdated])
    return _State(warehouse, project, tuple(outdated), questions)


def status(config: Config) -> dict[str, Any]:
    """What the last run left."""
    sources = load_sources(config.sources_folder)
    with _opened(config) as state:
        try:
            lag, log = left_over(config, sources, state.project.tables, state.warehouse), SourceState("stopped")
        except LogError as error:
            lag, log = None, SourceState("trouble", cause=error.message, mend=error.mend)
        return {
            "state": "stopped",
            "sources": {source.name: asdict(SourceState("stopped")) for source in sources},
            "lag": lag,
            "log": {"state": log.state, "cause": log.cause, "mend": log.mend},
            "lake": {"state": "stopped" if config.lake else "off", "cause": None, "mend": None},
            "scheduled": told_of(config),
            **Metrics().snapshot(),
            "waiting": {},
            "channels": {},
            "absent": {},
            "edited": False,
            **state.questions.counts(),
        }


def profile(config: Config, profile_id: int) -> dict[str, Any] | None:
    """Everything the models say of one profile, and the messages it got."""
    with _opened(config) as state:
        return state.questions.profile(profile_id)


def copy(config: Config, path: str) -> dict[str, Any]:
    """Copy the rows of all models, as the last run left them."""
    with _opened(config) as state:
        said = state.questions.copy(path)
        return {**said, "project": None} if state.outdated else said


def prove(config: Config) -> ProofReport:
    """Compare both clocks at the last committed batch.

    Raises ProjectError when the project changed since: rows of another SQL would differ for no fault of theirs.
    """
    with _opened(config) as state:
        if state.outdated:
            names = ", ".join(model.name for model in state.outdated)
            raise ProjectError(
                f"the SQL of {names} changed since the last run, and rows are still kept by the old one",
                where=state.outdated[0].path,
                mend=ANEW,
            )
        try:
            show_whole(state.warehouse.con, state.project)
        except duckdb.Error as error:
            raise ProjectError(
                f"the sources are declared otherwise than in the last run: {error}",
                where=str(config.dbt_folder),
                mend=ANEW,
            ) from error
        return state.questions.prove()
