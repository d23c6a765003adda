"""What the status says of scheduled runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ringup.batch_runs import History, ModelRun
from ringup.config import load_config
from ringup.scheduling import told_of
from transforms.prove import ModelProof

BEGAN = datetime(2026, 11, 28, 3, tzinfo=UTC)
GOOD = ModelRun("customers", "continuous", 9, 1.0, ())
BAD = ModelRun("rfm", "scheduled", None, 1.0, ("a row is missing",))


def test_the_verdict_stays_while_a_later_run_has_none(tmp_path: Path) -> None:
    """The audit and the gate are of the newest run that has them, not of one that failed or goes on."""
    (tmp_path / "ringup.yml").write_text("project: corner-shop")
    config = load_config(tmp_path, {})
    history = History(config.scheduled_folder / "runs")
    run = history.begin(BEGAN)
    proofs = (ModelProof("customers", 9, 2, ()), ModelProof("high_value", 3, 0, ()))
    history.end(replace(run, state="held", models=(GOOD, BAD), proofs=proofs))
    history.end(replace(history.begin(BEGAN + timedelta(days=1)), state="failed", why="it was stopped"))
    history.begin(BEGAN + timedelta(days=2))
    told = told_of(config)
    assert told["last"]["state"] == "died"
    assert told["checked"]["id"] == run.id
    assert told["checked"]["audit"] == {"rows": 12, "differ": 2}
    assert told["checked"]["gate"] == {"good": 1, "not_good": {"rfm": ["a row is missing"]}}


def test_nothing_compared_is_not_told_as_no_difference(tmp_path: Path) -> None:
    """Where the project was edited, nothing is compared, and the audit is null."""
    (tmp_path / "ringup.yml").write_text("project: corner-shop")
    config = load_config(tmp_path, {})
    history = History(config.scheduled_folder / "runs")
    history.end(replace(history.begin(BEGAN), state="published", models=(GOOD,)))
    assert told_of(config)["checked"]["audit"] is None
