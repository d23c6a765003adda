"""What a name in a select stands for: DuckDB's rules, on the safe side where they leave a doubt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from transforms.dbt.owned import PROFILE, UNTAGGED, Cell, Out, Relation, Rows, Tags

SAME_VALUE = {exp.DType.BIGINT}
"""A profile cast to one of these is the same profile."""


@dataclass(frozen=True, slots=True)
class Value:
    """A column, or the first of several that is not null, with what it tells of the row's profile in `scope`."""

    scope: Scope
    cells: tuple[Cell, ...]
    tags: Tags


@dataclass(frozen=True, slots=True)
class Source:
    """A relation in a FROM. `names` are its alias, or its name with that of its schema."""

    number: int
    names: tuple[str, ...]
    relation: Relation

    def cell(self, name: str) -> Cell | None:
        """The column of this name."""
        place = self.relation.place(name)
        return None if place is None else (self.number, place)


@dataclass(eq=False, slots=True)
class Scope:
    """A select's own names and, by way of `outer`, those of the selects around it.

    `merged` are the columns that `using` makes one of two. `hidden` are the second ones, which `*` leaves out.
    """

    outer: Scope | None = None
    sources: list[Source] = field(default_factory=list)
    rows: Rows = field(default_factory=Rows)
    merged: dict[str, tuple[Cell, ...]] = field(default_factory=dict)
    hidden: set[Cell] = field(default_factory=set)
    aliases: dict[str, exp.Expr] = field(default_factory=dict)
    windows: dict[str, exp.Window] = field(default_factory=dict)

    def value(self, node: exp.Expr | None) -> Value | None:
        """The column that an expression is; None for any other, or where that is not certain."""
        match node:
            case exp.Paren() | exp.Alias():
                return self.value(node.this)
            case exp.Cast(this=inner) if node.to.this in SAME_VALUE:
                value = self.value(inner)
                return value and (
                    Value(value.scope, value.cells, value.tags & {PROFILE}) if PROFILE in value.tags else None
                )
            case exp.Coalesce():
                return self._first_of([self.value(part) for part in (node.this, *node.expressions)])
            case exp.Column() if not isinstance(node.this, exp.Star):
                return self._column(node)
        return None

    def _first_of(self, values: list[Value | None]) -> Value | None:
        known = [value for value in values if value is not None]
        tags = frozenset.intersection(*(value.tags for value in known)) if known else UNTAGGED
        if len(known) < len(values) or not tags or any(value.scope is not known[0].scope for value in known):
            return None
        cells = tuple(dict.fromkeys(cell for value in known for cell in value.cells))
        return Value(known[0].scope, cells, tags)

    def _column(self, node: exp.Column) -> Value | None:
        name, table, schema = node.name.lower(), node.table.lower(), node.db.lower()
        if not table:
            return self._bare(name)
        scope: Scope | None = self
        while scope is not None:
            wanted = (table, schema) if schema else (table,)
            found = [source for source in scope.sources if source.names[: len(wanted)] == wanted]
            if len(found) == 1:
                cell = found[0].cell(name)
                return scope.of((cell,)) if cell else None
            if found or any(source.cell(table) or source.relation.open for source in scope.sources):
                return None  # of two tables of this name one, or a field of a struct
            scope = scope.outer
        return None

    def _bare(self, name: str) -> Value | None:
        if name in self.merged:
            return self.of(self.merged[name])
        found = [cell for source in self.sources if (cell := source.cell(name)) and cell not in self.hidden]
        if found:
            return self.of((found[0],)) if len(found) == 1 else None
        if any(source.relation.open for source in self.sources):
            return None
        if name in self.aliases:
            alias = self.aliases.pop(name)  # it may name itself
            try:
                return self.value(alias)
            finally:
                self.aliases[name] = alias
        return self.outer._bare(name) if self.outer is not None else None

    def of(self, cells: tuple[Cell, ...]) -> Value:
        """These cells with what all of them tell."""
        return Value(self, cells, frozenset.intersection(*(self.rows.tags.get(cell, UNTAGGED) for cell in cells)))

    def keys(self, nodes: Iterable[exp.Expr]) -> set[Cell]:
        """The columns among these expressions that tell something of this select's own rows."""
        values = (self.value(node) for node in nodes)
        return {cell for value in values if value and value.scope is self and value.tags for cell in value.cells}

    def selected(self, items: Iterable[exp.Expr]) -> tuple[list[tuple[str | None, Value | None]], bool]:
        """The columns of a select list, and whether there may be more than could be told."""
        columns: list[tuple[str | None, Value | None]] = []
        for item in items:
            star = item.this if isinstance(item, exp.Column) else item
            if isinstance(star, exp.Star):
                table = item.table.lower() if isinstance(item, exp.Column) else None
                named = [source for source in self.sources if table in (None, source.names[0])]
                columns += self._all(named, star, whole=table is None)
                if star.args.get("ilike") or (table and len(named) != 1) or any(s.relation.open for s in named):
                    return columns, True
            elif _spreads(item):
                return columns, True
            else:
                columns.append((_name(item), self.value(item)))
        return columns, False

    def _all(self, sources: list[Source], star: exp.Star, whole: bool) -> Iterator[tuple[str | None, Value | None]]:
        left_out = {part.name.lower() for part in star.args.get("except_") or ()}
        replaced = {part.alias.lower(): part.this for part in star.args.get("replace") or ()}
        renamed = {part.this.name.lower(): part.alias.lower() for part in star.args.get("rename") or ()}
        for source in sources:
            for place, column in enumerate(source.relation.columns):
                cell, name = (source.number, place), column.name
                if name in left_out or (whole and cell in self.hidden):
                    continue
                value = self.of(self.merged.get(name, (cell,)) if name and whole else (cell,))
                yield (
                    renamed.get(name, name) if name else None,
                    self.value(replaced[name]) if name in replaced else value,
                )


def _name(item: exp.Expr) -> str | None:
    return item.output_name.lower() or None if isinstance(item, exp.Alias | exp.Column) else None


def _spreads(item: exp.Expr) -> bool:
    """Whether one item may become several columns: `unnest` of a struct, or names by a pattern."""
    bare = item.unalias().unnest()
    if isinstance(bare, exp.Explode | exp.ExplodeOuter | exp.Posexplode | exp.Unnest):
        return True
    if isinstance(bare, exp.Anonymous) and bare.name.lower() == "unnest":
        return True
    return any(
        isinstance(node, exp.Columns | exp.Star) or (isinstance(node, exp.Anonymous) and node.name.lower() == "columns")
        for node in item.walk(prune=lambda node: isinstance(node, exp.Count | exp.Query))
    )


def named(columns: Iterable[tuple[str | None, Value | None]], scope: Scope) -> tuple[Out, ...]:
    """Selected columns, as seen from outside."""
    return tuple(
        Out(name, value.tags if value is not None and value.scope is scope else UNTAGGED) for name, value in columns
    )
