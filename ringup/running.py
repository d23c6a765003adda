"""`ringup run`: the pipeline in this process, from ownership to the last line."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType

import duckdb

from ringup.api import serve
from ringup.config import Config
from ringup.errors import RingupError, WarehouseError
from ringup.pipeline import Pipeline
from ringup.progress import Progress, ProgressHandler
from ringup.service import Ownership

log = logging.getLogger(__name__)

_REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EMFILE})
_NO_FOLDER = frozenset({errno.EEXIST, errno.ENOTDIR, errno.ENOENT})
_LOG_BYTES, _LOG_FILES = 10_000_000, 5


class _LogFile(RotatingFileHandler):
    """A log file that is no trouble: where the disk is full, what matters fails by itself, and says so."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Go on without the line."""


def run_project(config: Config, environ: Mapping[str, str], *, as_json: bool, until_input_ends: bool) -> None:
    """Run the project until SIGINT, SIGTERM or the end of the input, and say what it does.

    Raises RingupError when it cannot start or go on; OwnedError when another process has the project.
    """
    stop, state = threading.Event(), config.state_folder
    with Progress(config.project, as_json=as_json) as progress, _explained(state), Ownership(state):
        with _logged(state / "logs", progress), _stopped_by_signals(stop, progress):
            progress.say("starting")
            if until_input_ends:
                threading.Thread(target=_wait_for_the_end, args=(stop,), name="input", daemon=True).start()
            try:
                _run(Pipeline(config, environ), state, stop, progress)
            except RingupError:
                # Ctrl-C reaches a child such as dbt at the same moment; its end is no error then.
                if not stop.is_set():
                    raise
        progress.say("stopped")


def _run(pipeline: Pipeline, state: Path, stop: threading.Event, progress: Progress) -> None:
    api, begun = serve(pipeline, state), False

    def on_change(now: str) -> None:
        nonlocal begun
        if begun or now != "stopping":  # what is refused never ran
            progress.say(now)
        begun = True
        if now == "stopping":
            api.stop()

    progress.follow(lambda: {"state": pipeline.state, "lag": pipeline.lag(), **pipeline.metrics.snapshot()})
    try:
        pipeline.run(stop, on_change)
    finally:
        api.stop()


@contextmanager
def _explained(state: Path) -> Iterator[None]:
    """What a person can mend as an error that says how; the log has all of it."""
    try:
        yield
    except RingupError:
        raise
    except Exception as error:
        log.info("the run cannot go on", exc_info=True)
        if (known := _mendable(error, state)) is None:
            raise
        raise known from error


def _mendable(error: Exception, state: Path) -> RingupError | None:
    match error:
        case duckdb.OperationalError() | duckdb.FatalException() | sqlite3.OperationalError():
            pass
        case OSError() if error.errno in _REFUSED:
            pass
        case OSError() if error.errno in _NO_FOLDER:
            return WarehouseError(
                f"the state folder cannot be made: {error}",
                where=f"ringup.yml: state ({state})",
                mend="Name a folder that can be written, or move away the file that stands in its place.",
            )
        case _:
            return None
    return WarehouseError(
        f"the run cannot go on: {error}",
        where=str(state),
        mend="See that the disk has space, the files can be written, and pipeline.memory_limit is enough. Then start "
        "again: it goes on after the last committed batch, and nothing is lost. Restore a file that is damaged.",
    )


@contextmanager
def _stopped_by_signals(stop: threading.Event, progress: Progress) -> Iterator[None]:
    def on_signal(number: int, frame: FrameType | None) -> None:
        again = stop.is_set()
        stop.set()
        progress.say("still stopping: what is in flight is being finished" if again else "stop asked for")

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_the_end(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stop.set()


@contextmanager
def _logged(folder: Path, progress: Progress) -> Iterator[None]:
    """Everything from INFO on goes to `ringup.log` in the folder, warnings are said too."""
    folder.mkdir(parents=True, exist_ok=True)
    to_file = _LogFile(folder / "ringup.log", maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    handlers: list[logging.Handler] = [to_file, ProgressHandler(progress)]
    level = root.level
    root.setLevel(logging.INFO)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
