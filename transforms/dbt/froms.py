"""The FROM of a select: its relations, and whether their joins bring together rows of one profile only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Protocol, TypeAlias

from sqlglot import exp

from transforms.dbt.equal import Classes, equalities
from transforms.dbt.names import Scope, Source, Value
from transforms.dbt.owned import NotLocalError, Out, Relation, Rows, met, rows_of

Ctes: TypeAlias = Mapping[str, Relation]
Equal: TypeAlias = tuple[Value, Value]

PLAIN = exp.Explode | exp.ExplodeOuter | exp.GenerateSeries | exp.Unnest
"""Table functions whose rows come from their arguments alone; others read what nobody declared."""

PLAIN_NAMES = {"unnest", "range", "generate_series", "json_each", "json_tree"}
ON_PROFILE = "Join them on profile_id, too."


class Reader(Protocol):
    """Whoever reads the queries in a FROM."""

    def query(self, node: exp.Expr, outer: Scope | None, ctes: Ctes) -> Relation:
        """The relation that a query gives."""

    def expression(self, node: exp.Expr | None, scope: Scope, ctes: Ctes, holds: bool = False) -> None:
        """Refuse an expression that depends on other profiles' rows."""

    def relation(self, node: exp.Table) -> Relation:
        """A table or a model of the project."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A join: what is added, how, and which columns it says are equal."""

    node: exp.Join
    rows: Rows
    numbers: frozenset[int]
    side: str
    own: tuple[Equal, ...]

    @property
    def asof(self) -> bool:
        return bool(self.node.method == "ASOF")

    @property
    def comma(self) -> bool:
        return not any(self.node.args.get(word) for word in ("side", "kind", "method", "on", "using"))


class From:
    """Reads the FROM of one select after the other."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._numbers = count()

    def read(self, node: exp.Expr, where: exp.Expr | None, scope: Scope, ctes: Ctes) -> tuple[Equal, ...]:
        """Bring the relations of a select, or of joins in brackets, into the scope; returns what is always equal."""
        start = node.args.get("from_") if isinstance(node, exp.Select) else node
        if start is None:
            return ()
        leading = start.this if isinstance(start, exp.From) else start
        first = scope.rows = self._add(scope, self._operand(leading, scope, ctes, alone=True))
        here = frozenset(source.number for source in scope.sources)
        steps = tuple(self._step(join, scope, ctes) for join in node.args.get("joins") or ())
        asked = tuple(equalities(where, scope))
        commuting = all(step.side not in ("RIGHT", "FULL") for step in steps)
        pool = asked
        if commuting:
            pool += tuple(e for s in steps if s.side == "INNER" and not s.asof for e in s.own)
        elif any(step.comma for step in steps) and any(rows.local for rows in (first, *(s.rows for s in steps))):
            raise NotLocalError(
                steps[0].node, "mixes a comma with a right or full join", "Write `cross join` or `join`."
            )
        rows, tags = first, dict(first.tags)
        for step in steps:
            rows = self._joined(rows, here, step, pool if commuting else (), scope)
            tags |= step.rows.tags if step.side not in ("SEMI", "ANTI") else {}
            here |= step.numbers
        scope.rows = replace(rows, tags=tags)
        return pool

    def _joined(self, left: Rows, here: frozenset[int], step: _Step, pool: tuple[Equal, ...], scope: Scope) -> Rows:
        """The rows after one more join. What `pool` says of earlier relations may be asked of them before it."""
        inside, side = {*here}, step.side
        pairs = []
        if side in ("INNER", "LEFT") and not step.asof and (pairs := Classes(pool).between(inside, {*step.numbers})):
            side = "INNER"  # what is asked of the rows afterwards leaves none that a left join would add
        if not pairs:
            before = (pair for pair in pool if all(_within(value, scope, inside) for value in pair))
            pairs = Classes((*before, *step.own)).between(inside, {*step.numbers})
        either = left.local or step.rows.local
        if step.node.method == "POSITIONAL" and either:
            raise NotLocalError(step.node, "joins customers' rows by their position", ON_PROFILE)
        if step.asof and either and (side not in ("INNER", "LEFT") or not left.local):
            raise NotLocalError(
                step.node, "looks for the nearest of all customers' rows", "Begin with the customers' table."
            )
        made = met(left, step.rows, side, pairs)
        if made is None:
            raise self._refused(left, step, side)
        return made

    def _refused(self, left: Rows, step: _Step, side: str) -> NotLocalError:
        name = step.node.this.alias_or_name
        if left.local and step.rows.local:
            how = f"joins `{name}` with rows that may be another customer's"
            return NotLocalError(step.node, how, f"{ON_PROFILE} Other columns may stand beside it.")
        if side in ("SEMI", "ANTI"):
            how = f"lets all customers' rows of `{name}` decide about rows that are the same for all"
            return NotLocalError(step.node, how, "Begin with the customers' table and join the others to it.")
        how = f"keeps rows without a customer in a {side.lower()} join with `{name}`"
        return NotLocalError(step.node, how, "Let the customers' table be the one that keeps all of its rows.")

    def _step(self, join: exp.Join, scope: Scope, ctes: Ctes) -> _Step:
        """Bring a joined relation into the scope."""
        known = {"this", "side", "kind", "method", "on", "using"}
        kind = str(join.kind or "INNER")
        odd = [word for word, value in join.args.items() if value and word not in known]
        method = str(join.method)
        if (
            odd
            or kind not in ("INNER", "CROSS", "OUTER", "SEMI", "ANTI")
            or method not in ("", "NATURAL", "ASOF", "POSITIONAL")
        ):
            raise NotLocalError(
                join, f"has a {' '.join(odd) or kind.lower()} join, which ringup cannot follow", ON_PROFILE
            )
        operand = self._operand(join.this, scope, ctes)
        side = kind if kind in ("SEMI", "ANTI") else str(join.side or "INNER")
        names = [part.name.lower() for part in join.args.get("using") or ()]
        if method == "NATURAL":
            names = self._common(join, scope, operand)
        merged = list(self._merged(names, scope, operand, side))
        sources = list(scope.sources)
        rows = self._add(scope, operand)
        scope.rows = replace(scope.rows, tags={**scope.rows.tags, **rows.tags})
        own = list(equalities(join.args.get("on"), scope))
        self._reader.expression(join.args.get("on"), scope, ctes, holds=True)
        own += merged[:-1] if method == "ASOF" else merged
        if side in ("SEMI", "ANTI"):
            scope.sources = sources
        return _Step(join, rows, frozenset(source.number for source in operand.sources), side, tuple(own))

    def _common(self, join: exp.Join, scope: Scope, operand: Scope) -> list[str]:
        left, right = ({*_names(side)} for side in (scope, operand))
        if any(source.relation.open for side in (scope, operand) for source in side.sources):
            raise NotLocalError(join, "has a natural join of columns that are not named", "Write `using (profile_id)`.")
        return sorted(left & right)

    def _merged(self, names: Iterable[str], scope: Scope, operand: Scope, side: str) -> Iterator[Equal]:
        """Make one column of two, for each name."""
        for name in names:
            mine, theirs = (side.value(exp.column(name, quoted=True)) for side in (scope, operand))
            if mine is None or theirs is None or mine.scope is not scope or theirs.scope is not operand:
                scope.merged.pop(name, None)
                continue
            one, other = mine.cells, theirs.cells
            if side not in ("SEMI", "ANTI"):
                scope.hidden |= {*other}
                scope.merged[name] = {"RIGHT": other, "FULL": one + other}.get(side, one)
            yield Value(scope, one, mine.tags), Value(scope, other, theirs.tags)

    def _add(self, scope: Scope, operand: Scope) -> Rows:
        scope.sources += operand.sources
        scope.hidden |= operand.hidden
        for name, cells in operand.merged.items():
            scope.merged.setdefault(name, cells)
        return operand.rows

    def _operand(self, node: exp.Expr, scope: Scope, ctes: Ctes, alone: bool = False) -> Scope:
        """One side of a join, as a scope of its own."""
        inner = Scope(scope)
        joins = node.this if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table) else node
        if isinstance(joins, exp.Table) and joins.args.get("joins") and not (alone and joins is node):
            self.read(joins, None, inner, ctes)
            if not node.alias or joins is node:
                return inner
            raise NotLocalError(node, f"gives joins in brackets the name `{node.alias}`", "Write a `select` in them.")
        relation = self._named(joins, scope, ctes)
        alias = node.args.get("alias") or joins.args.get("alias")
        if isinstance(alias, exp.TableAlias):
            relation = relation.renamed([column.name.lower() for column in alias.args.get("columns") or ()])
        names = (alias.name.lower(),) if alias else (joins.name.lower(), joins.text("db").lower())
        number = next(self._numbers)
        inner.sources = [Source(number, names, relation)]
        inner.rows = rows_of(relation, number)
        return inner

    def _named(self, node: exp.Expr, scope: Scope, ctes: Ctes) -> Relation:
        """A relation in a FROM, without its alias."""
        for word in ("pivots", "sample", "when", "version", "only", "ordinality", "laterals", "partition", "changes"):
            if node.args.get(word):
                raise NotLocalError(
                    node, f"has a {_WORDS.get(word, word)} of a table, which ringup cannot follow", _MENDS
                )
        match node:
            case exp.Table(this=exp.Identifier()):
                name = node.name.lower()
                return ctes[name] if not node.db and name in ctes else self._reader.relation(node)
            case exp.Subquery():
                return self._reader.query(node, scope, ctes)
            case exp.Values():
                for part in node.expressions:
                    self._reader.expression(part, scope, ctes)
                return Relation(False, tuple(Out(f"col{n}") for n, _ in enumerate(node.expressions[0].expressions)))
            case exp.Table(this=exp.Lateral()) | exp.Lateral(this=exp.Subquery()):
                return self._named(node.this, scope, ctes)
        function = node.this if isinstance(node, exp.Table | exp.Lateral) else node
        if not isinstance(function, PLAIN) and function.name.lower() not in PLAIN_NAMES:
            words = function.sql_name().lower() if isinstance(function, exp.Func) else function.name
            how = f"reads `{function.name if isinstance(function, exp.Anonymous) else words}`, which no source declares"
            raise NotLocalError(node, how, "Declare what it reads as a table of a source, and read that.")
        for part in function.iter_expressions():
            self._reader.expression(part, scope, ctes)
        if not isinstance(function, PLAIN) or function.find(exp.PropertyEQ, exp.Kwarg):
            return Relation(False, open=True)
        default = "unnest" if not isinstance(function, exp.GenerateSeries) else None
        return Relation(False, (Out(node.alias.lower() or default),))


_WORDS = {"pivots": "pivot", "when": "version"}
_MENDS = "Write it with plain `select`, `filter (where ...)` and `group by profile_id`."


def _names(scope: Scope) -> Iterator[str]:
    for source in scope.sources:
        yield from (column.name for column in source.relation.columns if column.name)


def _within(value: Value, scope: Scope, numbers: set[int]) -> bool:
    """Whether a column is one of these relations', or of a select around them."""
    return value.scope is not scope or {number for number, _ in value.cells} <= numbers
