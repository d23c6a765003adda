"""What the acceptance tests share: one PostgreSQL server, and one project made by `ringup init`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.starter import Shop, starter_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The project, its database and its receiver; the tests of a file use them in turn."""
    with starter_shop(tmp_path_factory.mktemp("starter")) as shop:
        yield shop


@pytest.fixture
def stopped(shop: Shop) -> Shop:
    """The project has run, and does not run now."""
    if not (shop.state / "live.duckdb").exists():
        shop.start()
    if shop.runs:
        shop.stop()
    return shop


@pytest.fixture
def running(shop: Shop) -> Shop:
    """The project runs."""
    if not shop.runs:
        shop.start()
    return shop
