"""Changes per second through the pipeline, from a prepared log: mirror, the demo's models, decisions, outbox.

    python bench/pipeline.py [--changes 1000000] [--profiles 250000]

Each batch commits durably. The log is written beforehand and not measured; the snapshot of the members is measured
apart. `spent` says where the time goes, in percent. One JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from activations.plan import plan
from connectors.embedded import EmbeddedLog
from connectors.embedded_writer import EmbeddedLogWriter
from ringup.engine import Engine
from ringup.reference import reference_folder
from transforms.project import load_project

HERE = Path(__file__).parent
SQL = dict(part.split("\n", maxsplit=1) for part in (HERE / "changes.sql").read_text().split("-- name: ")[1:])
CHANGES_A_BILL = 6
NOTICE = '{"id":"1","aggregate_type":"Initial Snapshot","type":"COMPLETED","additional_data":{},"timestamp":1}'
LIMIT = 50_000


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


def write_log(path: Path, profiles: int, changes: int) -> None:
    """The members and the assortment as a snapshot, then bills of six changes each."""
    generate = duckdb.connect()
    with EmbeddedLogWriter(path) as writer:
        for name in ("snapshot", "changes"):
            parameters = {"profiles": profiles}
            if name == "changes":
                writer.append([("pos.notifications", None, NOTICE), ("crm.notifications", None, NOTICE)])
                parameters |= {"first": 1, "last": 1 + changes // CHANGES_A_BILL}
            rows = generate.execute(SQL[name], parameters)
            while chunk := rows.fetchmany(LIMIT):
                writer.append([(topic, None, value) for topic, value in chunk])


def measure(profiles: int, changes: int, folder: Path) -> dict[str, object]:
    """One run over a log of its own."""
    write_log(folder / "log.db", profiles, changes)
    log = EmbeddedLog(folder / "log.db", expected=["pos", "crm"])
    engine = Engine(folder / "live.duckdb", load_project(reference_folder() / "dbt_project", folder / "dbt"))
    spent, taken, snapshot, messages = Spent(), 0, 0, 0
    began = time.perf_counter()
    while (batch := log.read(LIMIT, 0.0)) is not None and batch.snapshot:
        with engine.warehouse.transaction():
            engine.apply(batch)
        snapshot += batch.records.num_rows
    engine.start(datetime.now(UTC))
    snapshot_seconds = time.perf_counter() - began
    began = time.perf_counter()
    while batch is not None:
        with spent.on("commit"), engine.warehouse.transaction():
            inner = time.perf_counter()
            with spent.on("mirror"):
                applied = engine.mirror.apply(batch)
            with spent.on("models"):
                candidates = engine.refresh.batch(applied)
            with spent.on("decide"):
                decided = plan(candidates, engine.project.activations, snapshot=False, now=datetime.now(UTC))
            with spent.on("outbox"):
                messages += len(engine.outbox.append(*decided))
                engine.warehouse.commit_positions(batch.positions, batch.records.num_rows)
            spent.seconds["commit"] -= time.perf_counter() - inner
        taken += batch.records.num_rows
        with spent.on("read"):
            batch = log.read(LIMIT, 0.0)
    wall = time.perf_counter() - began
    engine.close()
    log.close()
    return {
        "bench": "pipeline",
        "profiles": profiles,
        "changes": taken,
        "changes_per_s": round(taken / wall),
        "snapshot_rows_per_s": round(snapshot / snapshot_seconds),
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
            print(json.dumps(measure(options.profiles, changes, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
