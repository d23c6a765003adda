"""From what a MariaDB server says of its columns to the tables that can be declared."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.mariadb_catalog import Row, tables


def row(column: str, told: str, schema: str = "shop", table: str = "bills", **said: Any) -> Row:
    """A column, which may be null and is in no key unless that is said."""
    kind = told.partition("(")[0].partition(" ")[0]
    usual = {"digits": None, "scale": None, "counted": False, "nullable": True, "place_in_key": None}
    return Row(schema, table, "", column, kind, told, **{**usual, "references": None, **said})


def found(told: str, **said: Any) -> str | None:
    """The type for a column of this one."""
    ((table),) = tables([row("it", told, **said)])
    return table.columns[0].data_type


@pytest.mark.parametrize(
    ("told", "data_type"),
    [
        ("tinyint(1)", "boolean"),
        ("tinyint(1) unsigned", "smallint"),
        ("tinyint(3) unsigned", "smallint"),
        ("smallint(5) unsigned", "integer"),
        ("mediumint(8) unsigned zerofill", "integer"),
        ("int(10) unsigned", "bigint"),
        ("bigint(20)", "bigint"),
        ("bigint(20) unsigned", "ubigint"),
        ("bit(1)", "boolean"),
        ("bit(8)", "varchar"),
        ("timestamp(6)", "timestamptz"),
        ("datetime", "timestamp"),
        ("year(4)", "smallint"),
        ("set('a','b')", "varchar"),
        ("longblob", "varchar"),
        ("multipolygon", "json"),
        ("vector(3)", None),
    ],
)
def test_each_type_has_one_that_holds_its_values(told: str, data_type: str | None) -> None:
    """At both ends of its range; a type that nobody knows has none."""
    assert found(told) == data_type


def test_decimals_that_duckdb_has_no_type_for_are_text() -> None:
    """It has 38 digits, and MariaDB 65."""
    assert found("decimal(38,9)", digits=38, scale=9) == "decimal(38,9)"
    assert found("decimal(39,9)", digits=39, scale=9) == "varchar"


def test_what_the_server_counts_can_be_a_profile() -> None:
    """An unsigned key that is counted up never needs the bit that a bigint lacks."""
    assert found("bigint(20) unsigned", counted=1) == "bigint"
    assert found("int(10) unsigned", counted=1) == "bigint"


def test_a_type_at_which_the_connector_stops_is_text() -> None:
    """That is what the column has to become first, and then the declaration holds."""
    assert found("inet6") == "varchar"


def test_keys_are_in_their_own_order_and_columns_in_the_tables() -> None:
    """A key may begin with a later column; what a column refers to is kept."""
    lines = [
        row("line_no", "int(11)", table="lines", place_in_key=2),
        row("bill_id", "int(11)", table="lines", place_in_key=1, nullable=False, references="shop.bills"),
    ]
    bills, made = tables([row("bill_id", "int(11)", place_in_key=1), *lines])
    assert (str(bills), bills.key) == ("shop.bills", ("bill_id",))
    assert made.key == ("bill_id", "line_no")
    assert [(column.name, column.nullable) for column in made.columns] == [("line_no", True), ("bill_id", False)]
    assert made.references == {"bill_id": "shop.bills"}
