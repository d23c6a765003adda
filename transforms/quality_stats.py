"""A model in DuckDB: where it is, its figures, and its rows for Great Expectations."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from transforms.quality_report import ColumnStats, ModelStats
from transforms.quality_rules import DECILES
from transforms.warehouse import quoted

_INTEGERS = frozenset(["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"])
_EXACT = 2**53
"""Above it a double does not hold every whole number."""


def find(con: duckdb.DuckDBPyConnection, model: str) -> str | None:
    """The quoted name of the table or view `model`; None where there is none, or more than one."""
    found = con.execute(
        "select table_schema from information_schema.tables "
        "where table_catalog = current_database() and table_name = ?",
        [model],
    ).fetchall()
    return quoted(found[0][0], model) if len(found) == 1 else None


def columns_of(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """The columns of a relation, with their types."""
    return {name: kind for name, kind, *_ in con.execute(f"describe {relation}").fetchall()}


def stats(con: duckdb.DuckDBPyConnection, model: str, relation: str, at: datetime) -> ModelStats:
    """The figures of a model."""
    [(rows,)] = con.execute(f"select count(*) from {relation}").fetchall()
    kinds = columns_of(con, relation)
    return ModelStats(model, at, rows, {name: _column(con, relation, name, kind) for name, kind in kinds.items()})


def _column(con: duckdb.DuckDBPyConnection, relation: str, name: str, kind: str) -> ColumnStats:
    column = quoted(name)
    [(nulls,)] = con.execute(f"select count(*) - count({column}) from {relation}").fetchall()
    if not _number(kind):
        return ColumnStats(nulls)
    [(low, high, mean, deciles)] = con.execute(
        f"select min(v), max(v), avg(v), quantile_disc(v, {list(DECILES)}) "
        f"from (select cast({column} as double) as v from {relation}) where isfinite(v)"
    ).fetchall()
    return ColumnStats(nulls, low, high, mean, tuple(deciles) if deciles else None)


def frame(con: duckdb.DuckDBPyConnection, relation: str, names: Collection[str]) -> Any:
    """These columns as a pandas frame: decimals as doubles, times in UTC, whole numbers exact, also beside nulls."""
    kinds = columns_of(con, relation)
    taken = ", ".join(f"{_taken(quoted(name), kinds[name])} as {quoted(name)}" for name in names)
    table: pa.Table = con.execute(f"select {taken} from {relation}").to_arrow_table()
    made = table.to_pandas()
    for name in table.column_names:
        column = table[name]
        if pa.types.is_integer(column.type) and column.null_count and _large(column):
            made[name] = column.to_pandas(integer_object_nulls=True)
    return made


def _large(column: pa.ChunkedArray) -> bool:
    bounds = pc.min_max(column).as_py()
    return bounds["min"] is not None and max(abs(bounds["min"]), abs(bounds["max"])) > _EXACT


def _taken(column: str, kind: str) -> str:
    if _number(kind) and kind not in _INTEGERS:
        return f"cast({column} as double)"
    return f"cast({column} as timestamptz)" if is_time(kind) else column


def _number(kind: str) -> bool:
    return kind in _INTEGERS or kind in ("HUGEINT", "UHUGEINT", "FLOAT", "DOUBLE") or kind.startswith("DECIMAL")


def is_time(kind: str) -> bool:
    """Whether a type of DuckDB is one of dates or of dates with times."""
    return kind == "DATE" or kind.startswith("TIMESTAMP")
