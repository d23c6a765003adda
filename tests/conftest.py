"""What all tests share."""

from __future__ import annotations

import pytest

from tests.fetched import fetch


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """A broker, and Kafka Connect with Debezium's PostgreSQL connector."""
    fetch("broker", "connect", "debezium-postgres")
