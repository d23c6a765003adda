"""Random SQL over a small shop of whole numbers: much of it keeps customers apart, and much of it does not.

Whatever it says has one answer, be the rows in any order: windows and limits are ordered by all columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

SHOP = {
    '"scope"."shop"."orders"': ("order_id", "x", "y", "profile_id"),
    '"scope"."shop"."lines"': ("order_id", "item", "y", "profile_id"),
    '"scope"."shop"."items"': ("item", "x", "price"),
}


@dataclass(slots=True)
class Author:
    """Writes queries. `relations` are what a FROM may name, with their columns.

    `careful` is how likely each part of a query keeps customers apart.
    """

    random: Random
    relations: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(SHOP))
    careful: float = 0.85
    aliases: int = 0

    def query(self, depth: int = 2, outer: tuple[str, ...] = ()) -> tuple[str, tuple[str, ...]]:
        """A query and its columns; `outer` are columns of the queries around it."""
        if depth and self._chance(0.15):
            return self._stack(depth, outer)
        if depth and self._chance(0.15):
            name = self._alias()
            inner, columns = self.query(depth - 1)
            known = self.relations
            self.relations = {**known, name: columns}
            sql, made = self._select(depth - 1, outer, first=name if self._chance(0.7) else None)
            self.relations = known
            return f"with {name} as ({inner}) {sql}", made
        return self._select(depth, outer)

    def _stack(self, depth: int, outer: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        width = self.random.randint(1, 2)
        sides = [self._select(depth - 1, outer, width=width) for _ in range(2)]
        word = self._one("union all", "union all", "union", "except", "except all", "intersect", "union all by name")
        columns = tuple(dict.fromkeys(sides[0][1] + sides[1][1])) if "name" in word else sides[0][1]
        return f"({sides[0][0]}) {word} ({sides[1][0]})", columns

    def _select(
        self, depth: int, outer: tuple[str, ...], width: int | None = None, first: str | None = None
    ) -> tuple[str, tuple[str, ...]]:
        text, columns, free = self._from(depth, outer, first)
        where = self._conditions(depth, columns, outer, 2)
        if outer and self._chance(0.7 if free else self.careful):
            own = [c for c in columns if c.endswith("profile_id")]
            theirs = [c for c in outer if c.endswith("profile_id")]
            if own and theirs:
                where.append(f"{self._one(*own)} = {self._one(*theirs)}")
        if where:
            text += " where " + " and ".join(where)
        return self._finish(text, columns, depth, outer, width)

    def _finish(
        self, text: str, columns: tuple[str, ...], depth: int, outer: tuple[str, ...], width: int | None
    ) -> tuple[str, tuple[str, ...]]:
        profiles = [c for c in columns if c.endswith("profile_id")]
        picked = [self._profile(profiles)] if profiles and self._chance(self.careful) else []
        picked += self.random.sample(columns, min(len(columns), width or self.random.randint(1, 2)))
        picked = list(dict.fromkeys(picked))[: width or 4]
        names = list(dict.fromkeys(c.rpartition(".")[2] for c in picked))
        if len(names) < len(picked) or any("coalesce" in c for c in picked):
            names = [("profile_id" if n == 0 and "profile_id" in c else f"c{n}") for n, c in enumerate(picked)]
        items = [f"{c} as {name}" for c, name in zip(picked, names, strict=True)]
        every = ", ".join(columns)
        if self._chance(0.2):
            aggregate = self._one("count(*)", "sum({})", "max({})", "min({})").format(self._one(*columns))
            names.append("n")
            items.append(f"{aggregate} as n")
            keys = self._one(
                ", ".join(picked),
                "all",
                ", ".join(str(n + 1) for n in range(len(picked))),
                f"rollup ({', '.join(picked)})",
                f"grouping sets (({', '.join(picked)}), ({picked[0]}))",
                f"{picked[0]}, cube ({', '.join(picked)})",
            )
            sql = f"select {', '.join(items)} {text} group by {keys}"
            if self._chance(0.3):
                sql += f" having {self._one('count(*) > 1', 'max(' + self._one(*columns) + ') > 1')}"
            return (sql, tuple(names)) if self._chance(0.9) else (f"select {aggregate} as n {text}", ("n",))
        if self._chance(0.2):
            part = (
                f"partition by {self._one(*profiles)}"
                if profiles and self._chance(self.careful)
                else self._one("", f"partition by {self._one(*columns)}")
            )
            call = self._one("row_number()", "ntile(2)", "count(*)", f"sum({self._one(*columns)})", "rank()")
            window = f"{call} over ({part} order by {every})"
            if self._chance(0.3):
                text += f" qualify {window} <= 2"
            else:
                names.append("w")
                items.append(f"{window} as w")
        elif self._chance(0.15) and depth:
            inner, inside = self.query(0, columns)
            names.append("s")
            items.append(f"(select {self._one('max', 'count', 'sum')}({self._one(*inside)}) from ({inner})) as s")
        distinct = self._one("distinct ", f"distinct on ({self._one(*names)}) ") if self._chance(0.12) else ""
        if " on (" in distinct:
            text += f" order by {', '.join(map(str, range(1, len(items) + 1)))}, {every}"
        sql = f"select {distinct}{', '.join(items)} {text}"
        if self._chance(0.1 if outer else 0.04) and "order by all" not in sql and " on (" not in distinct:
            sql += f" order by all limit {self._one('1', '2')}"
        return sql, tuple(names)

    def _profile(self, profiles: list[str]) -> str:
        if len(profiles) > 1 and self._chance(0.15):
            return f"coalesce({', '.join(self.random.sample(profiles, 2))})"
        return profiles[0] if self._chance(0.7) else self._one(*profiles)

    def _from(self, depth: int, outer: tuple[str, ...], first: str | None) -> tuple[str, tuple[str, ...], bool]:
        alias = self._alias()
        text, columns = self._relation(alias, depth, outer, first)
        sql, free = f"from {text} as {alias}", not any(c.endswith("profile_id") for c in columns)
        for _ in range(int(self._one("0", "0", "1", "1", "2"))):
            other = self._alias()
            text, more = self._relation(other, depth, (*outer, *columns) if self._chance(0.2) else (), None)
            how = self._one(
                "join",
                "join",
                "join",
                "left join",
                "left join",
                "full join",
                "right join",
                ",",
                "cross join",
                "semi join",
                "anti join",
            )
            sql += f"{how} {text} as {other}" if how == "," else f" {how} {text} as {other}"
            shared = {c.rpartition(".")[2] for c in columns} & {c.rpartition(".")[2] for c in more}
            if how not in (",", "cross join"):
                if shared and self._chance(0.15) and len({c.rpartition(".")[2] for c in columns}) == len(columns):
                    names = (
                        ["profile_id"] if "profile_id" in shared and self._chance(0.8) else [self._one(*sorted(shared))]
                    )
                    sql += f" using ({', '.join(names)})"
                else:
                    sql += f" on {self._on(columns, more, depth, outer)}"
            if how not in ("semi join", "anti join"):
                columns += more
        return sql, columns, free

    def _on(self, left: tuple[str, ...], right: tuple[str, ...], depth: int, outer: tuple[str, ...]) -> str:
        parts = []
        for name, likely in (("profile_id", self.careful), ("order_id", 0.3)):
            mine, theirs = ([c for c in side if c.endswith(name)] for side in (left, right))
            if mine and theirs and self._chance(likely):
                sides = [self._one(*mine), self._one(*theirs)]
                self.random.shuffle(sides)
                parts.append(self._one(" = ", " = ", " = ", " is not distinct from ").join(sides))
        parts += self._conditions(0, (*left, *right), outer, 1)
        return " and ".join(parts) or f"{self._one(*left)} = {self._one(*right)}"

    def _relation(
        self, alias: str, depth: int, outer: tuple[str, ...], named: str | None
    ) -> tuple[str, tuple[str, ...]]:
        if named is None and depth and self._chance(0.3):
            sql, columns = self.query(depth - 1, outer)
            text = f"({sql})"
        else:
            text = named or self._one(*self.relations)
            columns = self.relations[text]
        return text, tuple(f"{alias}.{column}" for column in columns)

    def _conditions(self, depth: int, columns: tuple[str, ...], outer: tuple[str, ...], most: int) -> list[str]:
        return [self._condition(depth, columns, outer) for _ in range(self.random.randint(0, most))]

    def _condition(self, depth: int, columns: tuple[str, ...], outer: tuple[str, ...]) -> str:
        one, other = self._one(*columns), self._one(*columns, *outer)
        if depth and self._chance(0.3):
            sql, inside = self.query(0, columns if self._chance(0.7) else ())
            profile = [c for c in columns if c.endswith("profile_id")]
            if profile and "profile_id" in inside:
                one = self._one(*profile)
            return self._one(
                f"exists ({sql})",
                f"not exists ({sql})",
                f"{one} in (select {self._one(*inside)} from ({sql}))",
                f"{one} in (select {inside[0]} from ({sql}))",
                f"{one} not in (select {inside[0]} from ({sql}))",
                f"{one} < (select max({self._one(*inside)}) from ({sql}))",
                f"{one} = any (select {inside[0]} from ({sql}))",
            )
        simple = self._one(
            f"{one} = {other}",
            f"{one} < {other}",
            f"{one} >= {self._one('0', '1', '2')}",
            f"{one} is not null",
            f"{one} <> {other}",
        )
        return self._one(simple, simple, f"({simple} or {one} is null)", f"not ({simple})")

    def _alias(self) -> str:
        self.aliases += 1
        return f"t{self.aliases}"

    def _chance(self, likely: float) -> bool:
        return self.random.random() < likely

    def _one(self, *values: str) -> str:
        return values[self.random.randrange(len(values))]
