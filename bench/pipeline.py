"""Changes per second through the pipeline, from a prepared log: mirror, the demo's models, decisions, outbox.

    python bench/pipeline.py [--changes 1000000] [--profiles 250000]

Each batch commits durably. Writing the log is not measured; the snapshot of the members is measured apart, before the
log has anything else. `spent` says where the time goes, in percent. One JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import duckdb

from activations.plan import plan
from connectors.embedded import EmbeddedLog
from connectors.embedded_writer import EmbeddedLogWriter
from connectors.log import Log
from connectors.read_ahead import ReadAhead
from ringup.engine import Engine
from ringup.reference import reference_folder
from transforms.project import load_project

HERE = Path(__file__).parent
SQL = dict(part.split("\n", maxsplit=1) for part in (HERE / "changes.sql").read_text().split("-- name: ")[1:])
CHANGES_A_BILL = 6
NOTICE = '{"id":"1","aggregate_type":"Initial Snapshot","type":"COMPLETED","additional_data":{},"timestamp":1}'
LIMIT = 50_000
SOURCES = ("crm", "pos")
PATIENCE = 0.5
"""Seconds without a record after which a log is at its end."""


class Spent:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - began

    def shares(self) -> dict[str, float]:
        whole = sum(self.seconds.values())
        return {stage: round(100 * seconds / whole, 1) for stage, seconds in self.seconds.items()}


def records(part: str, profiles: int, changes: int = 0) -> Iterator[list[tuple[str, str]]]:
    """Topics and values in blocks: of the `snapshot`, members and assortment; or `changes`, bills of six each."""
    bills = {"first": 1, "last": 1 + changes // CHANGES_A_BILL} if part == "changes" else {}
    rows = duckdb.connect().execute(SQL[part], {"profiles": profiles, **bills})
    while block := rows.fetchmany(LIMIT):
        yield block


def notices() -> list[tuple[str, str]]:
    """Where the first snapshots end."""
    return [(f"{source}.notifications", NOTICE) for source in SOURCES]


def write_log(path: Path, blocks: Iterable[Iterable[tuple[str, str]]]) -> None:
    """Append all of it to a change log."""
    with EmbeddedLogWriter(path) as writer:
        for block in blocks:
            writer.append([(topic, None, value) for topic, value in block])


def new_engine(folder: Path) -> Engine:
    """The reference project, with an empty state."""
    return Engine(folder / "live.duckdb", load_project(reference_folder() / "dbt_project", folder / "dbt"))


def bootstrap(log: Log, engine: Engine, patience: float = PATIENCE) -> dict[str, object]:
    """Read the snapshot."""
    rows, began = 0, time.perf_counter()
    while not log.bootstrapped:
        if (batch := log.read(LIMIT, patience)) is not None:
            with engine.warehouse.transaction():
                engine.apply(batch)
            rows += batch.records.num_rows
    engine.start(datetime.now(UTC))
    return {"snapshot_rows_per_s": round(rows / (time.perf_counter() - began))}


def follow(log: Log, engine: Engine) -> dict[str, object]:
    """Read what followed, to the end of the log."""
    spent, taken, batches, messages = Spent(), 0, 0, 0
    began = time.perf_counter()
    with spent.on("read"):
        batch = log.read(LIMIT, PATIENCE)
    while batch is not None:
        with spent.on("commit"), engine.warehouse.transaction():
            inner = time.perf_counter()
            with spent.on("mirror"):
                applied = engine.mirror.apply(batch)
            with spent.on("models"):
                candidates = engine.refresh.batch(applied, datetime.now(UTC))
            with spent.on("decide"):
                decided = plan(candidates, engine.project.activations, snapshot=False, now=datetime.now(UTC))
            with spent.on("outbox"):
                messages += len(engine.outbox.append(*decided))
                engine.warehouse.commit_positions(batch)
            spent.seconds["commit"] -= time.perf_counter() - inner
        log.acknowledge(batch.positions)
        taken, batches, wall = taken + batch.records.num_rows, batches + 1, time.perf_counter() - began
        with spent.on("read"):
            batch = log.read(LIMIT, PATIENCE)
    return {
        "changes": taken,
        "changes_per_s": round(taken / wall),
        "changes_a_batch": round(taken / batches),
        "messages": messages,
        "spent": spent.shares(),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, nargs="*", default=[1_000_000, 5_000_000])
    parser.add_argument("--profiles", type=int, default=250_000)
    options = parser.parse_args()
    for changes in options.changes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log.db"
            write_log(path, chain(records("snapshot", options.profiles), [notices()]))
            with (
                closing(new_engine(Path(folder))) as engine,
                closing(ReadAhead(EmbeddedLog(path, expected=SOURCES), engine.mirror.decoder.ahead)) as log,
            ):
                measured = bootstrap(log, engine, patience=0.0)  # all of it is there
                write_log(path, records("changes", options.profiles, changes))
                measured |= follow(log, engine)
        print(json.dumps({"bench": "pipeline", "profiles": options.profiles, **measured}), flush=True)


if __name__ == "__main__":
    main()
