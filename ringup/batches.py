"""A scheduled run: what is kept is copied, dbt computes the whole of it, both are compared, the good is published."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from connectors.log import flat
from ringup import service
from ringup.batch_runs import History, ModelRun, Run
from ringup.config import Config
from ringup.dbt_plugin import CUT, PROJECT
from ringup.errors import LakeError, ProjectError
from ringup.lakes import folder_of
from ringup.service import Ownership
from transforms.audit import audit
from transforms.dbt.manifest import DBT, QUIET, fingerprint
from transforms.dbt.results import Built, built, with_faults
from transforms.lake import Lake
from transforms.lake_cut import Cut, note, noted
from transforms.project import load_project
from transforms.prove import ModelProof
from transforms.published import Version, misfits, publish
from transforms.quality import check
from transforms.quality_report import ModelReport, Report
from transforms.quality_suites import read_suites

PATIENCE = timedelta(seconds=60)
"""How long to wait, beyond `lake.every`, until the lake has what the copied rows were made of."""

Tell = Callable[[str, int, int], None]
"""Hears what is done now, and how many steps of how many."""


def run_batch(config: Config, tell: Tell) -> Run:
    """Run it now. Its record is kept, whatever becomes of it.

    Raises RingupError where it cannot begin, or dbt cannot read the project; OwnedError while another one goes on.
    """
    folder = config.scheduled_folder
    folder_of(config)  # without a lake there is nothing that it could compute
    with Ownership(folder, "Wait until it has ended: ringup runs", "a scheduled run of this project"):
        history = History(folder / "runs")
        run = history.begin(datetime.now(UTC))
        try:
            run = _run(config, folder, history, run, tell)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            history.end(replace(run, state="failed", why="it was stopped" if stopped else str(error)))
            raise
        history.end(run)
        return run


def _run(config: Config, folder: Path, history: History, run: Run, tell: Tell) -> Run:
    own = history.folder_of(run)
    tell("copying what is kept", 0, 0)
    kept, work = own / "kept.duckdb", folder / "work.duckdb"
    copied = service.answer(config, "copy", path=str(kept))
    as_of = datetime.fromisoformat(copied["as_of"])
    run = replace(run, batch=copied["batch"], as_of=as_of)
    suites = read_suites(config.dbt_folder)
    try:
        tell("waiting for the lake", 0, 0)
        _wait_for_lake(config, own, Cut(flat(copied["positions"]), copied["topics"]))
        edited = copied["project"] != fingerprint(config.dbt_folder)
        project = load_project(config.dbt_folder, config.state_folder / "dbt")
        _build(config, own, work, copied["as_of"], tell)
        wrong = misfits(work, (model for model in project.models if model.scheduled))
        found = with_faults(built(own / "dbt"), wrong)
        tell("comparing with what is kept", 0, 0)
        good = {one.relation for one in found if not one.why}
        proofs = () if edited else audit(work, kept, project, as_of, good)
    finally:
        kept.unlink(missing_ok=True)
    tell("checking what is expected", 0, 0)
    there = {one.name for one in found if not one.why}
    asked = [suite for suite in suites if suite.model in there]
    report = check(work, asked, history.stats(), as_of, own / "docs")
    found = with_faults(found, {one.model: _words(one, critical=True) for one in report.models if not one.ok})
    good = {one.name for one in found if not one.why}
    tell("publishing", 0, 0)
    scheduled = [one for one in found if one.table and not one.continuous]
    made = _publish(folder, work, run.id, as_of, scheduled)
    return replace(
        run,
        state="published" if all(not one.why for one in found) else "held",
        why="the project was edited since the live run began, so nothing was compared" if edited else None,
        models=tuple(_model_run(one, made, proofs, report) for one in found if one.table),
        proofs=proofs,
        stats=tuple(one.stats for one in report.models if one.stats is not None and one.model in good),
    )


def _wait_for_lake(config: Config, own: Path, cut: Cut) -> None:
    """Until it has all that the copy was made of; notes beside the run how far it is to be folded."""
    assert config.lake is not None
    lake_folder = folder_of(config)
    until = time.monotonic() + (config.lake.every + PATIENCE).total_seconds()
    origin = noted(lake_folder)
    with closing(Lake(lake_folder)) as lake:
        while origin is None or not cut.within({file.of_partition: file.last for file in lake.files()}):
            if time.monotonic() > until:
                raise LakeError(
                    "it does not have what the live run took in",
                    where=str(lake_folder),
                    mend="See why: ringup status. Where nothing runs, start it, and let the lake catch up: ringup run",
                )
            time.sleep(0.2)
            origin = noted(lake_folder)
    note(own, origin[0], cut)


def _build(config: Config, own: Path, work: Path, as_of: str, tell: Tell) -> None:
    """`dbt build`, as a child; its log is in the run's folder. Raises ProjectError where nothing was built at all."""
    options = {
        "--project-dir": config.dbt_folder,
        "--profiles-dir": config.dbt_folder,
        "--target-path": own / "dbt",
        "--log-path": own,
        "--vars": json.dumps({"as_of": as_of}),
    }
    command = [*DBT, "--log-format", "json", "--log-level-file", "info", "build"]
    command += [str(part) for option in options.items() for part in option]
    places = {"RINGUP_DUCKDB": str(work), PROJECT: str(config.folder), CUT: str(own)}
    environ = {**os.environ, **QUIET, **places}
    said = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ) as dbt:
        try:
            for line in dbt.stdout or ():
                data = _event(line)
                if "index" in data and "total" in data:
                    tell("dbt", int(str(data["index"])), int(str(data["total"])))
                said = data.get("exc") or said
        except BaseException:  # Ctrl-C, say: it would go on, and have the file
            dbt.terminate()
            raise
    if not (own / "dbt" / "run_results.json").exists():
        raise ProjectError(
            " ".join(str(said or f"dbt ended with status {dbt.returncode}").split()),
            where=str(own / "dbt.log"),
            mend="Correct what is said there; `dbt build` in the dbt project shows the same.",
        )


def _event(line: str) -> dict[str, object]:
    try:
        data: dict[str, object] = orjson.loads(line)["data"]
    except (ValueError, KeyError, TypeError):
        return {}
    return data


def _publish(folder: Path, work: Path, run: str, as_of: datetime, scheduled: Sequence[Built]) -> dict[str, int]:
    """Publish the good ones; returns the rows of each."""
    good = {one.relation: Version(run, as_of.isoformat(), one.built_of, 0) for one in scheduled if not one.why}
    known = {one.relation for one in scheduled}
    if not known:
        return {}
    done = publish(folder / "published", run, work, good, known)
    return {name: version.rows for name, version in done.models.items() if name in good}


def _words(checked: ModelReport, *, critical: bool) -> tuple[str, ...]:
    return tuple(str(one) for one in checked.failures if (one.severity == "critical") == critical)


def _model_run(one: Built, rows: dict[str, int], proofs: Sequence[ModelProof], report: Report) -> ModelRun:
    counted = {proof.model: proof.rows for proof in proofs}
    return ModelRun(
        one.name,
        "continuous" if one.continuous else "scheduled",
        rows.get(one.relation, counted.get(one.name)),
        one.seconds,
        one.why,
        tuple(
            words for checked in report.models if checked.model == one.name for words in _words(checked, critical=False)
        ),
    )
