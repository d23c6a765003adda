"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringup.errors import CaptureError
from ringup.kafka_jars import kafka_jars as fetched_jars


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """The jars of Kafka and its company; where Maven cannot fetch them, what needs them is skipped, and says why."""
    try:
        return fetched_jars()
    except CaptureError as error:
        pytest.skip(f"{error.message}: {error.mend}")
