"""What `ringup run` says while it runs."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from typing import Any

import pytest
from rich.console import Console

from ringup import progress
from ringup.progress import Progress, ProgressHandler


class Beating:
    """A pulse that goes on by one second's work at each look, and says when it was looked at for the third time."""

    def __init__(self) -> None:
        self.looks = 0
        self.looked = threading.Event()

    def __call__(self) -> dict[str, Any]:
        if self.looks == 2:
            self.looked.set()
        self.looks += 1
        return {"state": "live", "lag": 3, "changes": 1000 * self.looks, "messages": 100 * self.looks}


@pytest.fixture
def paper() -> io.StringIO:
    """What is written on."""
    return io.StringIO()


def test_plain_lines_have_no_control_characters(paper: io.StringIO) -> None:
    """Away from a terminal each line is a time and what happened."""
    with Progress("shop", console=Console(file=paper)) as said:
        said.say("live")
    time, _, text = paper.getvalue().partition("  ")
    assert (len(time), text) == (8, "live\n")
    assert "\x1b" not in paper.getvalue()


def test_json_lines_can_be_read_by_programs(paper: io.StringIO) -> None:
    """With --json each line is an object, however long it is."""
    with Progress("shop", as_json=True, console=Console(file=paper, width=20)) as said:
        said.say("waiting [for] the database, which has a very long name", lag=3)
    line = json.loads(paper.getvalue())
    assert line["says"] == "waiting [for] the database, which has a very long name"
    assert (line["project"], line["lag"]) == ("shop", 3)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_pulse_is_followed(paper: io.StringIO, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """State, lag, rates and sums are shown, on a terminal and elsewhere."""
    monkeypatch.setattr(progress, "LIVE_EVERY", 0.01)
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.01)
    pulse = Beating()
    with Progress("shop", console=Console(file=paper, force_terminal=terminal, width=200)) as said:
        said.follow(pulse)
        assert pulse.looked.wait(30)
    assert "live, 3 changes behind, " in paper.getvalue()
    assert re.search(r"\([23],000 changes and [23]00 messages since the start\)", paper.getvalue())


def test_a_quiet_pulse_says_nothing(paper: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log file is not filled with lines that say the same."""
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.01)
    looks = threading.Semaphore(0)

    def pulse() -> dict[str, Any]:
        looks.release()
        return {"state": "live", "lag": 0, "changes": 5, "messages": 1}

    with Progress("shop", console=Console(file=paper)) as said:
        said.follow(pulse)
        assert all(looks.acquire(timeout=30) for _ in range(4))
    assert paper.getvalue() == ""


def test_warnings_are_said(paper: io.StringIO) -> None:
    """Warnings and errors of the log are lines among the others; what is below is not."""
    log = logging.getLogger("tests.progress")
    with Progress("shop", console=Console(file=paper)) as said:
        handler = ProgressHandler(said)
        log.addHandler(handler)
        try:
            log.warning("the webhook is %s", "down")
            log.info("all is well")
        finally:
            log.removeHandler(handler)
    assert "warning: the webhook is down" in paper.getvalue()
    assert "all is well" not in paper.getvalue()
