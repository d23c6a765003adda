"""How a local server that does not start is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringup.errors import CaptureError
from ringup.local_server import LocalServer


def refusal(tmp_path: Path, command: list[str], patience: float) -> CaptureError:
    """What is said of a server that never answers."""
    with pytest.raises(CaptureError) as caught:
        LocalServer("broker", tmp_path / "broker.log").start(command, lambda: False, patience)
    assert str(tmp_path / "broker.log") in caught.value.mend
    return caught.value


def test_one_that_ends_by_itself_has_its_reason_in_the_log(tmp_path: Path) -> None:
    """Its status is told; starting again would not help."""
    error = refusal(tmp_path, ["sh", "-c", "exit 7"], 60)
    assert error.message == "the local broker does not start: it ended by itself, with status 7"
    assert "start again" not in error.mend


def test_one_that_does_not_answer_may_have_been_slow(tmp_path: Path) -> None:
    """How long was waited is told, and that another start may do."""
    error = refusal(tmp_path, ["sleep", "60"], 1)
    assert error.message == "the local broker does not start: it did not answer within 1 s"
    assert error.mend.startswith("start again, for the machine may have been busy")
