"""What all tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.fetched import fetch

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("ringup", deadline=None)
settings.load_profile("ringup")


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """A broker, Kafka Connect with Debezium's connectors, and a MariaDB server."""
    fetch("broker", "connect", "debezium-postgres", "debezium-mariadb", "mariadb")
