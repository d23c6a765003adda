"""Which tables the state holds whole, between one start and the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ringup.errors import WarehouseError
from tests.shop import TABLES
from transforms.declared import lacking, note_whole
from transforms.project import Column
from transforms.warehouse import Warehouse

BILLS = next(table for table in TABLES if table.name == "bills")
OTHERS = tuple(table for table in TABLES if table is not BILLS)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """A state that holds all tables whole."""
    opened = Warehouse(tmp_path / "live.duckdb")
    note_whole(opened, TABLES)
    yield opened
    opened.close()


def test_nothing_is_lacking_when_nothing_changed(warehouse: Warehouse) -> None:
    """A start reads nothing again."""
    assert lacking(warehouse, TABLES) == []


def test_a_table_or_column_that_is_declared_later_is_lacking_until_it_was_read(warehouse: Warehouse) -> None:
    """Also when a start in between did not get that far."""
    wider = replace(BILLS, columns=(*BILLS.columns, Column("note", "varchar")))
    for _ in range(2):
        assert lacking(warehouse, (*OTHERS, wider)) == [wider]
    note_whole(warehouse, [wider])
    assert lacking(warehouse, (*OTHERS, wider)) == []


def test_a_table_that_was_away_for_a_start_lacks_what_came_meanwhile(warehouse: Warehouse) -> None:
    """It comes back like a new one; so does a column."""
    assert lacking(warehouse, OTHERS) == []
    assert lacking(warehouse, TABLES) == [BILLS]
    note_whole(warehouse, TABLES)
    assert lacking(warehouse, (*OTHERS, replace(BILLS, columns=BILLS.columns[:-1]))) == []
    assert lacking(warehouse, TABLES) == [BILLS]


def test_another_key_is_refused(warehouse: Warehouse) -> None:
    """Rows that are stored were told apart by the old one."""
    with pytest.raises(WarehouseError, match=r"told apart by bill_id, and the key is declared as loyalty_card"):
        lacking(warehouse, (*OTHERS, replace(BILLS, key=("loyalty_card",))))
