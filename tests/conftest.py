"""What all tests share."""

from __future__ import annotations

import pytest

from tests.fetched import fetch


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """A broker, Kafka Connect with Debezium's connectors, and a MariaDB server."""
    fetch("broker", "connect", "debezium-postgres", "debezium-mariadb", "mariadb")
