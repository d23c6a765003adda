"""A server that runs beside a demo or a test, as a child process, and ends with it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from ringup.errors import CaptureError
from ringup.started import Started

HOST = "127.0.0.1"
_LOOK = 0.05


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Whether somebody listens on a port of the loopback interface."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


class Guard:
    """A child that waits for the end of its input, that is of this process, even by SIGKILL; then it runs `command`."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            ["sh", "-c", 'cat >/dev/null; exec "$@" >/dev/null 2>&1', "guard", *command],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """It is not needed any more."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def kill_family(parent: psutil.Process) -> None:
    """Kill a process and all its children at once, as a crash would, and wait until they are gone."""
    family = [parent, *parent.children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family)


class LocalServer:
    """One server process. It stops when the process that started it ends, even by SIGKILL; its words go to `log`."""

    def __init__(self, name: str, log: Path) -> None:
        self.name, self.log = name, log
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(
        self,
        command: Sequence[str],
        ready: Callable[[], bool],
        patience: float = 60.0,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Start it and wait until it is ready. Raises CaptureError when it ends before that, or is never ready."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))  # why it ended may be of interest
        with self.log.open("wb") as words:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard = Guard(["kill", str(self._process.pid)])
        until = time.monotonic() + patience
        while not ready():
            ended = self._process.poll()
            if ended is not None or time.monotonic() > until:
                self.stop()
                raise self._not_started(ended, patience)
            time.sleep(_LOOK)

    def _not_started(self, ended: int | None, patience: float) -> CaptureError:
        if ended is not None:
            return CaptureError(
                f"the local {self.name} does not start: it ended by itself, with status {ended}",
                mend=f"read {self.log}",
            )
        return CaptureError(
            f"the local {self.name} does not start: it did not answer within {patience:.0f} s",
            mend=f"start again, for the machine may have been busy; if it stays so, read {self.log}",
        )

    def stop(self, patience: float = 20.0) -> None:
        """Let it end in order; kill it when that takes too long. Without a running server, nothing happens."""
        if self.pid is not None and self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        self.kill()

    def kill(self) -> None:
        """Kill it at once, as a crash would, with all its children."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.dismiss()
        if self._process is None:
            return
        with suppress(psutil.NoSuchProcess):
            kill_family(psutil.Process(self._process.pid))
        self._process.wait()
        self._process = None


class LocalService(Started):
    """What is one server process while it runs: `_server`."""

    _server: LocalServer

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._server.pid

    def stop(self) -> None:
        """Stop it and wait for it."""
        self._server.stop()

    def kill(self) -> None:
        """Kill it at once, as a crash would."""
        self._server.kill()
