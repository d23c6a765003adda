"""What `ringup kafka` does around its parts."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from ringup.errors import CaptureError, ConfigError
from ringup.hosting import _ports, host, watch
from ringup.local_server import HOST


@dataclass
class Part:
    """A server that runs, or does not."""

    pid: int | None
    folder: Path = Path("/state/registry")

    def start(self) -> None:
        """It is there already."""

    def stop(self) -> None:
        """It goes by itself."""


def test_a_part_that_ends_is_told_and_ends_the_rest() -> None:
    """By its name, with the folder that has its log."""
    with pytest.raises(CaptureError, match="the registry ended by itself") as raised:
        watch({"the broker": Part(1), "the registry": Part(None)}, threading.Event())
    assert "/state/registry" in raised.value.mend


def test_parts_that_are_stopped_did_not_end_by_themselves() -> None:
    """Ctrl-C reaches some of them before it is known here."""
    stop = threading.Event()
    stop.set()
    watch({"the broker": Part(None)}, stop)


def test_ports_are_kept_where_they_are_free(tmp_path: Path) -> None:
    """One that another program has taken meanwhile is replaced, and the others stay."""
    first = _ports(tmp_path)
    assert _ports(tmp_path) == first
    with socket.create_server((HOST, first["kafka"])):
        second = _ports(tmp_path)
    assert second.pop("kafka") != first.pop("kafka")
    assert second == first


@pytest.mark.parametrize(("postgres", "mariadb"), [(["Shop"], ["tills"]), (["shop"], ["shop"])])
def test_names_that_cannot_work_are_refused_before_anything_starts(
    postgres: list[str], mariadb: list[str], tmp_path: Path
) -> None:
    """A name that no source can have, and one that stands for two databases."""
    with pytest.raises(ConfigError):
        host(tmp_path / "kafka", postgres, mariadb, as_json=True)
    with pytest.raises(ConfigError, match="cannot be a topic's name"):
        host(tmp_path / "kafka", ["shop"], ["tills"], ["shop messages"], as_json=True)
    assert not (tmp_path / "kafka").exists()
