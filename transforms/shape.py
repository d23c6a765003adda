"""Whether a source table still has the columns that are declared of it: without one, its rows would just be null."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from transforms.project import Table

log = logging.getLogger(__name__)


class Shape:
    """What the newest change of a table has of the columns that are declared. Columns change between transactions."""

    def __init__(self, table: Table) -> None:
        self.absent: tuple[str, ...] = ()
        self._table = table
        self._had: Collection[str] = ()

    def look(self, values: pa.ChunkedArray, mine: pa.ChunkedArray) -> None:
        """Look at the newest of the values that are `mine`, and say once what the table does not have any more."""
        has = _columns(values, mine)
        if has is None:
            return
        absent = tuple(column.name for column in self._table.columns if column.name not in has)
        if absent and absent != self.absent:
            new = ", ".join(name for name in has if self._had and name not in self._had)
            log.warning(
                "%s comes without %s%s: null from now on; if it was renamed, declare the new name in sources.yml",
                self._table.relation,
                ", ".join(absent),
                f", and with {new}" if new else "",
            )
        elif self.absent and not absent:
            log.info("%s comes with all its columns again", self._table.relation)
        self.absent, self._had = absent, has


def _columns(values: pa.ChunkedArray, mine: pa.ChunkedArray) -> Collection[str] | None:
    """The columns that the newest row has; None where there is no row, as in a tombstone."""
    places = pc.indices_nonzero(pc.and_(mine, pc.is_valid(values)))
    if not len(places):
        return None
    try:
        change: Any = orjson.loads(values[places[-1].as_py()].as_py())
        row = change["after"] or change["before"]
    except (ValueError, KeyError, TypeError):  # no change of a row: decoding says what it is
        return None
    return row.keys() if isinstance(row, dict) else None
