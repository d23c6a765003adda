"""Compaction: the tail of a mirror table is folded into its base, clustered by profile again.

This is the simple form: the whole table is written anew, in one transaction, in a moment without changes.
"""

from __future__ import annotations

from transforms.mirror import Mirror
from transforms.parts import base_name, tail_name
from transforms.warehouse import Warehouse

TAIL_ROWS = 200_000
"""A tail is read whole in every batch; from here on that costs more than a few milliseconds."""


def compact(warehouse: Warehouse, mirror: Mirror, *, at_least: int = TAIL_ROWS) -> list[str]:
    """Fold in the tails that have `at_least` so many rows; returns the tables concerned."""
    done = []
    for table in mirror.tables:
        if mirror.tail_rows(table) < at_least:
            continue
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
        warehouse.con.execute("checkpoint live")
    return done
