"""The tables of a MariaDB server, and the DuckDB types that hold what Debezium sends of their columns.

Types follow Debezium's tables of data types for its MariaDB connector, with the settings that ringup relies on:
decimals as text, times in ISO 8601, large whole numbers as what they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from connectors.catalog import Catalog, CatalogColumn, CatalogTable
from connectors.mariadb_session import Session, connect, rows

_COLUMNS = (Path(__file__).parent / "mariadb_catalog.sql").read_text()

UNREADABLE = frozenset(("inet4", "inet6", "xmltype"))
"""Types at which the connector stops. A column is to be made text before it can be captured, so it counts as that."""

_SIGNED = {"tinyint": "smallint", "smallint": "smallint", "mediumint": "integer", "int": "integer", "bigint": "bigint"}
_UNSIGNED = {**_SIGNED, "smallint": "integer", "int": "bigint", "bigint": "ubigint"}
_OTHERS: Mapping[str, str] = {
    "float": "real",
    "double": "double",
    "date": "date",
    "time": "time",
    "datetime": "timestamp",
    "timestamp": "timestamptz",
    "year": "smallint",
    "uuid": "uuid",
    "bit": "varchar",
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"), "varchar"),
    **dict.fromkeys(("geometry", "point", "linestring", "polygon", "geometrycollection"), "json"),
    **dict.fromkeys(("multipoint", "multilinestring", "multipolygon"), "json"),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), "varchar"),
    **dict.fromkeys(UNREADABLE, "varchar"),
}
_BOOLEANS = ("tinyint(1)", "bit(1)")


class Row(NamedTuple):
    """What the server says of a column."""

    schema: str
    table: str
    comment: str
    column: str
    type: str
    told: str
    digits: int | None
    scale: int | None
    counted: bool
    nullable: bool
    place_in_key: int | None
    references: str | None


def catalog(config: Mapping[str, str]) -> Catalog:
    """The tables that the login may see, included or not. Raises SourceError when the server cannot be asked."""
    with connect(config) as session:
        return tables_of(session)


def tables_of(session: Session) -> Catalog:
    """The same, of a server that one is logged in to."""
    return tables(Row(*row) for row in rows(session, _COLUMNS))


def tables(found: Iterable[Row]) -> Catalog:
    """Tables from their columns, which come in order."""
    return tuple(_table(list(mine)) for _, mine in groupby(found, lambda row: (row.schema, row.table)))


def _table(found: list[Row]) -> CatalogTable:
    key = sorted((row.place_in_key, row.column) for row in found if row.place_in_key is not None)
    return CatalogTable(
        found[0].schema,
        found[0].table,
        tuple(name for _, name in key),
        tuple(CatalogColumn(row.column, row.told, _data_type(row), bool(row.nullable)) for row in found),
        {row.column: row.references for row in found if row.references is not None},
        found[0].comment,
    )


def _data_type(row: Row) -> str | None:
    kind, told = row.type.lower(), row.told.lower()
    if told in _BOOLEANS:
        return "boolean"
    if kind == "decimal":  # text where DuckDB has no type for it
        return f"decimal({row.digits},{row.scale})" if (row.digits or 0) <= 38 else "varchar"
    if row.counted and kind == "bigint":
        return kind  # numbers that the server counts never need the last bit, and a bigint can be a profile
    whole = _UNSIGNED if "unsigned" in told else _SIGNED
    return whole.get(kind) or _OTHERS.get(kind)
