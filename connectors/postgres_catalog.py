"""The tables of a PostgreSQL database, and the DuckDB types that hold what Debezium sends of their columns.

Types follow Debezium's tables of data types for its PostgreSQL connector, with the settings that ringup relies on:
decimals and intervals as text, times in ISO 8601.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from connectors.catalog import Catalog, CatalogColumn, CatalogTable
from connectors.postgres_session import connect

_COLUMNS = (Path(__file__).parent / "postgres_catalog.sql").read_text()

_TYPES: Mapping[str, str] = {
    "bool": "boolean",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "oid": "bigint",
    "float4": "real",
    "float8": "double",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "uuid": "uuid",
    "json": "json",
    "jsonb": "json",
    "hstore": "json",
    "point": "json",
    "geometry": "json",
    "geography": "json",
}
_TEXTS = frozenset(
    (
        *("text", "varchar", "bpchar", "char", "name", "citext", "xml", "ltree", "inet", "cidr", "macaddr", "macaddr8"),
        *("interval", "timetz", "money", "bytea", "bit", "varbit"),
        *("int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange"),
    )
)
_HEADER = 4
"""PostgreSQL adds the length of a varlena's header to the modifier of a type."""


class _Row(NamedTuple):
    schema: str
    table: str
    comment: str | None
    column: str
    type: str
    is_enum: bool
    is_array: bool
    modifier: int
    told: str
    not_null: bool
    place_in_key: int | None
    references: str | None


def catalog(config: Mapping[str, str]) -> Catalog:
    """The tables of a database that can be captured, included or not. Raises SourceError when it cannot be asked."""
    with connect(config) as con:
        rows = [_Row(*row) for row in con.execute(_COLUMNS, []).fetchall()]
    return tuple(_table(list(mine)) for _, mine in groupby(rows, lambda row: (row.schema, row.table)))


def _table(rows: list[_Row]) -> CatalogTable:
    key = sorted((row.place_in_key, row.column) for row in rows if row.place_in_key is not None)
    return CatalogTable(
        rows[0].schema,
        rows[0].table,
        tuple(name for _, name in key),
        tuple(CatalogColumn(row.column, row.told, _data_type(row), not row.not_null) for row in rows),
        {row.column: row.references for row in rows if row.references is not None},
        rows[0].comment or "",
    )


def _data_type(row: _Row) -> str | None:
    if row.is_array:
        return "json" if row.type.removeprefix("_") in _TYPES.keys() | _TEXTS | {"numeric"} else None
    if row.type == "numeric":
        return _decimal(row.modifier)
    if row.type == "bit" and row.modifier == 1:
        return "boolean"
    return "varchar" if row.is_enum or row.type in _TEXTS else _TYPES.get(row.type)


def _decimal(modifier: int) -> str:
    """Text where DuckDB has no type for it: a numeric of any scale, or of more than 38 digits."""
    if modifier < 0:
        return "varchar"
    digits, scale = (modifier - _HEADER) >> 16, (modifier - _HEADER) & 0x7FF
    if scale >= 0x400:  # a scale below zero, of 11 bits
        digits, scale = digits - (scale - 0x800), 0
    digits = max(digits, scale)
    return f"decimal({digits},{scale})" if digits <= 38 else "varchar"
