"""Connectors that fail are started again, by a Connect cluster that only pretends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from connectors.connect import Connect
from connectors.connect_capture import ConnectCapture, Restarts
from connectors.kafka_signals import KafkaSignals
from connectors.sources import Source
from ringup.connecting import Connecting
from ringup.errors import CaptureError
from ringup.init import start_project
from tests.waiting import wait_for


class Pretended(ThreadingHTTPServer):
    """A cluster with the one connector `pos`, whose task fails until it was started again often enough."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.state, self.needed, self.restarts = "RUNNING", 1, 0
        self.absent: str | None = None
        self.conflicts: list[int] = []
        self.odd: bytes | None = None
        self.hangs = threading.Event()
        self.offset: dict[str, object] = {"lsn": 1}

    @property
    def task(self) -> str:
        return "RUNNING" if self.restarts >= self.needed else "FAILED"


class _Answers(BaseHTTPRequestHandler):
    server: Pretended

    def do_GET(self) -> None:
        """The status, or the offsets."""
        while self.server.hangs.is_set():
            time.sleep(0.05)
        if self.server.odd is not None:
            self._say(self.server.odd, 200, "text/html")
            return
        if self.server.conflicts:
            said = {"message": "Request cannot be completed because a rebalance is expected"}
            self._say(said, self.server.conflicts.pop())
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
        self._say({}, 202)

    def do_PUT(self) -> None:
        """Whatever it is asked to do, it is no Connect that answers so."""
        self._say(self.server.odd or b"", 200, "text/html")

    def do_DELETE(self) -> None:
        """As little."""
        self.do_PUT()

    def log_message(self, *words: object) -> None:
        """Nothing."""

    def _say(self, words: object, code: int = 200, kind: str = "application/json") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(words if isinstance(words, bytes) else json.dumps(words).encode())


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretended]:
    monkeypatch.setattr("connectors.connect_capture._LOOK", 0.02)
    with Pretended() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.hangs.clear()
        server.shutdown()
        thread.join()


def capture_of(server: Pretended, *names: str) -> ConnectCapture:
    connect = Connect(f"http://127.0.0.1:{server.server_port}")
    signals = KafkaSignals({"bootstrap.servers": "127.0.0.1:1"}, connect)
    sources = [Source(name, {"topic.prefix": name}, f"{name}.json") for name in names or ("pos",)]
    return ConnectCapture(sources, connect, signals, {})


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
    """Just after a change they answer with a conflict, or with an error, by what they were asked."""
    connect.conflicts, connect.needed = [409, 500], 0
    assert Connect(f"http://127.0.0.1:{connect.server_port}").state("pos").running


ODD = [
    b"<html>maintenance</html>",
    b"{}",
    b"[]",
    b"null",
    b"",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"connector": "x", "tasks": 7}',
    b'{"connector": {"state": null}, "tasks": []}',
]


@pytest.mark.parametrize("odd", ODD)
def test_what_answers_otherwise_than_connect_is_told_and_looked_at_again(connect: Pretended, odd: bytes) -> None:
    """A page for maintenance, say, with the status 200; once it is gone, what failed is started again as before."""
    connect.odd = odd
    capture = capture_of(connect)
    capture.start()
    wait_for(lambda: capture.states()["pos"].state == "unknown", 10.0)
    said, address = capture.states()["pos"], f"http://127.0.0.1:{connect.server_port}"
    assert f"ringup.yml: kafka.connect ({address}): this is no Kafka Connect" in (said.cause or "")
    assert said.mend == "correct `kafka.connect`: the address of a worker of Kafka Connect"
    connect.odd = None
    wait_for(lambda: capture.states()["pos"].state == "streaming", 10.0)
    capture.stop()
    assert connect.restarts == 1


def test_a_fault_of_the_look_itself_ends_nothing(connect: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else looks, so the thread goes on whatever happens."""
    connect.needed = 0
    capture = capture_of(connect)
    with monkeypatch.context() as patched:
        patched.setattr("connectors.connect_capture.state_of", lambda connector: {}[connector])
        capture.start()
        wait_for(lambda: "KeyError" in (capture.states()["pos"].cause or ""), 10.0)
    wait_for(lambda: capture.states()["pos"].state == "streaming", 10.0)
    capture.stop()


@pytest.mark.parametrize("odd", ODD)
def test_whatever_connect_is_asked_an_odd_answer_is_an_error_that_says_how_it_begins(
    connect: Pretended, odd: bytes
) -> None:
    """No question takes it for an answer, and no order takes it for done."""
    connect.odd = odd
    asked = Connect(f"http://user:secret@127.0.0.1:{connect.server_port}")
    config = {"connector.class": "org.Some"}
    questions: list[Callable[[], object]] = [
        lambda: asked.config("pos"),
        lambda: asked.state("pos"),
        lambda: asked.placed("pos"),
        lambda: asked.put("pos", config),
        lambda: asked.mistakes("pos", config),
        lambda: asked.pause("pos"),
        lambda: asked.resume("pos"),
        lambda: asked.delete("pos"),
    ]
    if odd != b"[]":  # a Connect without connectors
        questions.append(asked.names)
    for question in questions:
        with pytest.raises(CaptureError, match="this is no Kafka Connect") as caught:
            question()
        assert "secret" not in str(caught.value)
        assert len(caught.value.message) < 160
    if odd.startswith(b"<html>"):
        assert caught.value.message.endswith("HTTP 200, and it says <html>maintenance</html>")


def test_the_commands_say_so_too(connect: Pretended, tmp_path: Path) -> None:
    """With the place in ringup.yml that names the address."""
    connect.odd = b"<html>log in</html>"
    start_project(tmp_path / "shop")
    with (tmp_path / "shop" / "ringup.yml").open("a") as file:
        file.write(f"kafka: {{bootstrap: 'broker:9092', connect: 'http://127.0.0.1:{connect.server_port}'}}\n")
    connecting = Connecting(tmp_path / "shop")
    for command in (connecting.plan, connecting.apply, connecting.states):
        with pytest.raises(CaptureError, match="no Kafka Connect: HTTP 200, and it says <html>log in") as caught:
            command()
        assert (caught.value.where or "").startswith("ringup.yml: kafka.connect (http://127.0.0.1:")


def test_the_end_does_not_wait_for_a_connect_that_hangs(connect: Pretended) -> None:
    """Not for the answer that is under way, and the other sources are not looked at any more."""
    connect.hangs.set()
    capture = capture_of(connect, "pos", "west", "crm")
    capture.start()
    time.sleep(0.2)
    before = time.monotonic()
    capture.stop()
    assert time.monotonic() - before < 3
    connect.hangs.clear()
    time.sleep(0.3)
    assert capture.states()["west"].state == "starting"


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
