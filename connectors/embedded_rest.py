"""What an embedded log still holds, asked while nobody has it open."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.embedded_writer import unreadable
from connectors.topics import DATA, kind_of, source_of

if TYPE_CHECKING:
    from connectors.log import Positions


def left_over(path: Path, positions: Positions, sources: Collection[str]) -> int:
    """How many changes lie beyond `positions` in a log that nobody has open. `sources` are the topics' prefixes."""
    if not path.exists():
        return 0
    # Without changes that wait beside it the file is all there is, and can be read where nothing may be written, too.
    how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?{how}", uri=True)) as con:
            ends = con.execute("select name, next - 1 from topics").fetchall()
    except sqlite3.DatabaseError as error:
        raise unreadable(path, error) from error
    changes = ((name, end) for name, end in ends if kind_of(name, source_of(name, sources)) == DATA)
    return sum(max(0, end - positions.get((name, 0), -1)) for name, end in changes)
