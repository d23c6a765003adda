"""An embedded log for whoever asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.embedded import EmbeddedLog, EmbeddedLogWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def writer(path: Path) -> Iterator[EmbeddedLogWriter]:
    with EmbeddedLogWriter(path) as opened:
        yield opened


@pytest.fixture
def log(path: Path) -> Iterator[EmbeddedLog]:
    opened = EmbeddedLog(path, expected=["pos"], transaction_wait=0.05)
    yield opened
    opened.close()
