"""Ownership of a state folder, and questions over its socket. Only the pipeline behind the API is small."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ringup.api import Api, serve
from ringup.config import Config, load_config
from ringup.errors import LogError, OwnedError, WarehouseError
from ringup.service import NotRunning, Ownership, answer, ask
from transforms.prove import ModelProof, ProofReport

HOLDER = """
import sys
from pathlib import Path
from ringup.service import Ownership
with Ownership(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


class Answering:
    """Answers as a pipeline does; `prove` waits until it may."""

    def __init__(self) -> None:
        self.may_prove = threading.Event()
        self.proving = threading.Event()

    def status(self) -> dict[str, Any]:
        return {"state": "live", "since": datetime(2026, 3, 1, 12, tzinfo=UTC), "rows": {"marts": 2}}

    def copy(self, path: str) -> dict[str, Any]:
        return {"batch": 7, "path": path}

    def profile(self, profile_id: int) -> dict[str, Any] | None:
        if profile_id == 13:
            raise LogError("the log is gone", mend="Restore it.", where="log.db")
        if profile_id == 14:
            raise RuntimeError("unlucky")
        return {"profile_id": profile_id, "spend": Decimal("12.50")} if profile_id == 1 else None

    def prove(self) -> ProofReport:
        self.proving.set()
        assert self.may_prove.wait(30)
        return ProofReport(7, (ModelProof("customers", 10, 2, ({"side": "kept", "spend": Decimal("1.10")},)),))


@pytest.fixture(params=["near", "a path that is far too long for a socket " * 3])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A state folder, with a short and with a very long path."""
    folder = tmp_path / str(request.param)
    folder.mkdir()
    return folder


@pytest.fixture
def answering() -> Answering:
    """What stands behind the API."""
    return Answering()


@pytest.fixture
def api(state: Path, answering: Answering) -> Iterator[Api]:
    """The API of a running project."""
    running = serve(answering, state)
    yield running
    answering.may_prove.set()
    running.stop()


@pytest.mark.usefixtures("api")
def test_an_answer_is_exact(state: Path) -> None:
    """Decimals keep their digits, times their zone; an unknown profile is None."""
    assert ask(state, "status")["since"] == "2026-03-01T12:00:00.000000+00:00"
    assert ask(state, "profile", profile_id=1) == {"profile_id": 1, "spend": "12.50"}
    assert ask(state, "profile", profile_id=2) is None


@pytest.mark.usefixtures("api")
def test_a_long_question_holds_up_no_short_one(state: Path, answering: Answering) -> None:
    """While a proof is computed, the status is answered."""
    with ThreadPoolExecutor(1) as asking:
        proof = asking.submit(ask, state, "prove")
        assert answering.proving.wait(30)
        assert ask(state, "status")["state"] == "live"
        answering.may_prove.set()
        assert proof.result() == {
            "batch": 7,
            "differ": 2,
            "models": [
                {"model": "customers", "rows": 10, "differ": 2, "examples": [{"side": "kept", "spend": "1.10"}]}
            ],
        }


@pytest.mark.usefixtures("api")
def test_an_error_arrives_as_it_was_raised(state: Path) -> None:
    """The asker gets the same kind of error, with the same words."""
    with pytest.raises(LogError) as caught:
        ask(state, "profile", profile_id=13)
    assert (caught.value.message, caught.value.mend, caught.value.where) == ("the log is gone", "Restore it.", "log.db")


@pytest.mark.usefixtures("api")
def test_a_fault_is_told_too(state: Path) -> None:
    """An unexpected error is no silence: the asker hears of it, and the next question is answered."""
    with pytest.raises(WarehouseError, match="unlucky"):
        ask(state, "profile", profile_id=14)
    assert ask(state, "status")


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("args", [{}, {"profile_id": "x"}])
def test_a_profile_needs_a_number(state: Path, args: dict[str, object]) -> None:
    """A missing id and one that is no number are refused."""
    with pytest.raises(WarehouseError, match="profile_id must be a number"):
        ask(state, "profile", **args)


@pytest.mark.usefixtures("api")
def test_only_the_owner_may_ask(state: Path) -> None:
    """No other user of the machine may connect to the socket."""
    socket = Path((state / "api.address").read_text())
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600


def test_nothing_is_left_when_it_stops(state: Path, api: Api) -> None:
    """After stop, which may come twice, nobody answers and no file is left."""
    socket = Path((state / "api.address").read_text())
    api.stop()
    api.stop()
    with pytest.raises(NotRunning):
        ask(state, "status")
    assert not socket.exists()
    assert not any(state.iterdir())


def test_a_socket_that_a_dead_process_left_is_replaced(state: Path) -> None:
    """Nobody answers at it, and the next process answers at the same place."""
    script = "import os, sys; from pathlib import Path; from ringup.service import listen\n"
    script += "listen(Path(sys.argv[1])); os._exit(9)"
    subprocess.run([sys.executable, "-c", script, str(state)], check=False)
    with pytest.raises(NotRunning):
        ask(state, "status")
    running = serve(Answering(), state)
    try:
        assert ask(state, "status")["state"] == "live"
    finally:
        running.stop()


def test_a_second_owner_learns_of_the_first(tmp_path: Path) -> None:
    """One process owns a folder at a time; the second one is told its id, and may own it once that has died."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        with (
            pytest.raises(OwnedError, match=f"process {holder.pid} has this project already") as caught,
            Ownership(tmp_path),
        ):
            pytest.fail("two owners")
        assert caught.value.mend.endswith(f"kill {holder.pid}")
    finally:
        holder.kill()
        holder.communicate()
    with Ownership(tmp_path):
        assert int((tmp_path / "owner.pid").read_text()) == os.getpid()
    with Ownership(tmp_path):
        pass


def test_a_project_that_never_ran_says_so(tmp_path: Path) -> None:
    """Before the first run there is nothing to answer from, and no folder is made for it."""
    (tmp_path / "ringup.yml").write_text("project: corner-shop")
    with pytest.raises(WarehouseError, match="has not run yet"):
        answer(load_config(tmp_path, {}), "status")
    assert not (tmp_path / ".ringup").exists()


def test_a_question_to_a_folder_without_a_run_leaves_nothing_there(tmp_path: Path) -> None:
    """A state folder that is only a folder is not taken into possession for a question."""
    (tmp_path / "ringup.yml").write_text("project: corner-shop")
    (tmp_path / ".ringup").mkdir()
    with pytest.raises(WarehouseError, match="there is no state yet"):
        answer(load_config(tmp_path, {}), "profile", profile_id=1)
    assert not any((tmp_path / ".ringup").iterdir())


def test_an_owner_that_does_not_answer_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question to a process that is just starting is answered once it answers; patience has an end."""
    (tmp_path / "ringup.yml").write_text("project: corner-shop")
    config = load_config(tmp_path, {})
    with Ownership(config.state_folder):
        with ThreadPoolExecutor(1) as asking:
            status = asking.submit(answer, config, "status")
            running = serve(Answering(), config.state_folder)
            assert status.result(30)["state"] == "live"
            running.stop()
        monkeypatch.setattr("ringup.service.PATIENCE", 0.2)
        with pytest.raises(OwnedError, match=re.escape(str(os.getpid()))):
            answer(config, "status")


@pytest.fixture
def unwritable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A project that ran, whose state folder is on a file system that is read only by now."""
    (tmp_path / "ringup.yml").write_text("project: corner-shop")
    config, opened = load_config(tmp_path, {}), os.open
    with Ownership(config.state_folder):
        pass

    def read_only(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, mode)

    monkeypatch.setattr("ringup.service.os.open", read_only)
    return config


def test_a_state_that_cannot_be_written_answers(unwritable: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question only reads; nobody else may own the folder meanwhile, and nobody may run there."""
    file = unwritable.state_folder / "owner.pid"
    before = file.read_bytes()

    def status(config: Config) -> str:
        with pytest.raises(OwnedError), Ownership(config.state_folder, asks=True):
            pytest.fail("two owners")
        return "stopped"

    monkeypatch.setattr("ringup.offline.status", status)
    assert answer(unwritable, "status") == "stopped"
    assert file.read_bytes() == before
    with pytest.raises(OSError, match="Read-only"), Ownership(unwritable.state_folder):
        pytest.fail("it runs where it cannot write")


def test_what_a_question_would_have_to_write_is_told(unwritable: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The models changed since, say, and dbt has to compile them."""

    def prove(config: Config) -> None:
        os.open(config.state_folder / "fingerprint", os.O_RDWR)

    monkeypatch.setattr("ringup.offline.prove", prove)
    with pytest.raises(WarehouseError, match=r"the state cannot be asked: .*Read-only file system") as caught:
        answer(unwritable, "prove")
    assert caught.value.where == str(unwritable.state_folder)
