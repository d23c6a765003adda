"""The capture process: runs the engines of all sources and appends what they say to the embedded log.

It is started by `connectors.capture.Capture`, which writes one line of JSON to its standard input (an Order) and keeps
the other end open: when that closes, because the parent stops or dies, the process ends in order.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from connectors.board import FAILED, Board, Order
from connectors.databases import database_of
from connectors.debezium import Engine, start_jvm
from connectors.embedded_writer import EmbeddedLogWriter
from connectors.intake import Intake
from connectors.lacking import SourceUnreachable
from connectors.signals import by_file
from ringup.errors import RingupError, SourceError

_FAILURES = 5
_LOOK_AGAIN = 0.5
_LONGEST_PAUSE = 10.0
_STOP_PATIENCE = 8.0

log = logging.getLogger("ringup.capture")


class Runner(threading.Thread):
    """Keeps one source streaming: waits for its database, starts its engine, starts a new one when that fails."""

    def __init__(
        self,
        name: str,
        config: Mapping[str, str],
        state: Path,
        writer: EmbeddedLogWriter,
        writing: threading.Lock,
        board: Board,
        stop: threading.Event,
    ) -> None:
        super().__init__(name=f"source {name}", daemon=True)
        self.source = name
        self.failed = False
        self._config = {**config, **by_file(state, name)}
        self._offsets = state / "offsets" / f"{name}.dat"
        self._writer = writer
        self._writing = writing
        self._board = board
        self._stop_all = stop
        self._engine: Engine | None = None

    def run(self) -> None:
        """Until everything stops."""
        try:
            self._keep_streaming()
        except RingupError as error:
            self._fail(str(error), error.mend)
        except Exception as error:
            log.exception("%s", self.source)
            self._fail(f"{type(error).__name__}: {error}", "see the log of the capture process")

    def close(self) -> None:
        """Let the engine end; may be repeated while it is still starting."""
        if self._engine is not None:
            self._engine.close()

    def _keep_streaming(self) -> None:
        failures = 0
        while not self._stop_all.is_set():
            try:
                for done in database_of(self._config).prepare(self._config):
                    log.info("%s: %s", self.source, done)
            except SourceUnreachable as error:
                self._board.put(self.source, "waiting", str(error), error.mend)
                self._stop_all.wait(_LOOK_AGAIN)
                continue
            words, progressed = self._stream()
            if words is None:
                continue
            failures = 1 if progressed else failures + 1
            if failures > _FAILURES:
                raise SourceError(words, mend=f"see the log of the capture process; the source {self.source} is stuck")
            self._board.put(self.source, "restarting", words)
            self._stop_all.wait(min(0.2 * 2**failures, _LONGEST_PAUSE))

    def _stream(self) -> tuple[str | None, bool]:
        """Run one engine to its end: its words if it failed, and whether it took in anything."""
        self._board.put(self.source, "starting")
        gc.collect()
        intake = Intake(self.source, self._config["topic.prefix"], self._writer, self._writing, self._board)
        with self._writing:
            resume = self._writer.progress(self.source)
        self._engine = Engine(self.source, self._config, self._offsets, resume, intake)
        words = None if self._stop_all.is_set() else self._engine.run()
        if intake.failure is not None:
            raise intake.failure
        return words, intake.taken > 0

    def _fail(self, cause: str, mend: str) -> None:
        log.error("%s: %s", self.source, cause)
        self._board.put(self.source, "failed", cause, mend)
        self.failed = True
        self._stop_all.set()


def main() -> int:
    """Capture until standard input closes or SIGTERM comes; 0, or FAILED."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s - %(message)s")
    order = Order.read(sys.stdin.readline())
    state = Path(order.state)
    stop = threading.Event()
    _stop_by_signal_or_parent(stop)
    board = Board(state / "capture.json")
    try:
        with EmbeddedLogWriter(state / "log.db") as writer:
            gc.disable()  # each of Python's collections makes JPype ask Java for a full one
            start_jvm()
            writing = threading.Lock()
            runners = [
                Runner(name, config, state, writer, writing, board, stop) for name, config in order.sources.items()
            ]
            for runner in runners:
                runner.start()
            stop.wait()
            _finish(runners)
            failed = any(runner.failed for runner in runners)
    except RingupError as error:
        log.error("%s", error)
        for name in order.sources:
            board.put(name, "failed", str(error), error.mend)
        return FAILED
    return FAILED if failed else 0


def _stop_by_signal_or_parent(stop: threading.Event) -> None:
    def by_signal(_: int, __: FrameType | None) -> None:
        stop.set()

    def by_parent() -> None:
        sys.stdin.read()
        stop.set()

    signal.signal(signal.SIGTERM, by_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=by_parent, daemon=True).start()


def _finish(runners: list[Runner]) -> None:
    """End the engines. What was read is safe in the log already, so a slow one is not waited for very long."""
    until = time.monotonic() + _STOP_PATIENCE
    while any(runner.is_alive() for runner in runners) and time.monotonic() < until:
        for runner in runners:
            runner.close()
        for runner in runners:
            runner.join(0.2)


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    os._exit(status)  # the Java machine's own way out waits for threads that have nothing left to do
