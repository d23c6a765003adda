"""Records of the starter project's tables, as Debezium writes them."""

from __future__ import annotations

from tests.debezium import Record, notice
from tests.shop import change

CUSTOMERS, ORDERS = "shop.public.customers", "shop.public.orders"


def customer(number: int, name: str, op: str = "r", lsn: int = 8) -> Record:
    """A row of `customers`."""
    return CUSTOMERS, None, change(op, None, {"customer_id": number, "first_name": name, "email": None}, lsn)


def order(number: int, customer: int, op: str = "r", lsn: int = 8) -> Record:
    """A row of `orders`."""
    row = {"order_id": number, "customer_id": customer, "total": "2.50", "ordered_at": "2026-03-01T12:00:00.000000Z"}
    return ORDERS, None, change(op, None, row, lsn)


END_OF_SNAPSHOT = notice("COMPLETED", "shop")
