"""`ringup run` as a child process, as the demo and the acceptance tests run it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ringup import service
from ringup.errors import CaptureError

_LOOK = 0.1
_LAST_WORDS = 12


class RunProcess:
    """`ringup run` on the project in `folder`, with `environ` added to this process's environment.

    It runs in a session of its own, so that Ctrl-C reaches only its parent, and ends when its parent dies: it sees the
    end of its input. What it says goes to `logs/run.out` in the folder.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self._environ = {**os.environ, **environ}
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "logs" / "run.out"
        self._was_live = False
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ringup", "run", "--project", str(self.folder), "--until-input-ends"],
                env=self._environ,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_live(self, stop: threading.Event, on_status: Callable[[Mapping[str, Any]], None]) -> bool:
        """Wait until the snapshots are in and changes are followed; False when `stop` came first."""
        while not stop.wait(_LOOK):
            self.check()
            status = self.ask("status")
            if status is not None:
                on_status(status)
                if status["state"] == "live":
                    self._was_live = True
                    return True
        return False

    def check(self) -> bool:
        """Start it again if it was killed; whether that was so.

        Raises CaptureError when it ended by itself, or was never live: another start would not help.
        """
        if self._process is None or self._process.poll() is None:
            return False
        if not self._was_live or self._process.returncode >= 0:
            raise CaptureError(
                f"`ringup run` ended with status {self._process.returncode}:\n{self._last_words()}",
                mend=f"read {self._log}",
            )
        self._close_input()
        self.start()
        self.restarts += 1
        return True

    def ask(self, question: str) -> Any | None:
        """The answer to `status` or `prove`; None while nothing answers. Raises what the run answers with."""
        try:
            return service.ask(self.folder, question)
        except service.NotRunning:
            return None

    def stop(self, patience: float = 30.0) -> None:
        """Let it finish what is in flight and end; kill it when that takes too long."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close_input()

    def _close_input(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LAST_WORDS:])
