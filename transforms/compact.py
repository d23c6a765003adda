"""Compaction: the tail of a mirror table is folded into its base, clustered by profile again.

This is the simple form: the whole table is written anew, in one transaction: in a moment without changes, or, when
there is none for long, as soon as the tail is half as long as the base, so that a row is rewritten few times.
"""

from __future__ import annotations

from collections.abc import Iterable

from transforms.mirror import Mirror
from transforms.parts import base_name, tail_name
from transforms.project import Table
from transforms.warehouse import Warehouse

TAIL_ROWS = 200_000
"""A tail is read whole in every batch; from here on that costs more than a few milliseconds."""

LONG_TAIL = 1_000_000
"""From here on a busy pipeline stops for it, too."""


def compact(warehouse: Warehouse, mirror: Mirror, *, at_least: int = TAIL_ROWS) -> list[str]:
    """Fold in the tails that have `at_least` so many rows; returns the tables concerned."""
    return _fold(warehouse, mirror, [table for table in mirror.tables if mirror.tail_rows(table) >= at_least])


def compact_if_long(warehouse: Warehouse, mirror: Mirror) -> list[str]:
    """Fold in the tails that cannot wait for a quiet moment; returns the tables concerned."""
    long = [t for t in mirror.tables if mirror.tail_rows(t) >= max(LONG_TAIL, mirror.base_rows(t) // 2)]
    return _fold(warehouse, mirror, long)


def _fold(warehouse: Warehouse, mirror: Mirror, tables: Iterable[Table]) -> list[str]:
    done = []
    for table in tables:
        base, tail = base_name(table), tail_name(table)
        with warehouse.transaction():
            warehouse.con.execute(
                f"create or replace table {base} as "
                f"from (from {base} union all from {tail}) order by profile_id nulls last"
            )
            warehouse.con.execute(f"truncate {tail}")
        mirror.refresh_counts(table)
        done.append(table.relation)
    if done:
        warehouse.checkpoint()
    return done
