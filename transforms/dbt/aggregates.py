"""Where a part of a select is computed: of the rows that it reads, or of its groups and windows."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp
from sqlglot.expressions import Expr as Expression


def above(part: Expression) -> bool:
    """Whether it is computed of a select's groups or windows, not of the rows that it reads."""
    return _aggregates(part) or own(part, exp.Window)


def grouped(select: exp.Select) -> bool:
    """Whether its rows are groups of those that it reads."""
    return select.args.get("group") is not None or any(_aggregates(e) for e in select.expressions)


def _aggregates(e: Expression) -> bool:
    """Whether an aggregate is in it, other than in a select of its own or over a window."""
    return any(not isinstance(_around(part), exp.Window) for part in _parts(e, exp.AggFunc))


def _around(aggregate: Expression) -> Expression | None:
    at = aggregate.parent
    while isinstance(at, exp.Filter | exp.IgnoreNulls | exp.RespectNulls | exp.WithinGroup):
        at = at.parent
    return at


def own(e: Expression, kind: type[Expression]) -> bool:
    """Whether there is one of this kind in it, other than in a select of its own."""
    return any(True for _ in _parts(e, kind))


def _parts(e: Expression, kind: type[Expression]) -> Iterator[Expression]:
    """The parts of this kind, but for those of selects in it."""
    return (part for part in e.walk(prune=lambda part: isinstance(part, exp.Query)) if isinstance(part, kind))
