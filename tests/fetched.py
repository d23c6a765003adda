"""What Maven fetches for tests."""

from __future__ import annotations

import pytest

from ringup.errors import CaptureError
from ringup.kafka_jars import kafka_jars


def fetch(*modules: str) -> None:
    """Have modules of `ringup/kafka/`; where Maven cannot fetch them, the test is skipped, and says why."""
    try:
        for module in modules:
            kafka_jars(module)
    except CaptureError as error:
        pytest.skip(f"{error.message}: {error.mend}")
