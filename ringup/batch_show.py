"""What is said of scheduled runs, while one goes on and afterwards."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from ringup.batch_runs import History, goes_on
from ringup.batches import run_batch
from ringup.config import Config
from ringup.errors import WarehouseError
from ringup.show import console

_STYLES = {"published": "green", "running": "bold", "held": "red", "failed": "red", "died": "red"}


NICENESS = 10
"""A live run beside it goes first."""


def show_batch(config: Config, *, as_json: bool) -> bool:
    """Run one, with a bar that says how far it is, and say what came of it. Returns whether all is good."""
    os.nice(NICENESS)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Bar(*columns, console=Console(stderr=True), disable=as_json) as bar:
        task = bar.add_task("starting", total=None)
        run = run_batch(
            config, lambda says, done, whole: bar.update(task, description=says, completed=done, total=whole or None)
        )
    history = History(config.scheduled_folder / "runs")
    said = history.read(run.id)
    _print_json(said) if as_json else _one(said, history.folder / run.id)
    return run.state == "published" and not run.differ


def show_runs(config: Config, run: str | None, *, as_json: bool) -> None:
    """All of them, a line each; or one. Raises WarehouseError where there is none of that id."""
    folder = config.scheduled_folder
    found = History(folder / "runs").runs(running=goes_on(config))
    if run is None:
        _print_json(found) if as_json else _all(found)
        return
    one = next((said for said in found if run in (said["id"], "last")), None)
    if one is None:
        raise WarehouseError(
            f"there is no scheduled run {run}" if found else "there was no scheduled run yet",
            where=str(folder),
            mend="See which there are: ringup runs" if found else "Run one: ringup batch",
        )
    _print_json(one) if as_json else _one(one, folder / "runs" / one["id"])


def _all(found: Sequence[Mapping[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Run", no_wrap=True)
    table.add_column("Result")
    for name in ("Seconds", "Models", "Not good", "Rows that differ"):
        table.add_column(name, justify="right")
    for run in found:
        bad = sum(bool(model["why"]) for model in run["models"])
        result = Text(run["state"], style=_STYLES.get(run["state"], ""))
        table.add_row(run["id"], result, _seconds(run), f"{len(run['models']):,}", f"{bad:,}", f"{run['differ']:,}")
    console.print(table if found else "There was no scheduled run yet: ringup batch")


def _one(run: Mapping[str, Any], folder: Path) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Model", "Clock"):
        table.add_column(name)
    for name in ("Rows", "Seconds", "Differ"):
        table.add_column(name, justify="right")
    table.add_column("Result")
    differ = {proof["model"]: proof["differ"] for proof in run["proofs"]}
    for model in run["models"]:
        rows = "" if model["rows"] is None else f"{model['rows']:,}"
        apart = differ.get(model["name"])
        table.add_row(
            *(model["name"], model["clock"], rows, f"{model['seconds']:.1f}", "" if apart is None else f"{apart:,}"),
            Text("; ".join(model["why"]), style="red") if model["why"] else Text("good", style="green"),
        )
    console.print(table)
    for model in run["models"]:
        for words in model.get("warnings", ()):
            console.print(Text(f"{model['name']}: {words}", style="yellow"), soft_wrap=True)
    if run["why"]:
        console.print(Text(f"\n{run['why']}", style="dim"), soft_wrap=True)
    console.print(Text(f"\n{run['state']} in {_seconds(run)} s", style=_STYLES.get(run["state"], "")), end="")
    console.print(Text(f": {run['differ']:,} rows differ from those that are kept, at commit {run['batch']}"))
    console.print(Text(f"The log of dbt: {folder / 'dbt.log'}", style="dim"), soft_wrap=True)
    if (docs := folder / "docs").is_dir():
        console.print(Text(f"What was expected and found: {docs}", style="dim"), soft_wrap=True)


def _seconds(run: Mapping[str, Any]) -> str:
    if run["ended"] is None:
        return ""
    return f"{(datetime.fromisoformat(run['ended']) - datetime.fromisoformat(run['began'])).total_seconds():,.1f}"


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))
