"""What `ringup connectors` says and does where some connectors are there and some are not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from connectors.connect import ConnectorState, NotThere, TaskState
from ringup.cli import app


@dataclass
class FakeConnect:
    """Kafka Connect with these connectors, and what it was asked to do."""

    states: dict[str, str]
    asked: list[str] = field(default_factory=list)

    def state(self, name: str) -> ConnectorState:
        """Its one task is as the connector is."""
        if name not in self.states:
            raise NotThere("No status found", mend="create it")
        return ConnectorState(name, "RUNNING", None, (TaskState(0, self.states[name], "worker", None),))

    def pause(self, name: str) -> None:
        """Note it."""
        self._do("pause", name)

    def delete(self, name: str) -> None:
        """Note it."""
        self._do("delete", name)

    def restart(self, name: str, *, only_failed: bool) -> None:
        """Note it."""
        self._do("restart", name)

    def _do(self, what: str, name: str) -> None:
        if name not in self.states:
            raise NotThere("Connector not found", mend="create it")
        self.asked.append(f"{what} {name}")


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeConnect:
    """A project with three sources; two of them are connectors."""
    (tmp_path / "ringup.yml").write_text("project: shop\nkafka: {bootstrap: 'x:1', connect: 'http://x:2'}\n")
    sources = tmp_path / "connectors" / "sources"
    sources.mkdir(parents=True)
    for name in ("crm", "pos", "west"):
        login = {f"database.{key}": "x" for key in ("hostname", "user", "password", "dbname")}
        kind = "io.debezium.connector.postgresql.PostgresConnector"
        config = {"connector.class": kind, "topic.prefix": name, **login}
        (sources / f"{name}.json").write_text(json.dumps({"name": name, "config": config}))
    fake = FakeConnect({"crm": "RUNNING", "west": "FAILED"})
    monkeypatch.setattr("ringup.connecting.Connect", lambda url: fake)
    monkeypatch.chdir(tmp_path)
    return fake


def ringup(*words: str) -> Result:
    """A command of `ringup connectors`."""
    return CliRunner().invoke(app, ["connectors", *words])


def test_one_that_is_missing_does_not_keep_the_others(connect: FakeConnect) -> None:
    """All that are there are paused; then the missing one is an error with what creates it."""
    done = ringup("pause")
    assert done.stdout == "crm: paused\nwest: paused\n"
    assert isinstance(done.exception, NotThere)
    assert (done.exception.message, connect.asked) == (
        "Kafka Connect has no connector pos",
        ["pause crm", "pause west"],
    )
    assert done.exception.mend == "Create what is missing: ringup connectors apply"


def test_what_is_not_there_need_not_be_created_to_be_deleted(connect: FakeConnect) -> None:
    """The mend says so."""
    done = ringup("delete", "pos", "crm")
    assert done.stdout == "crm: deleted\n"
    assert isinstance(done.exception, NotThere)
    assert "nothing to delete" in done.exception.mend


def test_only_what_failed_is_started_again(connect: FakeConnect) -> None:
    """The other one is left alone, and the answer says why."""
    assert ringup("restart", "--only-failed", "crm", "west").stdout == "crm: nothing had failed\nwest: restarted\n"
    assert connect.asked == ["restart west"]
    assert ringup("restart", "crm").stdout == "crm: restarted\n"


@pytest.mark.usefixtures("connect")
def test_a_task_is_shown_by_its_number() -> None:
    """`0 RUNNING` would read as none that runs."""
    assert "task 0 FAILED" in ringup("status", "west").stdout
