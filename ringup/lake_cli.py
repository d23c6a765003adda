"""`ringup lake`: the copy of the change log in Parquet; and `ringup rebuild`, which builds the live state from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ringup.config import Config, load_config
from ringup.options import DIFFERS, Json, Project, group

app = group(
    "lake",
    "Look after the lake: all changes that ever came, in Parquet.",
    epilog="What is in it: `ringup lake status`. Whether all of it is: `ringup lake verify`.",
)


@app.command(epilog="`ringup lake status --json | jq '.[].last'`")
def status(project: Project = Path(), as_json: Json = False) -> None:
    """Say what is in the lake: for each partition of each topic the files, their size, the offsets and the days.

    Works while the pipeline runs and when nothing runs.
    """
    from ringup import lakes

    lakes.show_status(lakes.status(_config(project)), as_json=as_json)


@app.command(epilog="`ringup lake verify && echo all there`")
def verify(project: Project = Path(), as_json: Json = False) -> None:
    """Read all of the lake, and see that each offset is there once, that no file is damaged, and none is missing.

    Works while the pipeline runs and when nothing runs. Exit status 1 when something is wrong.
    """
    from ringup import lakes

    files, faults = lakes.verify(_config(project), as_json=as_json)
    lakes.show_faults(files, faults, as_json=as_json)
    if faults:
        raise typer.Exit(DIFFERS)


@app.command(epilog="`ringup lake compact`\n\n`ringup lake compact --all` · removes at once what was replaced")
def compact(
    project: Project = Path(),
    everything: Annotated[
        bool, typer.Option("--all", help="Remove files that were replaced at once, not after an hour.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make few large files of many small ones. A run does so by itself, so this is for when nothing runs."""
    from ringup import lakes

    lakes.show_compacted(lakes.compact(_config(project), at_once=everything), as_json=as_json)


def rebuild(project: Project = Path(), as_json: Json = False) -> None:
    """Build the live state again from the lake alone, while nothing runs. Nothing fires from it.

    Decisions, messages and receipts are taken over from the state that is there, where it can be read. The next run
    goes on where that was. The state before is kept as `live.duckdb.before`.
    """
    from ringup.rebuilding import show_rebuild

    show_rebuild(_config(project), as_json=as_json)


def _config(project: Path) -> Config:
    return load_config(project, os.environ, channels=False)
