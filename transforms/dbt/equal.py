"""Which columns are equal in every row, by what joins and `where` ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlglot import exp

from transforms.dbt.names import Scope, Value
from transforms.dbt.owned import Cell, Pair


def conjuncts(node: exp.Expr | None) -> Iterator[exp.Expr]:
    """The conditions of which all must hold."""
    match node:
        case exp.And():
            yield from conjuncts(node.this)
            yield from conjuncts(node.expression)
        case exp.Paren():
            yield from conjuncts(node.this)
        case exp.Expr():
            yield node


def equalities(node: exp.Expr | None, scope: Scope) -> Iterator[tuple[Value, Value]]:
    """The columns that a condition says are equal, none of them null; `(a, b) = (c, d)` says it of two pairs."""
    for part in conjuncts(node):
        if isinstance(part, exp.EQ):
            left, right = part.this.unnest(), part.expression.unnest()
            sides = [side.expressions if isinstance(side, exp.Tuple) else [side] for side in (left, right)]
            if len(sides[0]) == len(sides[1]):
                for a, b in zip(*sides, strict=True):
                    one, other = scope.value(a), scope.value(b)
                    if one is not None and other is not None:
                        yield one, other


def not_null(node: exp.Expr | None, scope: Scope) -> Iterator[Value]:
    """The columns of the scope that a condition says are not null."""
    for part in conjuncts(node):
        if isinstance(part, exp.Not) and isinstance(test := part.this.unnest(), exp.Is):
            value = scope.value(test.this) if isinstance(test.expression, exp.Null) else None
            if value is not None and value.scope is scope:
                yield value


class Classes:
    """Columns that are equal, one way or the other."""

    def __init__(self, pairs: Iterable[tuple[Value, Value]]) -> None:
        self._classes: list[dict[tuple[Cell, ...], Value]] = []
        for pair in pairs:
            joined = {value.cells: value for value in pair}
            apart = []
            for known in self._classes:
                if known.keys() & joined.keys():
                    joined = known | joined
                else:
                    apart.append(known)
            self._classes = [*apart, joined]

    def between(self, left: set[int], right: set[int]) -> list[Pair]:
        """Columns of relations left and right that tell of the same profile."""
        return [
            (a.cells, b.cells)
            for known in self._classes
            for a in known.values()
            for b in known.values()
            if _of(a, left) and _of(b, right) and a.scope is b.scope and a.tags & b.tags
        ]

    def pinned(self, scope: Scope) -> bool:
        """Whether the profile of the scope's rows is that of a row of a select around it."""
        return any(
            a.scope is scope and b.scope is not scope and a.tags & b.tags
            for known in self._classes
            for a in known.values()
            for b in known.values()
        )


def _of(value: Value, numbers: set[int]) -> bool:
    return {number for number, _ in value.cells} <= numbers
