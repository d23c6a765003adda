"""`ringup rebuild`: the live state, built again from the lake alone."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import Progress as Bar

from activations.outbox import LEDGERS
from connectors.log import RECORDS, Batch, Positions
from connectors.snapshots import were_read
from ringup.changes import FACT, OWN, STATE
from ringup.config import Config
from ringup.engine import Engine
from ringup.errors import LakeError
from ringup.lakes import folder_of
from ringup.service import Ownership
from ringup.show import console
from transforms.lake import Lake
from transforms.lake_cut import Cut, Origin, noted
from transforms.lake_files import LakeFile
from transforms.lake_rows import RAW, read
from transforms.project import load_project
from transforms.warehouse import Settings, Warehouse

log = logging.getLogger(__name__)

AT_ONCE = 50_000
BEFORE = "live.duckdb.before"
"""The state as it was before, which is kept."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was built: records that were read, rows of the models, ledger rows taken over, and how long it took."""

    records: int
    messages: int | None
    seconds: float


def rebuild(config: Config, tell: Callable[[int, int], None]) -> Rebuilt:
    """Build the state again beside the one that is there, and put it in its place; `tell` hears how far it is.

    What went out is no change, so it is not in the lake: decisions, messages and receipts are taken over from the state
    that is there, where it can be read. Raises LakeError where the lake is not whole, OwnedError while a run goes on.
    """
    began = time.monotonic()
    folder, path = folder_of(config), config.state_folder / "live.duckdb"
    origin, cut = _begin(folder)
    fresh = path.with_name("live.duckdb.new")
    with Ownership(config.state_folder):
        project = load_project(config.dbt_folder, config.state_folder / "dbt")
        lake = Lake(folder, project.tables)
        _check(lake, origin, cut)
        _remove(fresh)
        settings = Settings(config.pipeline.memory_limit, config.pipeline.threads)
        with closing(Engine(fresh, project, settings)) as engine:
            records = fill(engine, lake, cut.positions, tell)
            engine.start(_clock_of(path) or datetime.now(UTC))
            with engine.warehouse.transaction():
                _note(engine.warehouse, origin, cut)
            messages = _take_over(engine.warehouse, path)
        _swap(path, fresh)
    return Rebuilt(records, messages, time.monotonic() - began)


def show_rebuild(config: Config, *, as_json: bool) -> None:
    """The same with a bar, and in words what was built."""
    with Bar(console=Console(stderr=True), disable=as_json) as bar:
        task = bar.add_task("Building the state again", total=None)
        built = rebuild(config, lambda done, whole: bar.update(task, completed=done, total=whole))
    if as_json:
        print(json.dumps(asdict(built)))
        return
    taken = "no" if built.messages is None else f"{built.messages:,}"
    console.print(f"Built from {built.records:,} records in {built.seconds:,.1f} s; {taken} messages were taken over.")
    console.print(f"The state before is {config.state_folder / BEFORE}; remove it when all is well.", soft_wrap=True)


def _begin(folder: Path) -> tuple[Origin, Cut]:
    found = noted(folder)
    if found is None or not found[1].positions:
        raise LakeError(
            "there is nothing in the lake yet that a state could be built from",
            where=str(folder),
            mend="Start the pipeline once: ringup run",
        )
    if not found[0].whole:
        raise LakeError(
            "the lake began later than the state: what came before is not in it",
            where=str(folder),
            mend="Move the state folder away instead, with the lake: the next run reads the sources anew.",
        )
    return found


def _check(lake: Lake, origin: Origin, cut: Cut) -> None:
    """Nothing is missing up to where the state goes on. A partition of Kafka may be empty and not begin at 0."""
    reach = lake.positions()
    for (topic, partition), offset in cut.positions.items():
        there = reach.get((topic, partition), -1)
        if offset > there and (there >= 0 or origin.log == OWN):
            raise LakeError(
                f"{topic}, partition {partition}: it ends at offset {there}, and the state went on to {offset}",
                where=str(lake.folder),
                mend="See what is missing: ringup lake verify. Restore it.",
            )


def fill(engine: Engine, lake: Lake, positions: Positions, tell: Callable[[int, int], None]) -> int:
    """Bring an empty mirror to these positions, one table after the other, each in the order of its log.

    Returns how many records that took. `tell` hears how many bytes of how many were read.
    """
    files = {table.topic: lake.files(table.topic) for table in engine.mirror.tables}
    bytes_of = {file: file.path.stat().st_size for found in files.values() for file in found}
    done, whole, records = 0, sum(bytes_of.values()), 0
    tell(0, whole)
    for table in engine.mirror.tables:
        streamed = False
        for file in files[table.topic]:
            upto = positions.get((file.topic, file.partition), -1)
            for batch in _batches(file, upto):
                if batch.snapshot and streamed:
                    engine.mirror.doubt(table)  # it does not say which rows went meanwhile
                streamed = streamed or not batch.snapshot
                with engine.warehouse.transaction():
                    engine.mirror.apply(batch)
                records += batch.records.num_rows
            done += bytes_of[file]
            tell(done, whole)
    return records


def _batches(file: LakeFile, upto: int) -> Iterator[Batch]:
    """The changes of a file up to an offset; what a snapshot read is apart from what happened, as it is in a run.

    Raises LakeError for a file that is damaged.
    """
    for rows in _rows(file):
        raw = rows.select(RAW.names)
        if file.last > upto:
            raw = raw.filter(pc.less_equal(raw.column("_offset"), upto))
        records = pa.table([pa.repeat(pa.scalar(file.topic), raw.num_rows), *raw.columns], schema=RECORDS)
        of_snapshot = were_read(records.column("value")).to_numpy()
        cuts = [0, *(np.flatnonzero(np.diff(of_snapshot)) + 1).tolist(), records.num_rows]
        for first, last in pairwise(cuts if records.num_rows else []):
            yield Batch(records.slice(first, last - first), {}, snapshot=bool(of_snapshot[first]))


def _rows(file: LakeFile) -> Iterator[pa.Table]:
    try:
        yield from read(file)
    except (OSError, pa.ArrowException) as error:
        raise LakeError(
            f"the file is damaged: {error}",
            where=str(file.path),
            mend="Restore it, or delete it: where the log still has what was in it, the next run writes it again.",
        ) from error


def _note(warehouse: Warehouse, origin: Origin, cut: Cut) -> None:
    """It goes on where the state was that the lake has all of."""
    warehouse.remember(FACT, origin.log)
    warehouse.remember(STATE, origin.state)
    warehouse.commit_positions(Batch(RECORDS.empty_table(), cut.positions, snapshot=False, topics=cut.topics))


def _clock_of(path: Path) -> datetime | None:
    """The time up to which the state that is there evaluated; what is due since then is yet to be told."""
    if not path.exists():
        return None
    try:
        with closing(duckdb.connect(":memory:")) as con:
            location = str(path).replace("'", "''")
            con.execute(f"set timezone = 'UTC'; attach '{location}' as before (read_only)")
            rows = con.execute("select as_of from before.ringup.clock").fetchall()
    except duckdb.Error:
        return None
    found: datetime | None = rows[0][0] if rows else None
    return found


def _take_over(warehouse: Warehouse, path: Path) -> int | None:
    """Copy the ledgers of the state that is there; returns how many messages, None where it cannot be read."""
    if not path.exists():
        return None
    location = str(path).replace("'", "''")
    try:
        warehouse.con.execute(f"attach '{location}' as before (read_only)")
        with warehouse.transaction():
            for ledger in LEDGERS:
                warehouse.con.execute(f"insert into live.ringup.{ledger} by name from before.ringup.{ledger}")
        warehouse.con.execute("detach before")
    except duckdb.Error as error:
        log.warning("the messages of the state before cannot be taken over: %s", error)
        return None
    return warehouse.number("select count(*) from live.ringup.outbox")


def _swap(path: Path, fresh: Path) -> None:
    """The new state has its name at once; the one before has another one already."""
    if path.exists():
        before = path.with_name(BEFORE)
        _remove(before)
        before.hardlink_to(path)
        if _wal(path).exists():
            _wal(path).replace(_wal(before))
    fresh.replace(path)


def _remove(path: Path) -> None:
    for file in (path, _wal(path)):
        file.unlink(missing_ok=True)


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")
