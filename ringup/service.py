"""Who owns a project's state folder, and how everybody else asks the owner."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import tempfile
import time
from contextlib import nullcontext
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from ringup import errors
from ringup.config import Config
from ringup.errors import OwnedError, RingupError, WarehouseError

PATIENCE = 60.0
"""Seconds that a question waits for an owner that does not answer yet, as it starts or stops."""

_LONGEST = 100
"""Bytes that the path of a Unix socket may have; Linux allows 107, macOS 103."""


_UNWRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class Ownership:
    """The right to write in a state folder: one process has it at a time, until it gives it back or ends, however.

    with Ownership(config.state_folder):
        ...
    """

    def __init__(
        self,
        state: Path,
        mend: str = "Ask it: ringup status. Or stop it first: kill {pid}",
        what: str = "this project",
        *,
        asks: bool = False,
    ) -> None:
        """With `asks` it is to read only, and a folder in which nothing can be written may be owned, too."""
        self._path, self._mend, self._what, self._asks = state / "owner.pid", mend, what, asks
        self._file = -1

    def __enter__(self) -> Self:
        """Take it. Raises OwnedError naming the process that has it."""
        file, named = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(file, 32).decode().strip()
            os.close(file)
            raise OwnedError(
                f"process {pid} has {self._what} already",
                where=str(self._path.parent),
                mend=self._mend.format(pid=pid),
            ) from None
        if named:  # of one length, and never truncated, so that whoever reads it meanwhile reads a whole number
            os.pwrite(file, f"{os.getpid():<19}\n".encode(), 0)
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        os.close(self._file)

    def _open(self) -> tuple[int, bool]:
        """The file, and whether it can be written."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), True
        except OSError as error:
            if not self._asks or error.errno not in _UNWRITABLE:
                raise
            return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC), False


class NotRunning(ConnectionError):
    """Nobody answers for this state folder."""


def ask(state: Path, question: str, **args: object) -> Any:
    """Ask the process that runs on `state`: `status`, `profile` (with profile_id) or `prove`. Returns parsed JSON.

    Raises NotRunning when nobody answers, and the RingupError that the running process answered with.
    """
    path = f"/v1/{question}?{urlencode(args)}"
    connection = _Connection(_address(state))
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        said = json.loads(response.read())
    except (OSError, HTTPException) as error:
        raise NotRunning(f"nobody answers for {state}: {error}") from None
    finally:
        connection.close()
    if response.status == HTTPStatus.OK:
        return said
    raise _error_of(said)


def answer(config: Config, question: str, **args: object) -> Any:
    """Ask the running process or, when nothing runs, the files themselves; the answer is the same.

    Waits while the owner starts or stops; raises OwnedError when that takes longer than PATIENCE.
    """
    try:
        return _answer(config, question, **args)
    except OSError as error:
        raise WarehouseError(
            f"the state cannot be asked: {error}",
            where=str(config.state_folder),
            mend="Ask as the user that runs it; or let `state` name a copy of the folder, in which you may write.",
        ) from error


def _answer(config: Config, question: str, **args: object) -> Any:
    from ringup import api, offline  # what a question to a running process need not load

    state = config.state_folder
    if not state.is_dir():
        raise WarehouseError("this project has not run yet", where=str(state), mend="Start it: ringup run")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask(state, question, **args)
        except NotRunning:
            pass
        try:
            # Where nobody ever ran there is nothing to own, and a question leaves nothing behind.
            with Ownership(state, asks=True) if (state / "owner.pid").exists() else nullcontext():
                return api.plain(getattr(offline, question)(config, **args))
        except OwnedError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def listen(state: Path) -> socket.socket:
    """A socket that answers for `state`, for its owner only; one that a dead owner left is replaced."""
    path = state / "api.sock"
    if len(os.fsencode(path)) > _LONGEST:
        path = Path(tempfile.mkdtemp(prefix="ringup-")) / "api.sock"
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o600)
    listening.listen()
    (state / "api.address").write_text(str(path), encoding="utf-8")
    return listening


def unlisten(state: Path, listening: socket.socket) -> None:
    """Close the socket and remove what `listen` made."""
    path = _address(state)
    listening.close()
    path.unlink(missing_ok=True)
    (state / "api.address").unlink(missing_ok=True)
    if path.parent != state:
        path.parent.rmdir()


def _address(state: Path) -> Path:
    try:
        return Path((state / "api.address").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotRunning(f"nobody answers for {state}") from None


def _error_of(said: dict[str, str]) -> RingupError:
    kind: type[RingupError] = getattr(errors, said["error"])
    return kind(said["message"], where=said["where"], mend=said["mend"])


class _Connection(HTTPConnection):
    """HTTP over a Unix socket. No time limit: a proof takes long, and a process that dies closes its connections."""

    def __init__(self, path: Path) -> None:
        super().__init__("ringup")
        self._path = str(path)

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)
