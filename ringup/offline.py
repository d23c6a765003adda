"""The same answers when nothing runs: the state is opened for the one question and closed again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ringup.config import Config
from ringup.engine import Engine
from ringup.errors import WarehouseError
from ringup.questions import Questions
from transforms.project import load_project
from transforms.prove import ProofReport
from transforms.warehouse import Settings


@contextmanager
def _opened(config: Config) -> Iterator[tuple[Engine, Questions]]:
    path = config.state_folder / "live.duckdb"
    if not path.exists():
        raise WarehouseError(
            "there is no state yet", where=str(path), mend="Start the pipeline once: ringup run (or: ringup demo)"
        )
    project = load_project(config.dbt_folder, config.state_folder / "dbt")
    engine = Engine(path, project, Settings(config.pipeline.memory_limit, config.pipeline.threads))
    try:
        yield engine, Questions(engine.warehouse.reader(), project)
    finally:
        engine.close()


def status(config: Config) -> dict[str, Any]:
    """What the last run left."""
    with _opened(config) as (_, questions):
        return {"state": "stopped", **questions.counts()}


def profile(config: Config, profile_id: int) -> dict[str, Any] | None:
    """Everything the models say of one profile, and the messages it got."""
    with _opened(config) as (_, questions):
        return questions.profile(profile_id)


def prove(config: Config) -> ProofReport:
    """Compare both clocks at the last committed batch."""
    with _opened(config) as (_, questions):
        return questions.prove()
