"""The lake is filled beside the pipeline, and catches up after whatever kept it from writing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from connectors.embedded_raw import EmbeddedRaw
from connectors.embedded_writer import EmbeddedLogWriter
from connectors.log import Positions
from ringup.errors import LakeError, LogError
from tests.waiting import wait_for
from transforms.lake import Lake
from transforms.lake_cut import Cut, Origin, noted
from transforms.lake_rows import read
from transforms.lake_writer import LakeWriter

TOPIC = "pos.pos.bills"
ORIGIN = Origin("a log", "a state", whole=True)


def fill(folder: Path, first: int, count: int) -> None:
    """So many further changes of a table in the log."""
    changes = [
        json.dumps({"op": "c", "after": {"id": n}, "ts_ms": 1_700_000_000_000}) for n in range(first, first + count)
    ]
    with EmbeddedLogWriter(folder / "log.db") as writer:
        writer.append([(TOPIC, None, change) for change in changes])


def there(folder: Path) -> list[int]:
    """The ids in the lake, in the order of its files."""
    rows = [part for file in Lake(folder / "lake").files() for part in read(file)]
    return [json.loads(value)["after"]["id"] for part in rows for value in part.column("_value").to_pylist()]


@contextmanager
def filling(folder: Path, every: float = 0.05) -> Iterator[tuple[LakeWriter, list[Positions]]]:
    """Whoever fills the lake, and how far it has said that it is."""
    told: list[Positions] = []
    raw = EmbeddedRaw(folder / "log.db")
    writer = LakeWriter(Lake(folder / "lake"), raw, ORIGIN, timedelta(seconds=every), told.append)
    try:
        writer.start()
        yield writer, told
    finally:
        writer.stop()


def test_what_comes_is_in_the_lake_soon(tmp_path: Path) -> None:
    """And the log hears how far it is, so that it keeps what is beyond."""
    fill(tmp_path, 0, 3)
    with filling(tmp_path) as (_, told):
        wait_for(lambda: there(tmp_path) == [0, 1, 2])
        fill(tmp_path, 3, 2)
        wait_for(lambda: told[-1] == {(TOPIC, 0): 4})
    assert (there(tmp_path), told[0]) == ([0, 1, 2, 3, 4], {})


def test_what_was_read_is_written_at_the_end(tmp_path: Path) -> None:
    """However long changes may wait for others; the next one reads on behind it."""
    for part in range(3):
        fill(tmp_path, 10 * part, 10)
        with filling(tmp_path, every=3600) as (writer, _):
            wait_for(lambda: writer.kept)
    assert there(tmp_path) == list(range(30))
    assert Lake(tmp_path / "lake").verify() == []


def test_what_cannot_be_written_waits_until_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trouble is told, with its mend, and nothing is lost or there twice."""
    monkeypatch.setattr("transforms.lake_writer._AGAIN", 0.05)
    fill(tmp_path, 0, 0)
    (tmp_path / "lake").write_text("in the way")
    with pytest.raises(LakeError, match="a file is where the lake has a folder"), filling(tmp_path):
        pass
    (tmp_path / "lake").unlink()
    full = Event()
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if full.is_set():
            raise OSError(28, "No space left on device", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with filling(tmp_path) as (writer, _):
        full.set()
        fill(tmp_path, 0, 3)
        wait_for(lambda: writer.trouble is not None)
        assert "the disk is full" in str(writer.trouble)
        fill(tmp_path, 3, 3)
        full.clear()
        wait_for(lambda: there(tmp_path) == list(range(6)))
        wait_for(lambda: writer.trouble is None)
    assert Lake(tmp_path / "lake").verify() == []


def test_a_lake_that_is_ahead_of_its_log_is_refused(tmp_path: Path) -> None:
    """Somebody removed the log and left the lake: its offsets would mean something else."""
    fill(tmp_path, 0, 5)
    with filling(tmp_path):
        wait_for(lambda: there(tmp_path))
    (tmp_path / "log.db").unlink()
    fill(tmp_path, 0, 2)
    with pytest.raises(LogError, match="lake") as refused, filling(tmp_path):
        pass
    assert "move the folder of the lake away" in refused.value.mend


def test_a_commit_is_noted_once_the_lake_has_all_of_it(tmp_path: Path) -> None:
    """From there on a state that is built again can go on; whole transactions end there in every topic at once."""
    fill(tmp_path, 0, 5)
    with filling(tmp_path) as (writer, _):
        assert noted(tmp_path / "lake") == (ORIGIN, Cut({}, {}))
        for upto in (2, 4, 6):
            writer.committed(Cut({(TOPIC, 0): upto}, {TOPIC: "id"}))
        wait_for(lambda: noted(tmp_path / "lake") == (ORIGIN, Cut({(TOPIC, 0): 4}, {TOPIC: "id"})))
        fill(tmp_path, 5, 2)
        wait_for(lambda: noted(tmp_path / "lake") == (ORIGIN, Cut({(TOPIC, 0): 6}, {TOPIC: "id"})))
