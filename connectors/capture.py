"""Keeps the capture process running."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import connectors
from connectors.board import FAILED, Order, SourceState, read_board, since_now
from connectors.databases import database_of
from connectors.lacking import SourceUnreachable
from connectors.signals import ask_by_file
from connectors.sources import Source, resolve
from ringup.errors import CaptureError, SourceError

_QUICK = 30.0
_DEATHS = 5
_LONGEST_PAUSE = 10.0
_LOG_LIMIT = 16 * 1024 * 1024
_STOP_PATIENCE = 12.0

log = logging.getLogger(__name__)


class Capture:
    """The capture process of a project: captures `sources` into the log of `state_folder`.

    `environ` resolves the references in the sources' configurations; ConfigError when it lacks one.
    """

    def __init__(self, sources: Sequence[Source], state_folder: Path, environ: Mapping[str, str]) -> None:
        self._sources = sources
        self._state = state_folder.absolute()
        self._order = Order(str(self._state), {source.name: resolve(source, environ) for source in sources})
        self._log = self._state / "logs" / "capture.log"
        self._board = self._state / "capture.json"
        self._process: subprocess.Popen[str] | None = None
        self._meanwhile = since_now("starting")
        self._started = 0.0
        self._deaths = 0
        self._due: float | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, declared: Mapping[str, Mapping[str, Sequence[str]]] | None = None) -> None:
        """Prepare the databases and start the process.

        `declared` are, for each source, the columns of its tables (`schema.table`) that the project counts on.

        Raises SourceError at once for what only a person can mend (a wrong password, wal_level). A database that does
        not answer is no error: the process waits for it, and `states` says so.
        """
        for source in self._sources:
            try:
                config = self._order.sources[source.name]
                for done in database_of(config).prepare(config, (declared or {}).get(source.name)):
                    log.info("%s: %s", source.name, done)
            except SourceUnreachable as error:
                log.info("%s: waiting for the database: %s", source.name, error)
            except SourceError as error:
                field = f": {error.where}" if error.where else ""
                raise SourceError(error.message, mend=error.mend, where=f"{source.path}{field}") from error
        self._spawn()

    def check(self) -> None:
        """Look after the process, and start it anew when it died. Cheap: call it from the loop.

        Raises CaptureError, with the engine's own words, when it died several times in quick succession or of what a
        restart cannot mend.
        """
        if self._process is None or (status := self._process.poll()) is None:
            return
        if status == FAILED:
            raise self._failure()
        now = time.monotonic()
        if self._due is None:
            self._deaths = 1 if now - self._started > _QUICK else self._deaths + 1
            if self._deaths > _DEATHS:
                raise CaptureError(
                    f"the capture process ended {self._deaths} times in a row, the last time with {_manner(status)}: "
                    f"{_last_line(self._log)}",
                    mend=f"see {self._log}",
                )
            log.warning("the capture process ended with %s and is started again", _manner(status))
            self._board.unlink(missing_ok=True)
            self._meanwhile = since_now("restarting", f"the capture process ended with {_manner(status)}")
            self._due = now + min(0.5 * (2 ** (self._deaths - 1) - 1), _LONGEST_PAUSE)
        if now >= self._due:
            self._spawn()

    def states(self) -> Mapping[str, SourceState]:
        """What each source is doing, by name; from any thread."""
        said = {} if self._process is None else read_board(self._board)
        return {source.name: said.get(source.name, self._meanwhile) for source in self._sources}

    def read_again(self, source: str, tables: Sequence[str]) -> None:
        """Let these tables (`schema.table`) of a source that streams be read again, as a snapshot."""
        ask_by_file(self._state, source, tables)
        with suppress(SourceError):  # a database that is away now will write something when it is back
            config = self._order.sources[source]
            database_of(config).nudge(config)

    def stop(self) -> None:
        """End the process in order and wait for it."""
        process, self._process = self._process, None
        self._meanwhile = since_now("stopped")
        if process is None:
            return
        _close(process.stdin)
        process.terminate()
        try:
            process.wait(_STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _spawn(self) -> None:
        if self._process is not None:
            _close(self._process.stdin)
        self._board.unlink(missing_ok=True)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT:
            self._log.replace(self._log.with_suffix(".log.1"))
        root = str(Path(connectors.__file__).parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        with self._log.open("a") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "connectors.engine"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
        self._started, self._due, self._meanwhile = time.monotonic(), None, since_now("starting")
        stdin = self._process.stdin
        if stdin is not None:
            try:
                stdin.write(self._order.words() + "\n")
                stdin.flush()
            except BrokenPipeError:  # it died at once; `check` sees that
                log.warning("the capture process did not take its order")

    def _failure(self) -> CaptureError:
        failed = {name: said for name, said in self.states().items() if said.state == "failed"}
        words = "; ".join(f"{name}: {said.cause}" for name, said in failed.items()) or _last_line(self._log)
        mends = [said.mend for said in failed.values() if said.mend]
        return CaptureError(f"the capture stopped: {words}", mend=mends[0] if mends else f"see {self._log}")


def _close(pipe: IO[str] | None) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except BrokenPipeError:
            return


def _manner(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
