"""Where a source table's rows are kept: a part clustered by profile, and what came since."""

from __future__ import annotations

from transforms.project import Table
from transforms.warehouse import quoted


def base_name(table: Table) -> str:
    """The clustered part of a mirror table."""
    return quoted("live", table.source, table.name)


def tail_name(table: Table) -> str:
    """What came since the base was clustered."""
    return quoted("live", table.source, f"{table.name} tail")


def parts_of(table: Table) -> tuple[str, str]:
    """Both."""
    return base_name(table), tail_name(table)
