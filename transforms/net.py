"""Rows that are kept held against rows that are computed, as a net count of equal ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.candidates import own_columns
from transforms.scope import TOUCHED
from transforms.warehouse import quoted


def compare_sql(kept: str, computed: str, columns: Iterable[str]) -> str:
    """Rows that are kept and not computed (`_net` < 0) or computed and not kept (`_net` > 0)."""
    names = ", ".join(quoted(name) for name in columns)
    return f"""
select {names}, sum(_side)::bigint as _net, list(_row) filter (_row is not null) as _rows
from (
    select {names}, -1 as _side, rowid as _row from {kept} where {TOUCHED}
    union all
    select {names}, 1, null from (
{computed}
    ) where profile_id is not null
)
group by {names}
having sum(_side) <> 0
"""


def net_changes(kept: pa.Table, computed: pa.Table) -> pa.Table:
    """Rows with their net count in `_net`: below 0 kept and not computed, above 0 computed and not kept."""
    names = computed.column_names
    if not kept.num_rows and not computed.num_rows:
        return computed.append_column("_net", pa.nulls(0, pa.int64()))
    sides = (
        rows.append_column("_side", pa.array(np.full(rows.num_rows, side)))
        for rows, side in ((kept.rename_columns(names), -1), (computed, 1))
    )
    grouped = pa.concat_tables(sides).group_by(names, use_threads=False).aggregate([("_side", "sum")])
    changed = grouped.filter(pc.not_equal(grouped.column("_side_sum"), 0))
    return changed.rename_columns([*names, "_net"])


def renewed(changed: pa.Table, computed: pa.Table) -> tuple[pa.Array, pa.Table]:
    """The profiles that lose a row, all of whose rows are written anew; and the rows to be written."""
    losing = pc.unique(changed.filter(pc.less(changed.column("_net"), 0)).column("profile_id"))
    again = computed.filter(pc.is_in(computed.column("profile_id"), value_set=losing))
    others = changed.filter(pc.invert(pc.is_in(changed.column("profile_id"), value_set=losing)))
    return losing, pa.concat_tables([again, coming(others)])


def gone_and_new(changed: pa.Table) -> tuple[pa.Array, pa.Table]:
    """The places of the kept rows that go, and the rows that come, each as often as its net count says."""
    going = changed.filter(pc.less(changed.column("_net"), 0))
    places = [
        place
        for count, found in zip(going.column("_net").to_pylist(), going.column("_rows").to_pylist(), strict=True)
        for place in found[:-count]
    ]
    return pa.array(places, pa.int64()), coming(changed)


def coming(changed: pa.Table) -> pa.Table:
    """The rows that are computed and not kept, each as often as its net count says."""
    rows = changed.filter(pc.greater(changed.column("_net"), 0))
    times = rows.column("_net").to_numpy()
    if rows.num_rows and times.max() > 1:
        rows = rows.take(pa.array(np.repeat(np.arange(len(times)), times)))
    return own_columns(rows)
