"""Kafka and its company as Maven fetches them, into a cache of the test's own."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ringup import kafka_jars as fetching
from ringup.errors import CaptureError
from ringup.kafka_jars import kafka_jars

POMS = fetching._POMS


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "ringup"


@pytest.mark.usefixtures("kafka_jars")
def test_a_module_is_fetched_once_and_by_itself(cache: Path) -> None:
    """Also when two ask for it at once; it stands alone in its folder, as Kafka Connect wants its plugins."""
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(kafka_jars, ["debezium-postgres"] * 2)
    assert first == second
    assert sorted(cache.iterdir()) == [cache / "fetching", first.parent]
    assert list(first.parent.iterdir()) == [first]
    assert list(first.glob("debezium-connector-postgres-*.jar"))
    made = first.stat().st_ino
    assert kafka_jars("debezium-postgres").stat().st_ino == made


def test_what_cannot_be_fetched_is_not_there(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All or nothing: the next one asks Maven again."""
    poms = tmp_path / "poms"
    shutil.copytree(POMS, poms)
    monkeypatch.setattr(fetching, "_POMS", poms)
    (poms / "broker" / "pom.xml").write_text("<project>")
    with pytest.raises(CaptureError, match=r"cannot fetch Kafka's jars \(broker\)|not on the PATH"):
        kafka_jars("broker")
    assert [path.name for path in cache.iterdir()] == ["fetching"]
