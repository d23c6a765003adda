"""Kafka Connect's REST API, as far as ringup needs it.

See https://kafka.apache.org/documentation/#connect_rest.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import requests
from pydantic import BaseModel, TypeAdapter, ValidationError

from connectors.kafka_errors import without_login
from ringup.errors import CaptureError

_PATIENCE = 30.0
_AGREEMENT, _LOOK = 60.0, 0.2
_RUNNING = "RUNNING"
_BEGINNING = 80

Answer = TypeVar("Answer")


class NotThere(CaptureError):
    """Connect has no connector of this name."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """What a task of a connector is doing: RUNNING, FAILED, PAUSED, UNASSIGNED, RESTARTING; and why, when it failed."""

    number: int
    state: str
    worker: str
    cause: str | None


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """What a connector and its tasks are doing."""

    name: str
    state: str
    cause: str | None
    tasks: tuple[TaskState, ...]

    @property
    def failed(self) -> str | None:
        """Why it failed, or one of its tasks did; None when nothing has."""
        states = [(self.state, self.cause), *((task.state, task.cause) for task in self.tasks)]
        return next((cause or "it did not say why" for state, cause in states if state == "FAILED"), None)

    @property
    def running(self) -> bool:
        """Whether it and all its tasks run."""
        return self.state == _RUNNING and bool(self.tasks) and all(task.state == _RUNNING for task in self.tasks)


class _Doing(BaseModel):
    state: str
    worker_id: str = ""
    trace: str | None = None


class _Task(_Doing):
    id: int


class _Status(BaseModel):
    connector: _Doing
    tasks: list[_Task]


class _Value(BaseModel):
    name: str
    errors: list[str]


class _Field(BaseModel):
    value: _Value


class _Checked(BaseModel):
    configs: list[_Field]


class _Place(BaseModel):
    offset: dict[str, Any] | None


class _Offsets(BaseModel):
    offsets: list[_Place]


class _Config(BaseModel, extra="allow"):
    name: str
    __pydantic_extra__: dict[str, str | None]


class _Stored(BaseModel):
    config: _Config


class Connect:
    """A Connect cluster, by the address of one of its workers; a login may stand in the address."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def names(self) -> list[str]:
        """The connectors there are."""
        return sorted(self._ask(list[str], "GET", "/connectors"))

    def config(self, name: str) -> dict[str, str] | None:
        """A connector's configuration as it is stored; None where there is none of this name."""
        try:
            found = self._ask(_Config, "GET", f"/connectors/{quote(name)}/config")
        except NotThere:
            return None
        return {key: value for key, value in found.__pydantic_extra__.items() if value is not None}

    def put(self, name: str, config: Mapping[str, str]) -> None:
        """Create the connector, or change it to this."""
        self._ask(_Stored, "PUT", f"/connectors/{quote(name)}/config", {**config, "name": name})

    def mistakes(self, name: str, config: Mapping[str, str]) -> list[tuple[str, str]]:
        """What Connect and the connector find wrong with a configuration: field and words."""
        kind = config["connector.class"].rpartition(".")[2]
        found = self._ask(_Checked, "PUT", f"/connector-plugins/{kind}/config/validate", {**config, "name": name})
        values = (field.value for field in found.configs)
        return [(value.name, " ".join(value.errors)) for value in values if value.errors]

    def state(self, name: str) -> ConnectorState:
        """What it is doing. Raises NotThere."""
        said = self._ask(_Status, "GET", f"/connectors/{quote(name)}/status")
        tasks = tuple(
            TaskState(task.id, task.state, task.worker_id, _cause(task.trace))
            for task in sorted(said.tasks, key=lambda task: task.id)
        )
        return ConnectorState(name, said.connector.state, _cause(said.connector.trace), tasks)

    def placed(self, name: str) -> bool:
        """Whether it has noted a place behind its snapshot, from which it goes on when its worker dies.

        Each source partition has its offset (KIP-875); a snapshot's own is none to go on from, unless it was completed.
        """
        known = self._ask(_Offsets, "GET", f"/connectors/{quote(name)}/offsets").offsets
        offsets = [place.offset for place in known if place.offset]
        return any("snapshot" not in offset or offset.get("snapshot_completed") for offset in offsets)

    def pause(self, name: str) -> None:
        """Let it rest; it keeps its place."""
        self._order("PUT", f"/connectors/{quote(name)}/pause")

    def resume(self, name: str) -> None:
        """Let it go on."""
        self._order("PUT", f"/connectors/{quote(name)}/resume")

    def restart(self, name: str, *, only_failed: bool) -> None:
        """Start it and its tasks again."""
        words = f"includeTasks=true&onlyFailed={str(only_failed).lower()}"
        self._order("POST", f"/connectors/{quote(name)}/restart?{words}")

    def delete(self, name: str) -> None:
        """Remove it; its offsets stay in Connect."""
        self._order("DELETE", f"/connectors/{quote(name)}")

    def _ask(self, kind: type[Answer], method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """What it answers, which must be of this kind: at a wrong address, anything may answer."""
        answer = self._answer(method, path, body)
        try:
            return TypeAdapter(kind).validate_json(answer.content)
        except ValidationError as error:
            raise self._another(answer) from error

    def _order(self, method: str, path: str) -> None:
        """Have something done. Connect says that it accepted it, or that there is nothing to say."""
        answer = self._answer(method, path)
        if answer.status_code not in (requests.codes.accepted, requests.codes.no_content):
            raise self._another(answer)

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        try:
            answer = self._settled(method, path, body)
        except requests.RequestException as error:
            raise CaptureError(
                f"Kafka Connect does not answer: {type(error).__name__}",
                where=without_login(self.url),
                mend="start it, or correct `kafka.connect` in ringup.yml",
            ) from error
        if answer.ok:
            return answer
        words = _words(answer)
        # A worker that is still starting knows no path at all, and says so in HTML.
        known = "json" in answer.headers.get("content-type", "")
        if answer.status_code == requests.codes.not_found and path.startswith("/connectors/") and known:
            raise NotThere(words, where=without_login(self.url), mend="create it: ringup connectors apply")
        raise CaptureError(
            f"Kafka Connect refuses: {words}",
            where=without_login(self.url),
            mend="while it rebalances, try again in a moment; else correct what it says",
        )

    def _another(self, answer: requests.Response) -> CaptureError:
        said = " ".join(answer.content[: 4 * _BEGINNING].decode(errors="replace").split())
        beginning = f"{said[:_BEGINNING]} ..." if len(said) > _BEGINNING else said
        return CaptureError(
            f"this is no Kafka Connect: HTTP {answer.status_code}, and it says {beginning or 'nothing'}",
            where=f"ringup.yml: kafka.connect ({without_login(self.url)})",
            mend="correct `kafka.connect`: the address of a worker of Kafka Connect",
        )

    def _settled(self, method: str, path: str, body: Mapping[str, Any] | None) -> requests.Response:
        """The answer, once the workers have agreed on who runs what: just after a change they mostly have not.

        Tasks that have to be stopped for it are given 5 s each, unless the worker is told otherwise
        (`task.shutdown.graceful.timeout.ms`).
        """
        until = time.monotonic() + _AGREEMENT
        while True:
            answer = requests.request(method, self.url + path, json=body, timeout=_PATIENCE)
            if answer.ok or not _rebalances(answer) or time.monotonic() > until:
                return answer
            time.sleep(_LOOK)


def _rebalances(answer: requests.Response) -> bool:
    """Whether the workers have not agreed yet. Connect answers so with a conflict, or, where it reads, with a 500."""
    return answer.status_code == requests.codes.conflict or "a rebalance is expected" in _words(answer)


def _words(answer: requests.Response) -> str:
    try:
        said = answer.json().get("message")
    except (ValueError, AttributeError):
        said = None
    return said or f"HTTP {answer.status_code} {answer.reason}"


def _cause(trace: str | None) -> str | None:
    """The first and the last thing that a Java stack trace says."""
    if not trace:
        return None
    lines = trace.splitlines()
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return " <- ".join(dict.fromkeys([lines[0], *causes[-1:]]))
