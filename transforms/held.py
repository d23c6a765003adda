"""A stored relation's rows in memory as well, found by profile.

A few profiles' rows of a stored table cost DuckDB one to three milliseconds, nearly all of it for planning the
statement anew, and a batch asks a dozen tables. Here the same takes a third of a millisecond. What is stored is what
counts: the rows are loaded when they are first asked for, follow every change, and are loaded again after a rollback.
A relation that is too large for this is read where it is stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.warehouse import Warehouse

HELD = 10_000_000
"""Values of one relation that are held at most: about 100 MB."""

CHUNKS = 64
"""Pieces of which the recent rows may consist; more would make them slow to read."""

MERGED = 50_000
"""Recent rows from which on they are sorted in among the others, once they are half as many as those."""

PROFILE = "profile_id"


class Held:
    """The rows of one relation, given by `select`; all have a profile. `key` tells those of one profile apart."""

    def __init__(self, warehouse: Warehouse, select: str, key: Sequence[str] = ()) -> None:
        self._warehouse, self._select, self._key = warehouse, select, list(key)
        self._load = warehouse.question(f"{select} order by {PROFILE}")
        warehouse.undone.append(self.forget)
        self.forget()

    def forget(self) -> None:
        """What is stored may be anything now."""
        self._there = self._too_large = False
        self._base = self._recent = pa.table({})
        self._profiles, self._alive = np.empty(0, np.int64), np.empty(0, np.bool_)

    def of(self, profiles: pa.ChunkedArray) -> pa.Table | None:
        """The rows of these profiles; None when there are too many to hold."""
        if not self._there and not self._loaded():
            return None
        asked = profiles.to_numpy()
        base = self._base.take(pa.array(self._places(asked)))
        recent = self._recent.filter(pc.is_in(self._recent.column(PROFILE), value_set=pa.array(asked)))
        return pa.concat_tables([base, recent]).combine_chunks()

    def add(self, rows: pa.Table) -> None:
        """These rows were stored, too."""
        if not self._there:
            return
        rows = rows.select(self._base.column_names).filter(pc.is_valid(rows.column(PROFILE)))
        self._recent = pa.concat_tables([self._recent, rows])
        if (self._base.num_rows + self._recent.num_rows) * self._base.num_columns > HELD:
            self.forget()
        elif self._recent.num_rows > max(MERGED, self._base.num_rows // 2):
            self._arrange(pa.concat_tables([self._base.filter(pa.array(self._alive)), self._recent]))
        elif self._recent.column(PROFILE).num_chunks > CHUNKS:
            self._recent = self._recent.combine_chunks()

    def remove(self, profiles: pa.Array | pa.ChunkedArray, keys: pa.Table | None = None) -> None:
        """The rows of these profiles, or those of them that have one of these keys, are stored no more."""
        if not self._there:
            return
        places = self._places(pc.unique(profiles).drop_null().to_numpy())
        mine = pc.is_in(self._recent.column(PROFILE), value_set=profiles)
        if keys is not None:
            places = places[self._have(self._base.take(pa.array(places)), keys)]
            found = np.flatnonzero(mine.to_numpy())
            mask = np.zeros(self._recent.num_rows, np.bool_)
            mask[found[self._have(self._recent.filter(mine), keys)]] = True
            mine = pa.array(mask)
        self._alive[places] = False
        self._recent = self._recent.filter(pc.invert(mine))

    def _have(self, rows: pa.Table, keys: pa.Table) -> npt.NDArray[np.bool_]:
        """Which of the rows have one of the keys."""
        if len(self._key) == 1:
            name = self._key[0]
            return np.asarray(pc.is_in(rows.column(name), value_set=keys.column(name)).to_numpy(), np.bool_)
        wanted = set(zip(*(keys.column(name).to_pylist() for name in self._key), strict=True))
        there = zip(*(rows.column(name).to_pylist() for name in self._key), strict=True)
        return np.fromiter((key in wanted for key in there), np.bool_, rows.num_rows)

    def _places(self, profiles: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where the base has the rows of these profiles."""
        first = np.searchsorted(self._profiles, profiles, "left")
        last = np.searchsorted(self._profiles, profiles, "right")
        runs = [np.arange(a, b) for a, b in zip(first.tolist(), last.tolist(), strict=True) if a < b]
        places: npt.NDArray[np.int64] = np.concatenate(runs) if runs else np.empty(0, np.int64)
        return np.compress(self._alive[places], places)

    def _loaded(self) -> bool:
        """Load the rows, unless they are too many."""
        if not self._too_large:
            count = self._warehouse.number(f"select count(*) from ({self._select})")
            width = len(self._warehouse.columns(self._select))
            self._too_large = count * width > HELD
        if not self._too_large:
            self._arrange(self._load(), sort=False)
            self._there = True
        return self._there

    def _arrange(self, rows: pa.Table, *, sort: bool = True) -> None:
        base = rows.sort_by(PROFILE) if sort else rows
        self._base = base.combine_chunks()
        self._recent = self._base.schema.empty_table()
        self._profiles = self._base.column(PROFILE).to_numpy()
        self._alive = np.ones(len(self._profiles), np.bool_)
