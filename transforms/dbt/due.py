"""When a model's rows can change with no change of data: due times, as SQL that is derived from the model's own.

Wherever the clock is compared, be it in `where`, `on`, `having`, `qualify`, a `case`, an aggregate's filter or a
column, the select around it is asked once more: for the profile of each of its rows, and the instants at which that
comparison can change. Conditions with the clock in them are left out of `where` and `on`, for a row that they drop
now may count later. Below an aggregate or a window they are as they are now: when one of them changes, that is due
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sqlglot import exp, parse_one
from sqlglot.expressions import Expr as Expression

from transforms.dbt.aggregates import above, grouped, own
from transforms.dbt.instants import Unsolved, solve, sql, step_of, turns
from transforms.dbt.spans import has_clock, is_clock

COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Between)
PROFILE, INSTANTS = "_due_profile", "_due_at"
REDUCED = ("group", "having", "qualify", "distinct", "windows")
LAST = ("order", "limit", "offset", "sample", "distinct")

Binds = Callable[[str], bool]
"""Whether DuckDB can bind a query."""


class Underivable(Exception):
    """No due times follow from a use of the clock: the construct, why, and the how manieth use in the text it is."""

    def __init__(self, construct: str, why: str, number: int) -> None:
        super().__init__(construct, why, number)
        self.construct, self.why, self.number = construct, why, number


def due_queries(text: str, binds: Binds) -> Iterator[str]:
    """For each use of the clock in a model's SQL a query that gives `profile_id` and `due_at`, and rather too many.

    Raises Underivable for the first from which nothing follows.
    """
    tree = _normal(parse_one(text, read="duckdb"))
    uses = sorted((part for part in tree.find_all(exp.Subquery) if is_clock(part)), key=_place)
    for number, use in enumerate(uses):
        part: Expression = use
        try:
            part, instants = _solved(use)
            yield _query(part, instants, binds)
        except Unsolved as why:
            comparison = use.find_ancestor(*COMPARISONS, exp.Select)
            shown = (comparison if isinstance(comparison, COMPARISONS) else part).transform(
                lambda e: exp.func("as_of") if is_clock(e) else e
            )
            raise Underivable(shown.sql("duckdb", normalize_functions="lower"), str(why), number) from why


def _normal(tree: Expression) -> Expression:
    """The same said in one way: `at time zone` for `timezone`; in `having`, `qualify` no names."""
    for called in list(tree.find_all(exp.Anonymous)):
        if called.name.lower() == "timezone" and len(called.expressions) == 2:
            zone, time = called.expressions
            called.replace(exp.AtTimeZone(this=time, zone=zone))
    for select in tree.find_all(exp.Select):
        named = {e.alias.lower(): e.this for e in select.expressions if isinstance(e, exp.Alias)}
        clauses = [select.args[name] for name in ("having", "qualify") if select.args.get(name) is not None]
        for column in [column for clause in clauses for column in clause.find_all(exp.Column)]:
            meant = named.get(column.name.lower())
            if meant is not None and not column.table and not isinstance(meant, exp.Column):
                column.replace(exp.paren(meant.copy()))
    return tree


def _place(use: Expression) -> tuple[int, int]:
    meta = next(part.meta for part in use.find_all(exp.Identifier) if part.name == "as_of")
    return meta.get("line", 0), meta.get("col", 0)


def _solved(use: Expression) -> tuple[Expression, list[Expression]]:
    """The comparison that a clock stands in, or the widest step function, and when its value changes."""
    at: Expression
    step: Expression | None
    comparison: Expression | None
    at, step, comparison = use, None, None
    while (parent := at.parent) is not None and not isinstance(parent, exp.Query):
        at = parent
        if step_of(at) is not None and has_clock(at):
            step = at
        if isinstance(at, COMPARISONS):
            comparison = at
            break
    why = Unsolved("it stands in no comparison")
    if comparison is not None:
        try:
            return comparison, list(dict.fromkeys(_edges(comparison, use)))
        except Unsolved as found:
            why = found
    if step is None:
        raise why
    return step, list(turns(step))


def _edges(comparison: Expression, use: Expression) -> Iterator[Expression]:
    """Where the two sides of a comparison are equal; `between` has three."""
    first = comparison.this
    others = [comparison.args[name] for name in ("expression", "low", "high") if comparison.args.get(name) is not None]
    if not _within(use, first):
        [first], others = [side for side in others if _within(use, side)], [first]
    for other in others:
        if has_clock(other):
            raise Unsolved("the clock is on both sides of it")
        yield from solve(first, other)


def _within(e: Expression, whole: Expression) -> bool:
    """Whether it is a part of this very expression."""
    while e.parent is not None and e is not whole:
        e = e.parent
    return e is whole


def _query(part: Expression, instants: list[Expression], binds: Binds) -> str:
    """The select around `part`, asked for instants; where it has no profile of its own, the select around that."""
    values = instants if above(part) else [_tried(instant) for instant in instants]
    wanted: Expression = exp.Array(expressions=values)
    laterals: list[Expression] = []
    while True:
        home = part.find_ancestor(exp.Select)
        if not isinstance(home, exp.Select) or home.args.get("from_") is None:
            raise Unsolved("no table is read where it stands")
        asked = _asked(home, part, wanted)
        for inner in laterals:
            alias = exp.TableAlias(this=exp.to_identifier("_due_inner"))
            asked = asked.join(exp.Lateral(this=exp.Subquery(this=inner), alias=alias), join_type="cross")
        if (made := _with_profile(home, asked, binds)) is not None:
            return made
        outer = home.parent
        while isinstance(outer, exp.SetOperation):
            outer = outer.parent
        if not isinstance(outer, exp.Subquery | exp.Exists | exp.In) or isinstance(outer.parent, exp.From | exp.Join):
            raise Unsolved("no table with a profile_id is read where it stands")
        laterals = [
            exp.select(INSTANTS).from_(
                exp.Subquery(this=asked, alias=exp.TableAlias(this=exp.to_identifier("_due_rows")))
            )
        ]
        part, wanted = outer, exp.column(INSTANTS, table="_due_inner")


def _tried(instant: Expression) -> Expression:
    """No instant where it cannot be computed: beyond the last year, say. DuckDB tries no subquery, no aggregate."""
    return instant if instant.find(exp.Query) else sql("try(:i)", i=instant)


def _asked(home: exp.Select, part: Expression, wanted: Expression) -> exp.Select:
    """The rows in which `part` is computed, with the instants as a column."""
    asked = home.copy()
    windowed = own(part, exp.Window)
    if above(part):
        if not windowed:
            asked.set("having", None)
        asked.set("qualify", None)
    else:
        _loosen(asked)
        if grouped(home) or any(own(e, exp.Window) for e in asked.expressions):
            asked.set("expressions", [])
        for name in REDUCED:
            asked.set(name, None)
    for name in (*LAST, "with_"):
        asked.set(name, None)
    asked.append("expressions", exp.alias_(wanted.copy(), INSTANTS))
    return asked


def _loosen(asked: exp.Select) -> None:
    """Leave out the conditions that the clock decides; what such a join only looks up is joined."""
    where = asked.args.get("where")
    if where is not None:
        kept = [e for e in _conjuncts(where.this) if not has_clock(e)]
        asked.set("where", exp.Where(this=exp.and_(*kept)) if kept else None)
    for join in asked.args.get("joins") or []:
        on = join.args.get("on")
        if on is not None and has_clock(on):
            kept = [e for e in _conjuncts(on) if not has_clock(e)]
            join.set("on", exp.and_(*kept) if kept else exp.true())
            if join.kind in ("SEMI", "ANTI"):
                join.set("kind", None)
                join.set("side", None)


def _conjuncts(e: Expression) -> list[Expression]:
    e = e.unnest() if isinstance(e, exp.Paren) else e
    return [*_conjuncts(e.this), *_conjuncts(e.expression)] if isinstance(e, exp.And) else [e]


def _with_profile(home: exp.Select, asked: exp.Select, binds: Binds) -> str | None:
    """The query with whose a row is, by the profile_id of all that is read there and has one; None without any."""
    context = _context(home)
    sources = [home.args["from_"].this, *(join.this for join in home.args.get("joins") or [])]

    def whose(columns: list[Expression]) -> Expression:
        profile = columns[0] if len(columns) == 1 else exp.func("coalesce", *columns)
        return exp.func("any_value", profile) if grouped(asked) else profile

    named = (exp.column("profile_id", table=source.alias_or_name, quoted=True) for source in sources)
    found: list[Expression] = [one for one in named if binds(_finished(asked, whose([one]), context))]
    return _finished(asked, whose(found), context) if found else None


def _finished(asked: exp.Select, profile: Expression, context: list[Expression]) -> str:
    rows = asked.copy()
    rows.append("expressions", exp.alias_(profile.copy(), PROFILE))
    made = parse_one(f"select {PROFILE} as profile_id, unnest({INSTANTS}) as due_at from _due_rows", read="duckdb")
    table = made.find(exp.Table)
    assert table is not None
    table.replace(exp.Subquery(this=rows, alias=exp.TableAlias(this=exp.to_identifier("_due_asked"))))
    if context:
        made.set("with_", exp.With(expressions=[cte.copy() for cte in context]))
    return made.sql("duckdb")


def _context(home: Expression) -> list[Expression]:
    """The common table expressions that can be read there, in their order."""
    found: list[Expression] = []
    at: Expression | None = home
    inside: Expression | None = None
    while at is not None:
        if isinstance(at, exp.CTE):
            inside = at
        with_ = at.args.get("with_") if isinstance(at, exp.Query) else None
        if with_ is not None:
            if with_.args.get("recursive") and inside is not None and inside.parent is with_:
                raise Unsolved("it stands in a recursive query")
            before = []
            for cte in with_.expressions:
                if cte is inside:
                    break
                before.append(cte)
            found = [*before, *found]
        at = at.parent
    if len({cte.alias for cte in found}) < len(found):
        raise Unsolved("two queries in its `with` have the same name")
    return found


def due_sql(queries: Iterable[str]) -> str:
    """SQL for the next due time of each profile, of all queries together, after what the clock says."""
    found = "\nunion all\n".join(f"select profile_id, due_at from ({query})" for query in queries)
    return f"""select profile_id, min(due_at) as due_at from (
select profile_id, unnest([due_at, try(due_at + to_microseconds(1))]) as due_at from (
{found}
) where profile_id is not null and isfinite(due_at)
)
where due_at > (select as_of from "scope"."ringup"."clock")
group by profile_id"""
