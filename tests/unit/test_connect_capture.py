"""Connectors that fail are started again, by a Connect cluster that only pretends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from connectors.connect import Connect
from connectors.connect_capture import ConnectCapture, Restarts
from connectors.kafka_signals import KafkaSignals
from connectors.sources import Source
from tests.waiting import wait_for


class Pretended(ThreadingHTTPServer):
    """A cluster with the one connector `pos`, whose task fails until it was started again often enough."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.state, self.needed, self.restarts = "RUNNING", 1, 0
        self.absent: str | None = None
        self.conflicts = 0
        self.offset: dict[str, object] = {"lsn": 1}

    @property
    def task(self) -> str:
        return "RUNNING" if self.restarts >= self.needed else "FAILED"


class _Answers(BaseHTTPRequestHandler):
    server: Pretended

    def do_GET(self) -> None:
        """The status, or the offsets."""
        if self.server.conflicts:
            self.server.conflicts -= 1
            self._say({"message": "a rebalance is expected"}, 409)
            return
        if self.server.absent is not None:
            self._say({"message": "No status found for connector pos"}, 404, self.server.absent)
            return
        if self.path.endswith("/offsets"):
            self._say({"offsets": [{"partition": {"server": "pos"}, "offset": self.server.offset}]})
            return
        trace = "org.Error: no connection\n\tat org.Somewhere"
        task = {"id": 0, "state": self.server.task, "worker_id": "w", "trace": trace}
        self._say({"connector": {"state": self.server.state, "worker_id": "w"}, "tasks": [task]})

    def do_POST(self) -> None:
        """A restart."""
        assert self.path == "/connectors/pos/restart?includeTasks=true&onlyFailed=true"
        self.server.restarts += 1
        self._say({})

    def log_message(self, *words: object) -> None:
        """Nothing."""

    def _say(self, words: object, code: int = 200, kind: str = "application/json") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(json.dumps(words).encode())


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretended]:
    monkeypatch.setattr("connectors.connect_capture._LOOK", 0.02)
    with Pretended() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def capture_of(server: Pretended) -> ConnectCapture:
    connect = Connect(f"http://127.0.0.1:{server.server_port}")
    signals = KafkaSignals({"bootstrap.servers": "127.0.0.1:1"}, connect)
    return ConnectCapture([Source("pos", {"topic.prefix": "pos"}, "pos.json")], connect, signals, {})


def test_a_task_that_failed_is_started_again(connect: Pretended) -> None:
    """Kafka Connect itself leaves it as it is, for good."""
    capture = capture_of(connect)
    capture.start()
    wait_for(lambda: capture.states()["pos"].state == "streaming", 10.0)
    capture.stop()
    assert (capture.states()["pos"].state, connect.restarts) == ("streaming", 1)


def test_what_somebody_paused_is_left_alone(connect: Pretended) -> None:
    """Its task may have failed before; it is not for ringup to start it."""
    connect.state = "PAUSED"
    capture = capture_of(connect)
    capture.start()
    time.sleep(0.3)
    capture.stop()
    assert connect.restarts == 0
    assert "no connection" in (capture.states()["pos"].cause or "")


@pytest.mark.parametrize(
    "offset",
    [
        {},
        {"lsn": 1, "snapshot": "INITIAL", "snapshot_completed": False},
        {"file": "binlog.000001", "pos": 4, "gtids": "0-1-3", "snapshot": "INITIAL"},  # MariaDB's
    ],
)
def test_a_connector_that_has_noted_no_place_behind_its_snapshot_is_not_followed_yet(
    connect: Pretended, offset: dict[str, object]
) -> None:
    """Were its worker to die, all tables would be read anew, and nothing fires from a snapshot."""
    connect.needed, connect.offset = 0, offset
    capture = capture_of(connect)
    capture.start()
    wait_for(lambda: capture.states()["pos"].state == "snapshot", 10.0)
    connect.offset = {"lsn": 1}
    wait_for(lambda: capture.states()["pos"].state == "streaming", 10.0)
    connect.offset = offset  # a later snapshot, asked for by a signal
    time.sleep(0.2)
    capture.stop()
    assert capture.states()["pos"].state == "streaming"


@pytest.mark.parametrize(("kind", "state"), [("application/json", "missing"), ("text/html", "unknown")])
def test_a_worker_that_is_starting_is_not_taken_for_one_without_the_connector(
    connect: Pretended, kind: str, state: str
) -> None:
    """It answers 404 to everything, but in HTML."""
    connect.absent = kind
    capture = capture_of(connect)
    capture.start()
    time.sleep(0.2)
    capture.stop()
    assert capture.states()["pos"].state == state


def test_workers_that_have_not_agreed_yet_are_asked_again(connect: Pretended) -> None:
    """Just after a change they answer with a conflict."""
    connect.conflicts, connect.needed = 2, 0
    assert Connect(f"http://127.0.0.1:{connect.server_port}").state("pos").running


def test_the_pauses_grow_while_it_keeps_failing_and_start_anew_when_it_was_well() -> None:
    """At once, after 1 s, 2 s, 4 s and so on up to a minute; and at once again after it has run for a while."""
    restarts = Restarts()
    times = [now / 2 for now in range(600) if restarts.due(now / 2)]
    assert times[:6] == [0, 1, 3, 7, 15, 31]
    assert times[-1] - times[-2] == 60
    later = times[-1] + 200
    assert restarts.due(later)
    assert not restarts.due(later + 0.5)
    assert restarts.due(later + 1)
