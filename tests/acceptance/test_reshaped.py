"""Tables that change while the run goes on: what is told, and that nothing stops."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ringup import service
from tests.starter import Shop, eventually, starter_shop


@pytest.fixture(scope="module", params=[pytest.param("own log", marks=pytest.mark.slow), "kafka"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A project that runs."""
    with starter_shop(tmp_path_factory.mktemp("reshaped"), request.param) as shop:
        shop.start()
        yield shop
        shop.stop()


def told(shop: Shop) -> str:
    """The warnings of the run."""
    return "\n".join(
        line for line in (shop.state / "logs" / "ringup.log").read_text().splitlines() if "WARNING" in line
    )


def test_a_column_that_is_added_changes_nothing(shop: Shop) -> None:
    """It is not declared, so it is not copied."""
    shop.execute("alter table orders add column note text default 'x'")
    shop.order(customer=1)
    shop.wait_until_all_is_told()
    assert shop.status()["absent"] == {}
    assert not told(shop)


def test_a_type_that_is_widened_is_told_where_a_value_does_not_fit(shop: Shop) -> None:
    """What fits goes on. Digits that the declared type has no room for are not rounded off."""
    shop.execute("alter table orders alter column total type numeric(20, 4)")
    shop.order(customer=1)
    shop.wait_until_all_is_told()
    aside = shop.status()["quarantine"]
    shop.execute("insert into orders values (1001, 1, 9.9999), (1002, 1, 99999999999.5)")
    eventually(lambda: shop.status()["quarantine"] == aside + 2)
    reasons = {found["reason"] for found in shop.status()["reasons"]}
    assert "column total cannot be DECIMAL(12,2): 9.9999" in reasons
    assert "column total cannot be DECIMAL(12,2): 99999999999.5000" in reasons
    shop.order(customer=1)
    shop.wait_until_all_is_told()


def test_a_type_that_is_narrowed_goes_on(shop: Shop) -> None:
    """Its values fit the declared type all the same."""
    shop.execute("delete from orders where order_id > 1000")
    shop.execute("alter table orders alter column total type numeric(6, 1)")
    aside = shop.status()["quarantine"]
    shop.order(customer=1)
    shop.wait_until_all_is_told()
    assert shop.status()["quarantine"] == aside


def test_a_column_that_is_renamed_is_told_with_its_new_name(shop: Shop) -> None:
    """Its values would only be null, without a word; back again, all is well."""
    shop.execute("alter table customers rename column email to mail")
    shop.execute("insert into customers values (7, 'Gil', 'gil@example.com')")
    eventually(lambda: shop.status()["absent"] == {"shop.customers": ["email"]})
    shop.execute("update customers set first_name = 'Gill' where customer_id = 7")
    assert "shop.customers comes without email" in told(shop)
    shop.execute("alter table customers rename column mail to email")
    shop.execute("update customers set first_name = 'Gil' where customer_id = 7")
    eventually(lambda: shop.status()["absent"] == {})


def test_a_column_that_is_dropped_is_told_and_null(shop: Shop) -> None:
    """The run goes on, and messages go out."""
    shop.execute("alter table customers drop column email")
    shop.execute("update customers set first_name = 'Gus' where customer_id = 7")
    eventually(lambda: shop.status()["absent"] == {"shop.customers": ["email"]})
    shop.order(customer=7)
    shop.wait_until_all_is_told()
    assert service.ask(shop.state, "prove")["differ"] == 0


def test_a_row_of_ten_megabytes_comes_through(shop: Shop) -> None:
    """As any other; what follows it is not held up for long."""
    shop.execute("update customers set first_name = repeat('x', 10000000) where customer_id = 2")
    shop.order(customer=1)
    shop.wait_until_all_is_told()
    assert shop.status()["state"] == "live"
    assert service.ask(shop.state, "prove")["differ"] == 0
