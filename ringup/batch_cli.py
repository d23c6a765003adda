"""`ringup batch`: a scheduled run, now; and `ringup runs`, those that were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ringup.config import load_config
from ringup.options import DIFFERS, Json, Project
from ringup.stopping import interrupted_by_signals


def batch(project: Project = Path(), as_json: Json = False) -> None:
    """Compute every model as a whole with dbt, on all that the lake has; publish the scheduled ones that are good.

    The continuous ones are held against the rows that the live run keeps, at one and the same commit. Works while the
    pipeline runs, and holds nobody up; or when nothing runs. Exit status 1 when a model is not good, or rows differ.
    """
    config = load_config(project, os.environ, channels=False)
    from ringup.batch_show import show_batch

    with interrupted_by_signals():
        good = show_batch(config, as_json=as_json)
    if not good:
        raise typer.Exit(DIFFERS)


def runs(
    run: Annotated[str | None, typer.Argument(metavar="ID", help="One run, by its id; `last` is the newest.")] = None,
    project: Project = Path(),
    as_json: Json = False,
) -> None:
    """Show the scheduled runs that were: when, what became of them, how many rows differed. Or one, with its models.

    The log of dbt is in the run's folder, which is named.
    """
    config = load_config(project, os.environ, channels=False)
    from ringup.batch_show import show_runs

    show_runs(config, run, as_json=as_json)
