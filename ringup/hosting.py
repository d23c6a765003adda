"""`ringup kafka`: all that a project on Kafka needs, on this machine, until Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import psutil
import yaml
from rich.console import Console

from connectors.discovery import check_name
from connectors.topics import NAME
from ringup.errors import CaptureError, ConfigError, RingupError
from ringup.kafka_jars import is_fetched, kafka_jars
from ringup.local_cluster import CONNECTORS, LocalCluster
from ringup.local_mariadb import LocalMariaDB
from ringup.local_postgres import LocalPostgres
from ringup.local_registry import LocalRegistry
from ringup.local_server import HOST, free_port, is_free
from ringup.service import Ownership
from ringup.stopping import interrupted_by_signals, stopped_by_signals

_CONVERTER = "avro-converter"
_MODULES = ("mariadb", "broker", "connect", *CONNECTORS, _CONVERTER, "registry")
_FOLDERS = ("postgres", "mariadb", "kafka", "connect", "registry")
"""Where the parts live; each has its port by the same name in `ports.json`."""

_LOOK = 0.2
_PATIENCE = 30.0

Say = Callable[[str], None]


class Part(Protocol):
    """A server of one's own, in a folder of its own."""

    folder: Path

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""

    def start(self) -> object:
        """Start it, and wait until it answers."""

    def stop(self) -> None:
        """Stop it and wait for it."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """What is there: `kafka` is the block of a ringup.yml, `converter` where Apicurio's converter finds the registry.

    `postgres` and `mariadb` are the addresses of the databases, `environ` has the logins as sources refer to them;
    `folder` holds what all of it keeps.
    """

    kafka: dict[str, Any]
    converter: str
    postgres: str
    mariadb: str
    environ: dict[str, str]
    folder: str


def host(
    folder: Path, postgres: Sequence[str], mariadb: Sequence[str], topics: Sequence[str] = (), *, as_json: bool
) -> None:
    """Start all parts, say where they are, and stop them at Ctrl-C or SIGTERM.

    `postgres` and `mariadb` are names of sources: each has a database there of its name. `topics` are made, too.

    Raises CaptureError when a part cannot be fetched, does not start or ends by itself, OwnedError while another
    process has the folder, and KeyboardInterrupt when it is stopped before all is there.
    """
    _check(postgres, mariadb, topics)
    folder, to = folder.absolute(), Console(stderr=as_json, highlight=False)

    def say(text: str) -> None:
        to.print(text, markup=False, soft_wrap=True)

    with ExitStack() as stack:
        mend = "Use what it started, stop it first (kill {pid}), or name another --folder."
        stack.enter_context(Ownership(folder, mend, "the parts in this folder"))
        with interrupted_by_signals():
            _fetch(say)
            _wait_for_leftovers(folder, say)
        running = _Running(stack, stack.enter_context(stopped_by_signals()), say)
        try:
            hosted = _start(folder, postgres, mariadb, topics, running)
            _show(hosted, postgres, mariadb, say, as_json=as_json)
            watch(running.parts, running.stop)
        finally:
            say("Stopping ...")


class _Running:
    """The parts that run. Each is stopped when the stack is left, the last one first."""

    def __init__(self, stack: ExitStack, stop: threading.Event, say: Say) -> None:
        self.parts, self.stop = dict[str, Part](), stop
        self._stack, self._say = stack, say

    def begin(self, name: str, part: Part, *, at_once: bool = False) -> None:
        """Start a part. Raises KeyboardInterrupt where all is to stop: `at_once`, or when the part was started."""
        self._say(f"Starting {name} ...")
        self._stack.callback(part.stop)
        try:
            with interrupted_by_signals() if at_once else nullcontext():
                part.start()
        except RingupError:
            if not self.stop.is_set():  # Ctrl-C reaches a child at the same moment: its end is no error then
                raise
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.parts[name] = part


def watch(parts: Mapping[str, Part], stop: threading.Event) -> None:
    """Wait until it is to stop. Raises CaptureError when a part ends before that."""
    while not stop.wait(_LOOK):
        for name, part in parts.items():
            if part.pid is None and not stop.is_set():
                raise CaptureError(f"{name} ended by itself", mend=f"read its log in {part.folder}, and start again")


def _check(postgres: Sequence[str], mariadb: Sequence[str], topics: Sequence[str]) -> None:
    for name in (*postgres, *mariadb):
        check_name(name)
    if both := sorted({*postgres} & {*mariadb}):
        raise ConfigError(
            f"the source {both[0]} cannot be in both databases", mend="Give each a name of its own.", where="--mariadb"
        )
    for topic in topics:
        if not re.fullmatch(NAME, topic):
            mend = "Write letters, digits, dots, hyphens and underscores."
            raise ConfigError(f"{topic!r} cannot be a topic's name", mend=mend, where="--topic")


def _fetch(say: Say) -> None:
    for module in _MODULES:
        if not is_fetched(module):
            say(f"Fetching {module} with Maven, once ...")
            kafka_jars(module)


def _wait_for_leftovers(folder: Path, say: Say) -> None:
    """What a killed start left ends by itself within seconds; until then it has its ports and its data."""
    until, said = time.monotonic() + _PATIENCE, False
    while any(map(partial(_is_part_of, folder), psutil.process_iter(["cmdline"]))) and time.monotonic() < until:
        if not said:
            say("Waiting for the parts of a start that was killed to end ...")
        said = True
        time.sleep(_LOOK)


def _is_part_of(folder: Path, process: psutil.Process) -> bool:
    words = process.info["cmdline"] or ()
    return any(f"{folder / part}{os.sep}" in word for part in _FOLDERS for word in words)


def _ports(folder: Path) -> dict[str, int]:
    """The ports of the last start where they are still free, so that what was pasted goes on to hold."""
    file = folder / "ports.json"
    before = json.loads(file.read_text()) if file.exists() else {}
    ports = {name: port if (port := before.get(name)) and is_free(port) else free_port() for name in _FOLDERS}
    file.write_text(json.dumps(ports))
    return ports


def _start(
    folder: Path, of_postgres: Sequence[str], of_mariadb: Sequence[str], topics: Sequence[str], running: _Running
) -> Hosted:
    """All parts, one after the other: Kafka Connect is told the databases' logins."""
    ports, environ = _ports(folder), dict[str, str]()
    running.begin("PostgreSQL", postgres := LocalPostgres(folder / "postgres", ports["postgres"]))
    for source in of_postgres:
        postgres.create_database(source)
        environ |= postgres.environ(source)
    running.begin("MariaDB", mariadb := LocalMariaDB(folder / "mariadb", ports["mariadb"]))
    for source in of_mariadb:
        mariadb.execute(f"create database if not exists `{source}`")
        environ |= mariadb.environ(source)
    cluster = LocalCluster(folder, environ, [_CONVERTER], (ports["kafka"], ports["connect"]))
    running.begin("the Kafka broker", cluster.broker)
    cluster.broker.make_topics(topics)
    running.begin(
        "the schema registry", registry := LocalRegistry(folder / "registry", ports["registry"]), at_once=True
    )
    running.begin("the Kafka Connect worker", cluster.worker, at_once=True)
    kafka = {**cluster.settings, "registry": {"url": registry.url}}
    return Hosted(
        kafka,
        registry.converter_url,
        postgres=f"{HOST}:{postgres.port}",
        mariadb=f"{HOST}:{mariadb.port}",
        environ=environ,
        folder=str(folder),
    )


def _show(hosted: Hosted, of_postgres: Sequence[str], of_mariadb: Sequence[str], say: Say, *, as_json: bool) -> None:
    """Addresses, and what is to be pasted; or one JSON object."""
    if as_json:
        print(json.dumps(asdict(hosted)), flush=True)
        return
    for name, address in (
        ("Kafka broker", hosted.kafka["bootstrap"]),
        ("Kafka Connect", hosted.kafka["connect"]),
        ("Schema registry", hosted.kafka["registry"]["url"]),
        ("  for Apicurio's converter", hosted.converter),
        ("PostgreSQL", _with(hosted.postgres, of_postgres)),
        ("MariaDB", _with(hosted.mariadb, of_mariadb)),
    ):
        say(f"{name:28}{address}")
    say(f"\nFor ringup.yml:\n\n{yaml.safe_dump({'kafka': hosted.kafka}, sort_keys=False)}")
    say("For the shell that ringup runs in:\n")
    say("".join(f"export {name}={shlex.quote(value)}\n" for name, value in hosted.environ.items()))
    say(f"Ctrl-C stops all of it. {hosted.folder} keeps what it holds, for the next start.")


def _with(address: str, databases: Sequence[str]) -> str:
    return f"{address}, with {'the database' if len(databases) == 1 else 'the databases'} {', '.join(databases)}"
