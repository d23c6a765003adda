"""Records of the starter project's tables, as Debezium writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.debezium import Record, notice
from tests.shop import change

ORDERED = datetime(2026, 3, 1, 12, tzinfo=UTC)
CUSTOMERS, ORDERS = "shop.public.customers", "shop.public.orders"


def customer(number: int, name: str, op: str = "r", lsn: int = 8) -> Record:
    """A row of `customers`."""
    return CUSTOMERS, None, change(op, None, {"customer_id": number, "first_name": name, "email": None}, lsn)


def order(number: int, customer: int, op: str = "r", lsn: int = 8, at: datetime = ORDERED) -> Record:
    """A row of `orders`."""
    ordered_at = f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"
    row = {"order_id": number, "customer_id": customer, "total": "2.50", "ordered_at": ordered_at}
    return ORDERS, None, change(op, None, row, lsn)


END_OF_SNAPSHOT = notice("COMPLETED", "shop")
