"""What brings rows of a select together: groups, `distinct` and windows, which have to keep profiles apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlglot import exp

from transforms.dbt.names import Scope
from transforms.dbt.owned import Cell, NotLocalError, Rows

SCHEDULED = "or leave it to a scheduled model"


def grouped(node: exp.Select, scope: Scope) -> Rows:
    """The rows of a select after its `group by`."""
    group, rows = node.args.get("group"), scope.rows
    if not rows.local:
        return rows
    if group is None:
        found = next((part for item in node.expressions for part in _aggregates(item)), node.args.get("having"))
        if found is None:
            return rows
        words = (found.this if isinstance(found, exp.Having) else found).sql("duckdb", normalize_functions="lower")
        raise NotLocalError(found, f"computes `{words}` over all customers", f"Add `group by profile_id`, {SCHEDULED}.")
    keys = _keys(group, node, scope)
    if not rows.covered(keys):
        place = group.expressions[0] if group.expressions else node
        mend = f"Add profile_id to the `group by`, {SCHEDULED}."
        raise NotLocalError(place, "groups rows of all customers", mend)
    return rows.within(keys)


def _keys(group: exp.Group, node: exp.Select, scope: Scope) -> set[Cell]:
    """The columns that are equal in each group, whichever grouping set it is of."""
    if group.args.get("all"):
        return scope.keys(node.expressions)
    keys: set[Cell] = set()
    for part in (*group.expressions, *(group.args.get("grouping_sets") or ())):
        if isinstance(part, exp.GroupingSets):
            first, *others = (_plain(_members(one), node, scope) for one in part.expressions)
            keys |= first.intersection(*others)
        elif not isinstance(part, exp.Rollup | exp.Cube):
            keys |= _plain([part], node, scope)
    return keys


def _plain(parts: Iterable[exp.Expr], node: exp.Select, scope: Scope) -> set[Cell]:
    """The columns that these expressions are, or that they mean by their number in the select list."""
    columns, more = scope.selected(node.expressions)
    single = not more and len(columns) == len(node.expressions)  # no stars and the like, which are several
    numbered = dict(enumerate(node.expressions, 1)) if single else {}
    return scope.keys(
        numbered.get(int(part.name), part) if isinstance(part, exp.Literal) and part.is_int else part for part in parts
    )


def check_distinct(node: exp.Select, scope: Scope, covered: bool) -> None:
    """Refuse a `distinct` of rows of several profiles. `covered`: what is selected says whose the row is."""
    distinct = node.args.get("distinct")
    if distinct is None or not scope.rows.local:
        return
    words = "distinct"
    if on := distinct.args.get("on"):
        words = "distinct on"
        parts = [
            scope.aliases.get(part.name.lower(), part) if isinstance(part, exp.Column) and not part.table else part
            for part in _members(on)  # here, and only here, an alias comes before a column
        ]
        covered = scope.rows.covered(_plain(parts, node, scope))
    if not covered:
        mend = f"Add profile_id to it, {SCHEDULED}."
        raise NotLocalError(on or node.expressions[0], f"says `{words}` over all customers", mend)


def check_window(node: exp.Window, scope: Scope) -> None:
    """Refuse a window over rows of several profiles."""
    if scope.rows.local and not scope.rows.covered(scope.keys(_partition(node, scope))):
        words = node.this.sql("duckdb", normalize_functions="lower")
        mend = f"Add `partition by profile_id`, {SCHEDULED}."
        raise NotLocalError(node, f"computes `{words}` over all customers", mend)


def _partition(window: exp.Window, scope: Scope) -> Iterator[exp.Expr]:
    """What a window is partitioned by, itself or by way of a named one."""
    yield from window.args.get("partition_by") or ()
    base = scope.windows.get(window.text("alias").lower())
    if base is not None and base is not window:
        yield from _partition(base, scope)


def _members(node: exp.Expr) -> list[exp.Expr]:
    bare = node.unnest()
    return list(bare.expressions) if isinstance(bare, exp.Tuple) else [bare]


def _aggregates(node: exp.Expr) -> Iterator[exp.Expr]:
    """Aggregate functions outside of windows.

    Those that sqlglot does not know do no harm: DuckDB lets no plain column stand beside them.
    """
    if isinstance(node, exp.Query):
        return
    if isinstance(node, exp.AggFunc):
        yield node
    for part in (node.this if isinstance(node, exp.Window) else node).iter_expressions():
        yield from _aggregates(part)
