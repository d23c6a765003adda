"""Whose the rows of a relation are, as far as its SQL says, and what joins and set operations make of that.

A relation is *fixed* where its rows are the same for everybody, and *local* where each row belongs to one profile, or
to nobody, and is there whenever that profile's source rows are. A *tag* says what a column tells of the row's profile:
`PROFILE` that its value is the profile, the name of a table that its value is a key of that table, whose row has the
same profile. A tagged column may be null. A *cover* is a set of columns that are all null only in nobody's rows: rows
that agree in a cover belong to the same profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import TypeAlias

from sqlglot import exp

PROFILE = "profile_id"

MANY = 16
"""Covers beyond so many are forgotten, which refuses more and accepts nothing wrong."""

Cell: TypeAlias = tuple[int, int]
"""A column of a relation in a FROM: which relation, and which of its columns."""

Tags: TypeAlias = frozenset[str]
UNTAGGED: Tags = frozenset()


class NotLocalError(Exception):
    """What a continuous model may not say: the place in its SQL, and the mend."""

    def __init__(self, node: exp.Expr | None, message: str, mend: str) -> None:
        super().__init__(message)
        self.node, self.message, self.mend = node, message, mend


@dataclass(frozen=True, slots=True)
class Out:
    """A column of a relation. `name` is None where DuckDB makes one up."""

    name: str | None
    tags: Tags = UNTAGGED


@dataclass(frozen=True, slots=True)
class Relation:
    """What a query gives. `covers` hold places of columns. An `open` one may have more columns than these."""

    local: bool
    columns: tuple[Out, ...] = ()
    covers: frozenset[frozenset[int]] = frozenset()
    open: bool = False

    def place(self, name: str) -> int | None:
        """Where the column of this name is; of several the first, as in DuckDB."""
        return next((n for n, column in enumerate(self.columns) if column.name == name), None)

    def renamed(self, names: Sequence[str | None]) -> Relation:
        """With other names for the first columns, as in `as t(a, b)`."""
        if len(names) > len(self.columns) and not self.open:
            return Relation(self.local, open=True)
        columns = [Out(name, column.tags) for name, column in zip(names, self.columns, strict=False)]
        columns += self.columns[len(names) :] or [Out(name) for name in names[len(columns) :]]
        return Relation(self.local, tuple(columns), self.covers, self.open)


def distinct_names(columns: Iterable[Out]) -> tuple[Out, ...]:
    """Columns as they are seen from outside: DuckDB numbers a name that comes again, and may meet one that is there."""
    made: list[Out] = []
    times: dict[str, int] = {}
    for column in columns:
        name = column.name
        if name is not None:
            times[name] = times.get(name, -1) + 1
            name = f"{name}_{times[name]}" if times[name] else name
        made.append(Out(name, column.tags))
    names = [column.name for column in made]
    return tuple(c if c.name is None or names.count(c.name) == 1 else Out(c.name) for c in made)


@dataclass(frozen=True, slots=True)
class Rows:
    """What a FROM gives so far."""

    local: bool = False
    tags: Mapping[Cell, Tags] = field(default_factory=dict)
    covers: frozenset[frozenset[Cell]] = frozenset()

    def covered(self, cells: Iterable[Cell]) -> bool:
        """Whether rows that agree in these columns belong to the same profile."""
        known = set(cells)
        return any(cover <= known for cover in self.covers)

    def within(self, cells: Iterable[Cell]) -> Rows:
        """With those covers alone that consist of these columns."""
        known = set(cells)
        return Rows(self.local, self.tags, frozenset(cover for cover in self.covers if cover <= known))


Pair: TypeAlias = tuple[tuple[Cell, ...], tuple[Cell, ...]]
"""Columns left and right whose equality means the same profile."""


def rows_of(relation: Relation, number: int) -> Rows:
    """A relation as the first one of a FROM."""
    tags = {(number, n): column.tags for n, column in enumerate(relation.columns) if column.tags}
    covers = frozenset(frozenset((number, n) for n in cover) for cover in relation.covers)
    return Rows(relation.local, tags, covers)


def met(left: Rows, right: Rows, side: str, pairs: Sequence[Pair]) -> Rows | None:
    """The rows of a join; None where they may depend on whose rows are looked at."""
    if not left.local and not right.local:
        return Rows(tags={**left.tags, **right.tags})
    if side in ("SEMI", "ANTI"):
        return left if left.local and (pairs or not right.local) else None
    if left.local and right.local:
        return _same_profile(left, right, side, pairs) if pairs else None
    if side == "FULL" or side == ("LEFT" if right.local else "RIGHT"):
        return None
    return left if left.local else right


def _same_profile(left: Rows, right: Rows, side: str, pairs: Sequence[Pair]) -> Rows:
    tags = {**left.tags, **right.tags}
    match side:
        case "LEFT":
            covers = left.covers
        case "RIGHT":
            covers = right.covers
        case "FULL":
            covers = frozenset(islice((a | b for a in left.covers for b in right.covers), MANY))
        case _:
            covers = left.covers | right.covers | {frozenset(cells) for pair in pairs for cells in pair}
    return Rows(True, tags, covers)


def chosen(covers: Iterable[frozenset[Cell]], cells: Sequence[tuple[Cell, ...]]) -> frozenset[frozenset[int]]:
    """Covers as places of selected columns, each given by the cells that it is made of."""

    def found() -> Iterator[frozenset[int]]:
        for cover in covers:
            places = [[n for n, made_of in enumerate(cells) if cell in made_of] for cell in cover]
            yield from map(frozenset, islice(product(*places), MANY))

    return frozenset(islice(found(), MANY))


def stacked(left: Relation, right: Relation, by_name: bool) -> Relation:
    """A union of two relations of the same kind, as it stands before duplicates go."""
    if by_name:
        return _by_name(left, right)
    pairs = zip(left.columns, right.columns, strict=False)
    columns = tuple(Out(a.name, a.tags & b.tags) for a, b in pairs)
    return _both(left, right, columns)


def _by_name(left: Relation, right: Relation) -> Relation:
    """Columns find each other by name; one that a side lacks is null there."""
    names = list(dict.fromkeys(column.name for column in (*left.columns, *right.columns)))
    sides = []
    for side in (left, right):
        where = [side.place(name) if name is not None else None for name in names]
        columns = tuple(
            Out(name, side.columns[n].tags) if n is not None else Out(name)
            for name, n in zip(names, where, strict=True)
        )
        covers = frozenset(frozenset(where.index(n) for n in cover) for cover in side.covers if cover <= {*where})
        sides.append((Relation(side.local, columns, covers, side.open or None in names), where))
    (first, here), (second, there) = sides
    columns = tuple(
        Out(a.name, a.tags & b.tags if m is not None and n is not None else a.tags | b.tags)
        for a, b, m, n in zip(first.columns, second.columns, here, there, strict=True)
    )
    if first.open or second.open:
        return Relation(left.local, open=True)
    return _both(first, second, columns)


def _both(left: Relation, right: Relation, columns: tuple[Out, ...]) -> Relation:
    tagged = {n for n, column in enumerate(columns) if column.tags}
    either = (a | b for a in left.covers for b in right.covers)
    covers = frozenset(islice((cover for cover in either if cover <= tagged), MANY))
    return Relation(left.local, columns, covers, left.open or right.open or len(left.columns) != len(right.columns))
