"""The lake of a project: who fills it, and what can be asked of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from connectors.log import Positions
from connectors.sources import Source
from ringup.changes import FACT, OWN, open_raw, state_of
from ringup.config import Config
from ringup.errors import ConfigError, LakeError
from ringup.service import Ownership
from ringup.show import console
from transforms.lake import Lake
from transforms.lake_cut import Origin, noted
from transforms.lake_merge import GRACE, Compacted
from transforms.lake_verify import Fault
from transforms.lake_writer import LakeWriter
from transforms.project import Table as SourceTable
from transforms.warehouse import Warehouse

_EMPTY = "The lake is empty: a run fills it."
_FIGURES = ("merged", "bytes_before", "bytes_after", "removed", "bytes_removed")


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the lake has of one partition of a topic: files, their bytes, and the offsets from `first` to `last`."""

    topic: str
    partition: int
    files: int
    bytes: int
    first: int
    last: int
    since: str
    until: str


def open_lake(
    config: Config,
    sources: Sequence[Source],
    tables: Sequence[SourceTable],
    warehouse: Warehouse,
    told: Callable[[Positions], None],
) -> LakeWriter | None:
    """What fills the lake beside the state, not started yet; None where there is to be none.

    Raises LakeError where it was filled from another log.
    """
    folder = config.lake_folder
    if config.lake is None or folder is None:
        return None
    lake = Lake(folder, tables)
    log, state = warehouse.fact(FACT) or OWN, state_of(warehouse)
    if (before := noted(folder)) is None:
        origin = Origin(log, state, whole=not lake.positions() and not warehouse.positions())
    else:
        origin = replace(before[0], state=state)
        if origin.log != log or (log == OWN and before[0].state != state):
            raise LakeError(
                f"it was filled from {origin.log}" + (" of another state" if origin.log == log else f", this is {log}"),
                where=str(folder),
                mend="Name another folder as `lake.folder` in ringup.yml, or move this one away.",
            )
    return LakeWriter(lake, open_raw(config, sources, tables), origin, config.lake.every, told)


def standing_of(lake: LakeWriter | None) -> dict[str, Any]:
    """How the lake is, as part of what a run says of itself."""
    if lake is None:
        return {"state": "off", "cause": None, "mend": None}
    trouble = lake.trouble
    return {
        "state": "up" if trouble is None else "trouble",
        "cause": trouble and str(trouble),
        "mend": trouble and trouble.mend,
    }


def folder_of(config: Config) -> Path:
    """Where it lies. Raises ConfigError where there is to be none."""
    if config.lake_folder is None:
        raise ConfigError("there is no lake", where="ringup.yml: lake", mend="Leave `lake` out of it: then there is.")
    return config.lake_folder


def status(config: Config) -> list[Shelf]:
    """What is in it, by topic and partition. Works whether a run goes on or not."""
    found = defaultdict(list)
    for file in Lake(folder_of(config)).files():
        found[file.topic, file.partition].append(file)
    return [
        Shelf(
            *(topic, partition, len(files), sum(file.path.stat().st_size for file in files)),
            *(files[0].first, files[-1].last),
            *(min(file.date for file in files).isoformat(), max(file.date for file in files).isoformat()),
        )
        for (topic, partition), files in found.items()
    ]


def verify(config: Config, *, as_json: bool) -> tuple[int, list[Fault]]:
    """How many files were read, and what is wrong; with a bar that says how far it is."""
    with closing(Lake(folder_of(config))) as lake, Bar(console=Console(stderr=True), disable=as_json) as bar:
        count = len(lake.files())
        task = bar.add_task("Reading the lake", total=count)
        return count, lake.verify(lambda file: bar.advance(task))


def compact(config: Config, *, at_once: bool) -> list[Compacted]:
    """Make few large files of many small ones, while no run does so. Raises OwnedError when one goes on.

    Files that were replaced go after an hour, as somebody may read them; or `at_once`.
    """
    alone = Ownership(config.state_folder, mend="It does so by itself. Or stop it first: kill {pid}")
    with alone, closing(Lake(folder_of(config))) as lake:
        lake.open_for_writing()
        done = [lake.compact(grace := timedelta() if at_once else GRACE)]
        while done[-1].more:
            done.append(lake.compact(grace))
    return done


def show_status(shelves: Sequence[Shelf], *, as_json: bool) -> None:
    """A line for each partition."""
    if as_json:
        _print_json([asdict(shelf) for shelf in shelves])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Topic", "Days"):
        table.add_column(name)
    for name in ("Partition", "Files", "MB", "First", "Last"):
        table.add_column(name, justify="right")
    for shelf in shelves:
        days = shelf.since if shelf.since == shelf.until else f"{shelf.since} to {shelf.until}"
        numbers = (f"{number:,}" for number in (shelf.partition, shelf.files))
        offsets = (f"{number:,}" for number in (shelf.first, shelf.last))
        table.add_row(shelf.topic, days, *numbers, f"{shelf.bytes / 1e6:,.1f}", *offsets)
    console.print(table if shelves else _EMPTY)


def show_faults(files: int, faults: Sequence[Fault], *, as_json: bool) -> None:
    """A line for each, or that there is none in so many files."""
    if as_json:
        _print_json([asdict(fault) for fault in faults])
        return
    for fault in faults:
        console.print(Text(str(fault), style="red"), soft_wrap=True)
    if not faults and files:
        console.print(Text(f"{files:,} files were read: all of it is there, once.", style="green"))
    elif not faults:
        console.print(_EMPTY)


def show_compacted(done: Sequence[Compacted], *, as_json: bool) -> None:
    """What became of how much."""
    whole = {name: sum(getattr(one, name) for one in done) for name in _FIGURES}
    made = sum(one.merged > 0 for one in done)
    if as_json:
        _print_json({"made": made, **whole})
        return
    console.print(
        f"{whole['merged']:,} files of {whole['bytes_before'] / 1e6:,.1f} MB became {made:,} of "
        f"{whole['bytes_after'] / 1e6:,.1f} MB; {whole['removed']:,} that were replaced are removed."
    )


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))
