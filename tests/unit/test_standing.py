"""How a run stands, and what a capture says of its sources while no process says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.board import Board, SourceState
from connectors.capture import Capture
from connectors.sources import Source
from ringup.standing import standing


@pytest.mark.parametrize(
    ("pos", "crm", "ready", "said"),
    [
        ("streaming", "streaming", True, "live"),
        ("streaming", "starting", True, "catching up"),
        ("restarting", "streaming", True, "catching up"),
        ("snapshot", "streaming", True, "catching up"),
        ("streaming", "streaming", False, "bootstrapping"),
        ("snapshot", "starting", False, "bootstrapping"),
        ("snapshot", "waiting", False, "waiting for crm"),
        ("waiting", "waiting", True, "waiting for pos, crm"),
    ],
)
def test_a_run_is_live_when_it_is_ready_and_follows_every_source(pos: str, crm: str, ready: bool, said: str) -> None:
    """Otherwise it says what it waits for, or that it is on its way."""
    assert standing({"pos": SourceState(pos), "crm": SourceState(crm)}, ready=ready) == said


def test_a_run_whose_log_does_not_answer_waits_for_that() -> None:
    """Connectors may do well, and nothing of them can be read."""
    assert standing({"pos": SourceState("streaming")}, ready=True, heard=False) == "waiting for Kafka"
    sources = {"pos": SourceState("waiting"), "crm": SourceState("streaming")}
    assert standing(sources, ready=False, heard=False) == "waiting for Kafka, pos"


def test_a_board_of_an_earlier_run_is_not_believed(tmp_path: Path) -> None:
    """Before the capture process runs, its sources are starting; after it, they are stopped."""
    Board(tmp_path / "capture.json").put("pos", "streaming")
    capture = Capture([Source("pos", {"topic.prefix": "pos"}, "pos.json")], tmp_path, {})
    assert capture.states()["pos"].state == "starting"
    capture.stop()
    assert capture.states()["pos"].state == "stopped"
