"""How `ringup run` hears signals and keeps its log."""

from __future__ import annotations

import io
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from ringup.config import load_config
from ringup.errors import LogError, WarehouseError
from ringup.metrics import Metrics
from ringup.progress import Progress
from ringup.running import _logged, _run, _stopped_by_signals, run_project


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_to_stop_and_a_second_one_is_answered(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM set the event; one more says that stopping goes on; afterwards signals are as before."""
    paper, stop, before = io.StringIO(), threading.Event(), signal.getsignal(number)
    with Progress("shop", console=Console(file=paper)) as progress, _stopped_by_signals(stop, progress):
        os.kill(os.getpid(), number)
        assert stop.wait(30)
        os.kill(os.getpid(), number)
    said = [line.partition("  ")[2] for line in paper.getvalue().splitlines()]
    assert said == ["stop asked for", "still stopping: what is in flight is being finished"]
    assert signal.getsignal(number) is before


def test_the_log_has_everything_and_warnings_are_said(tmp_path: Path) -> None:
    """Information and worse is in the file, with tracebacks; warnings are printed, too; then the log is closed."""
    paper, log = io.StringIO(), logging.getLogger("tests.running")
    handlers = list(logging.getLogger().handlers)
    with Progress("shop", console=Console(file=paper)) as progress, _logged(tmp_path / "logs", progress):
        log.info("a batch")
        try:
            raise ValueError("unlucky")
        except ValueError:
            log.exception("a fault")
    written = (tmp_path / "logs" / "ringup.log").read_text()
    assert "INFO tests.running: a batch" in written
    assert "ValueError: unlucky" in written
    assert paper.getvalue().splitlines()[0].endswith("error: a fault")
    assert "a batch" not in paper.getvalue()
    assert logging.getLogger().handlers == handlers


class FakePipeline:
    """One that says these states, and is refused."""

    state = "starting"
    metrics = Metrics()

    def __init__(self, *states: str) -> None:
        self.log, self._states = self, states

    def lag(self) -> int:
        """Nothing is behind."""
        return 0

    def run(self, stop: threading.Event, on_change: Callable[[str], None]) -> None:
        """As the pipeline ends: with its last state, and the error."""
        for state in (*self._states, "stopping"):
            on_change(state)
        raise LogError("no", mend="yes")


@pytest.mark.parametrize("states", [(), ("live",)])
def test_only_what_ran_stops(states: tuple[str, ...], tmp_path: Path) -> None:
    """A run that is refused says nothing before its error; one that was live says that it is stopping."""
    paper = io.StringIO()
    with Progress("shop", console=Console(file=paper)) as progress, pytest.raises(LogError):
        _run(FakePipeline(*states), tmp_path, threading.Event(), progress)  # type: ignore[arg-type]
    said = [line.partition("  ")[2] for line in paper.getvalue().splitlines()]
    assert said == [*states, *(["stopping"] if states else [])]


def test_an_end_that_the_disk_refuses_is_an_error_after_ctrl_c_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what to do, and nobody says `stopped`."""
    (tmp_path / "ringup.yml").write_text("project: shop")

    def run(*args: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr("ringup.running.Pipeline", lambda config, environ: None)
    monkeypatch.setattr("ringup.running._run", run)
    with pytest.raises(WarehouseError, match="No space left") as caught:
        run_project(load_config(tmp_path, {}), {}, as_json=False, until_input_ends=False)
    assert "the disk has space" in caught.value.mend
    assert "stopped" not in "".join(capsys.readouterr())
