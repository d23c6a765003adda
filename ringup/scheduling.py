"""Scheduled runs at their times, as children of the live run."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ringup.batch_runs import History, goes_on
from ringup.config import Config
from ringup.options import DIFFERS
from ringup.times import next_time

log = logging.getLogger(__name__)

GRACE = 20.0
"""Seconds that a scheduled run has to end in order, when the live run stops."""


class Schedule:
    """Starts a run when it is due, one at a time. One that was due while nothing ran is made up for, once."""

    def __init__(self, config: Config, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._config, self._clock = config, clock
        self._history = History(config.scheduled_folder / "runs")
        self._child: subprocess.Popen[bytes] | None = None
        last = next(iter(self._history.runs(running=True)), None) if config.schedule else None
        self.due = self._after(datetime.fromisoformat(last["began"]) if last else clock())

    def _after(self, before: datetime) -> datetime | None:
        """When a run is due next; None where there is no schedule."""
        said = self._config.schedule
        return next_time(said.cron, said.time_zone, before) if said is not None else None

    def check(self) -> None:
        """Start what is due, and say what became of what was started."""
        if self._child is not None:
            if self._child.poll() is None:
                return
            self._said()
        now = self._clock()
        if self.due is not None and now >= self.due:
            self.due = self._after(now)
            log.info("a scheduled run begins; the next is due at %s", self.due)
            command = [sys.executable, "-m", "ringup", "batch", "--json", "--project", str(self._config.folder)]
            self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        """End what goes on; what it computed so far is of no use, and nothing of it is published."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None

    def _said(self) -> None:
        child, self._child = self._child, None
        last = next(iter(self._history.runs(running=False)), None)
        if last is None or child is None or child.returncode not in (0, DIFFERS):
            log.warning("a scheduled run failed. See why: ringup runs last; or run one: ringup batch")
        elif child.returncode == 0:
            log.info("the scheduled run %s is published", last["id"])
        else:
            words = f"{last['differ']:,} rows differ" if last["differ"] else "not all is good"
            log.warning("the scheduled run %s is %s: %s. See it: ringup runs last", last["id"], last["state"], words)


def told_of(config: Config, schedule: Schedule | None = None) -> dict[str, Any]:
    """What `ringup status` says of scheduled runs: the newest, the newest verdict, and when the next is due."""
    runs = History(config.scheduled_folder / "runs").runs(running=goes_on(config))
    last = next(iter(runs), None)
    checked = next((run for run in runs if run["state"] in ("published", "held")), None)
    kept = ("id", "state", "why", "differ", "began", "ended")
    return {
        "last": {name: last[name] for name in kept} if last else None,
        "checked": _verdict(checked) if checked else None,
        "due": schedule.due.isoformat() if schedule is not None and schedule.due is not None else None,
    }


def _verdict(run: dict[str, Any]) -> dict[str, Any]:
    """What a run found, in figures: how both clocks compare, and which models are not good."""
    bad = {model["name"]: model["why"] for model in run["models"] if model["why"]}
    proofs = run["proofs"]
    return {
        "id": run["id"],
        "ended": run["ended"],
        # no difference is no news where nothing was compared
        "audit": {name: sum(proof[name] for proof in proofs) for name in ("rows", "differ")} if proofs else None,
        "gate": {"good": len(run["models"]) - len(bad), "not_good": bad},
    }
