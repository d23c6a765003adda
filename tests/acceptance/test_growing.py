"""A project that runs and grows: a table and a column that are declared later bring their past with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ringup import service
from tests.starter import Shop, eventually, starter_shop

TABLE = """
      - name: visits
        columns:
          - {name: visit_id, data_type: bigint}
          - {name: customer_id, data_type: bigint}
        config:
          meta:
            topic: shop.public.visits
            key: [visit_id]
            identity: {via: {customer_id: customers}}
"""
SEGMENT = """
{{ config(meta={'refresh': 'continuous', 'kind': 'segment'}) }}
select profile_id, count(*) as visits from {{ source('shop', 'visits') }} group by profile_id
"""


@pytest.fixture(scope="module", params=["own log", "kafka"])
def growing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A project of its own, that has run, and does not run now."""
    with starter_shop(tmp_path_factory.mktemp("growing"), request.param) as shop:
        shop.start()
        shop.stop()
        yield shop


def on_kafka(shop: Shop) -> bool:
    """Whether changes come by way of Kafka."""
    return "\nkafka:" in (shop.folder / "ringup.yml").read_text()


def apply(shop: Shop) -> None:
    """Bring the connectors up to their files, where Kafka Connect has them."""
    if on_kafka(shop):
        done = shop.ringup("connectors", "apply")
        assert done.returncode == 0, done.stderr


def edit(file: Path, old: str, new: str) -> None:
    """Change a file of the project, as its owner would."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_table_that_is_declared_later_brings_its_past(growing: Shop) -> None:
    """Its old rows are read while the run goes on, and fire nothing; what happened meanwhile is told."""
    growing.execute("create table visits (visit_id bigint primary key, customer_id bigint)")
    growing.execute("insert into visits values (1, 1), (2, 1), (3, 2)")
    source = growing.folder / "connectors" / "sources" / "shop.json"
    edit(source, "public.orders", "public.orders,public.visits")
    apply(growing)
    sources = growing.folder / "dbt_project" / "models" / "sources.yml"
    sources.write_text(sources.read_text().rstrip("\n") + TABLE)
    (growing.folder / "dbt_project" / "models" / "segments" / "visitors.sql").write_text(SEGMENT)
    growing.order(customer=1)  # it came while nothing ran, and is no past
    growing.start()
    eventually(lambda: growing.status()["rows"]["visitors"] == 2)
    growing.execute("insert into visits values (4, 1)")
    eventually(lambda: service.ask(growing.state, "profile", profile_id=1)["segments"]["visitors"]["visits"] == 3)
    growing.wait_until_all_is_told()
    assert service.ask(growing.state, "prove")["differ"] == 0
    growing.stop()
    growing.start()
    growing.wait_until_all_is_told()
    assert growing.status()["changes"] == 0, "the next start reads nothing again"
    growing.stop()


def test_a_column_that_is_declared_later_has_its_values(growing: Shop) -> None:
    """All rows get the value that the source has."""
    growing.execute("alter table customers add column phone text default '555'")
    sources = growing.folder / "dbt_project" / "models" / "sources.yml"
    edit(
        sources,
        "- {name: email, data_type: varchar}",
        "- {name: email, data_type: varchar}\n          - {name: phone, data_type: varchar}",
    )
    segment = growing.folder / "dbt_project" / "models" / "segments" / "regulars.sql"
    edit(segment, "customers.email,", "max(customers.phone) as phone,\n    customers.email,")
    growing.start()
    eventually(lambda: service.ask(growing.state, "profile", profile_id=1)["segments"]["regulars"]["phone"] == "555")
    assert service.ask(growing.state, "prove")["differ"] == 0
    growing.stop()


def test_a_table_is_read_again_when_asked_for(growing: Shop) -> None:
    """While it runs, and where nothing runs, at the next start; a database that is idle is no reason to wait."""
    log = growing.state / "logs" / "ringup.log"
    asked = growing.ringup("connectors", "snapshot", "shop", "public.customers")
    assert asked.returncode == 0, asked.stderr
    assert ("Nothing runs now" in asked.stdout) == (not on_kafka(growing))
    growing.start()
    if not on_kafka(growing):  # the connector does not wait for ringup
        eventually(lambda: "shop.public.customers was read again" in log.read_text())
    count = growing.status()["changes"]
    asked = growing.ringup("connectors", "snapshot", "shop", "public.orders")
    assert asked.returncode == 0, asked.stderr
    eventually(lambda: "shop.public.orders was read again" in log.read_text())
    growing.wait_until_all_is_told()
    assert growing.status()["changes"] > count
    assert service.ask(growing.state, "prove")["differ"] == 0
    growing.stop()


def test_a_column_that_is_not_there_is_refused(growing: Shop) -> None:
    """It would only ever be null."""
    if on_kafka(growing):
        pytest.skip("on Kafka, the databases are looked at by `ringup connectors apply` alone")
    sources = growing.folder / "dbt_project" / "models" / "sources.yml"
    edit(sources, "name: phone", "name: phones")
    segment = growing.folder / "dbt_project" / "models" / "segments" / "regulars.sql"
    edit(segment, "customers.phone", "customers.phones")
    done = growing.ringup("run")
    assert done.returncode == 3
    assert "public.customers has no column phones" in done.stderr
    assert "did you mean phone?" in done.stderr
