"""What a database says of its tables, whatever its kind: what `ringup connectors discover` works from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ringup.errors import SourceError


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """A column: `told` is its type in the database's words, `data_type` the DuckDB type that holds what Debezium sends.

    `data_type` is None where Debezium sends nothing of it.
    """

    name: str
    told: str
    data_type: str | None
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class CatalogTable:
    """A table that can be captured. `references` has for a column the table (`schema.table`) whose key it holds."""

    schema: str
    name: str
    key: tuple[str, ...]
    columns: tuple[CatalogColumn, ...]
    references: Mapping[str, str]
    comment: str = ""

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def folded(name: str) -> str:
    """A name as DuckDB compares names: it does not tell `A` from `a`, and it tells `Ä` from `ä`."""
    return name.encode().lower().decode()


Catalog: TypeAlias = tuple[CatalogTable, ...]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a database needs before its tables can be captured.

    `lacking` a person has to mend; `statements` are what ringup runs itself when it prepares the database.
    """

    lacking: tuple[SourceError, ...]
    statements: tuple[str, ...]
