"""`ringup kafka` as a developer runs it: every part is there, and goes again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pymysql
import pytest
import requests
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.fetched import fetch
from tests.kafka_broker import done
from tests.waiting import wait_for

WAIT = 180.0
MODULES = ("broker", "connect", "debezium-postgres", "debezium-mariadb", "mariadb", "avro-converter", "registry")
CONNECTORS = {
    "io.debezium.connector.postgresql.PostgresConnector",
    "io.debezium.connector.mariadb.MariaDbConnector",
}


class Hosting:
    """The command in a folder of its own, each time it is started; none is left at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._started = folder, list[subprocess.Popen[str]]()

    def begin(self, **environ: str) -> subprocess.Popen[str]:
        """The command, in a group of its own as a shell has it."""
        command = [sys.executable, "-m", "ringup", "kafka", "--folder", str(self.folder), "--postgres", "pos", "--json"]
        command += ["--topic", "shop.messages", "--topic", "other"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **environ}, start_new_session=True
        )
        self._started.append(process)
        return process

    def start(self) -> tuple[subprocess.Popen[str], Any]:
        """The command once all is there, and what it says of it."""
        process = self.begin()
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, process.communicate(timeout=WAIT)
        return process, json.loads(said)

    def parts(self) -> list[psutil.Process]:
        """What runs on the folder, but for the command itself."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(f"{self.folder}{os.sep}" in word for word in process.info["cmdline"] or ())
        ]

    def end(self) -> None:
        """Kill what a test left."""
        for process in self._started:
            process.kill()
            process.communicate()
        wait_for(lambda: not self.parts())


@pytest.fixture
def hosting(tmp_path: Path) -> Iterator[Hosting]:
    found = Hosting(tmp_path / "kafka")
    yield found
    found.end()


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended; one that nobody asked for its status yet has."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def topics(said: Any) -> set[str]:
    """The topics of the broker."""
    admin = AdminClient({"bootstrap.servers": said["kafka"]["bootstrap"]})
    return set(admin.list_topics(timeout=10).topics)


def test_every_part_is_there_until_ctrl_c(hosting: Hosting) -> None:
    """Each at the address that was said; a second one is refused meanwhile; nothing is left behind."""
    fetch(*MODULES)
    process, said = hosting.start()
    assert said.keys() == {"kafka", "converter", "postgres", "mariadb", "environ", "folder"}
    assert topics(said) >= {"connect.configs", "shop.messages", "other"}
    plugins = requests.get(f"{said['kafka']['connect']}/connector-plugins", timeout=10).json()
    assert {plugin["class"] for plugin in plugins} >= CONNECTORS
    assert requests.get(f"{said['kafka']['registry']['url']}/subjects", timeout=10).json() == []
    assert requests.get(f"{said['converter']}/system/info", timeout=10).ok
    login = said["environ"]
    place = f"{login['POS_HOST']}:{login['POS_PORT']}"
    dsn = f"postgresql://{login['POS_USER']}:{login['POS_PASSWORD']}@{place}/{login['POS_DATABASE']}"
    with psycopg.connect(dsn) as con:
        assert con.execute("show wal_level").fetchone() == ("logical",)
    host, port, user, password = (login[f"TILLS_{name}"] for name in ("HOST", "PORT", "USER", "PASSWORD"))
    with pymysql.connect(host=host, port=int(port), user=user, password=password, database="tills") as tills:
        assert tills.server_version.endswith("MariaDB-log")
    assert (said["postgres"], said["mariadb"]) == (place, f"{host}:{port}")
    worker = psutil.Process(process.pid).children()
    assert any(child.environ().get("TILLS_PASSWORD") == password for child in worker), "connectors refer to it"
    second, _ = (refused := hosting.begin()).communicate(timeout=WAIT)
    assert (refused.returncode, json.loads(second)["error"]) == (3, "OwnedError")
    assert json.loads(second)["message"] == f"process {process.pid} has the parts in this folder already"
    family = [*psutil.Process(process.pid).children(recursive=True), *hosting.parts()]
    assert len(family) > 5
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0, err
    assert hosting.parts() == [each for each in family if runs(each)] == []


@pytest.mark.slow
def test_what_it_holds_is_kept_and_a_part_that_ends_is_told(hosting: Hosting) -> None:
    """After kill -9 the next start waits for what is left, and has the same addresses, topics and rows."""
    fetch(*MODULES)
    process, said = hosting.start()
    admin = AdminClient({"bootstrap.servers": said["kafka"]["bootstrap"]})
    done(admin.create_topics([NewTopic("kept", 1, 1)], operation_timeout=10))
    process.kill()
    process, again = hosting.start()
    assert again == said
    assert "kept" in topics(again)
    (registry,) = [part for part in hosting.parts() if "-jar" in part.info["cmdline"]]
    registry.kill()
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 3
    assert json.loads(out)["message"] == "the schema registry ended by itself", err
    assert hosting.parts() == []


def test_without_maven_nothing_is_started(hosting: Hosting, tmp_path: Path) -> None:
    """It says what to install, with status 3."""
    out, err = (process := hosting.begin(PATH="", XDG_CACHE_HOME=str(tmp_path))).communicate(timeout=WAIT)
    assert process.returncode == 3, err
    assert "Maven, which fetches them, is not on the PATH" in json.loads(out)["message"]
    assert "Fetching mariadb with Maven" in err
    assert hosting.parts() == []


def test_a_fetching_that_is_stopped_leaves_nothing(hosting: Hosting, tmp_path: Path) -> None:
    """Maven ends with it, and what it had fetched by then goes."""
    maven, cache = tmp_path / "bin" / "mvn", tmp_path / "cache"
    maven.parent.mkdir()
    maven.write_text('#!/bin/sh\necho $$ > "$XDG_CACHE_HOME/pid"\nexec sleep 600\n')
    maven.chmod(0o755)
    cache.mkdir()
    process = hosting.begin(PATH=f"{maven.parent}:{os.environ['PATH']}", XDG_CACHE_HOME=str(cache))
    pid = int(wait_for(lambda: (cache / "pid").exists() and (cache / "pid").read_text()))
    process.terminate()
    process.communicate(timeout=WAIT)
    assert process.returncode == 130
    wait_for(lambda: not psutil.pid_exists(pid))  # whoever has inherited it takes note a moment later
    assert [path.name for path in (cache / "ringup").iterdir()] == ["fetching"]
