"""A comparison with the clock, solved for the clock: the instants at which its answer can change.

Too many instants do no harm, as a model is then evaluated once more than it need be; one too few would leave rows as
they were. So no operator is looked at: for all of them the answer changes where both sides are equal, or a microsecond
later. SQL for the instants is made of the model's own expressions, and DuckDB computes them.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp, parse_one
from sqlglot.expressions import Expr as Expression

from transforms.dbt.spans import Span, has_clock, is_clock, is_number, span_of

STEPS: dict[type[Expression], str] = {
    exp.Year: "year",
    exp.Quarter: "quarter",
    exp.Month: "month",
    exp.Week: "day",
    exp.WeekOfYear: "day",
    exp.Day: "day",
    exp.DayOfMonth: "day",
    exp.DayOfWeek: "day",
    exp.DayOfWeekIso: "day",
    exp.DayOfYear: "day",
    exp.Dayname: "day",
    exp.Monthname: "month",
    exp.LastDay: "month",
    exp.Hour: "hour",
    exp.Minute: "minute",
}
"""Functions of a time whose value changes only where such a unit ends."""

UNITS = {"year": "year", "quarter": "quarter", "month": "month", "hour": "hour", "minute": "minute", "day": "day"}
UNITS |= dict.fromkeys(("week", "dow", "isodow", "doy", "dayofweek", "dayofyear", "dayofmonth", "isoyear"), "day")
EPOCHS = (exp.TimeToUnix,)
ROUNDED = range(-3, 3)
"""Microseconds beside a time that was computed of seconds, which are a floating point number."""

CLAMPED = range(-4, 5)
"""Days beside a date that was moved by months: the 31st of one becomes the 28th of another."""


class Unsolved(Exception):
    """No instants follow from an expression; it says why."""


def sql(template: str, **parts: Expression) -> Expression:
    """SQL with an expression in the place of each `:name`."""
    made = parse_one(template, read="duckdb")
    for place in list(made.find_all(exp.Placeholder)):
        place.replace(exp.paren(parts[str(place.this)].copy()))
    return made


def solve(e: Expression, v: Expression) -> Iterator[Expression]:
    """The instants at which `e`, which is made of the clock, may come to or leave the value `v`, which is not."""
    if is_clock(e):
        yield sql("cast(:v as timestamptz)", v=v)
    elif isinstance(e, exp.Paren):
        yield from solve(e.this, v)
    elif isinstance(e, exp.AtTimeZone):
        yield from _local(e, v)
    elif isinstance(e, exp.Cast) and e.is_type("timestamp", "timestamptz"):
        yield from solve(e.this, sql("cast(:v as timestamp)", v=v))
    elif isinstance(e, exp.Cast) and e.is_type("time"):
        yield from solve(e.this, sql("cast(cast(:a as date) + cast(:v as time) as timestamp)", a=e.this, v=v))
        yield from solve(e.this, sql("cast(cast(:a as date) + 1 as timestamp)", a=e.this))
    elif (found := epoch_of(e)) is not None:
        kind = "to_seconds" if shape(found) == "span" else "to_timestamp"
        for instant in solve(found, sql(f"{kind}(cast(:v as double))", v=v)):
            for off in ROUNDED:
                yield sql(f"(:i) + to_microseconds({off})", i=instant)
    elif isinstance(e, exp.Cast | exp.TimestampTrunc | exp.DateTrunc) and (step := step_of(e)) is not None:
        inner, unit = step
        floor = sql(f"date_trunc('{unit}', cast(:v as timestamp))", v=v)
        yield from solve(inner, floor)
        yield from solve(inner, sql(f"(:f) + interval 1 {unit}", f=floor))
    elif isinstance(e, exp.Add | exp.Sub):
        yield from _sum(e, v)
    elif isinstance(e, exp.Mul | exp.Div) and shape(e) == "number" and has_clock(e.this):
        yield from solve(e.this, sql(":v / :b" if isinstance(e, exp.Mul) else ":v * :b", v=v, b=e.expression))
    elif isinstance(e, exp.Mul) and shape(e) == "number":
        yield from solve(e.expression, sql(":v / :b", v=v, b=e.this))
    else:
        raise Unsolved("it does not grow evenly with the clock")


def turns(e: Expression) -> Iterator[Expression]:
    """The instants at which a step function of the clock, such as its date or its hour, has its next value."""
    step = step_of(e)
    assert step is not None
    inner, unit = step
    if any(span_of(part) is Span.CALENDAR for part in inner.find_all(exp.Interval)):
        raise Unsolved("months are of different lengths")
    return solve(inner, sql(f"date_trunc('{unit}', cast(:a as timestamp)) + interval 1 {unit}", a=inner))


def step_of(e: Expression) -> tuple[Expression, str] | None:
    """The argument of a step function and the unit at whose ends it changes; None for any other expression."""
    unit: str | None
    if isinstance(e, exp.Cast):
        return (e.this, "day") if e.is_type("date") else None
    if isinstance(e, exp.TimestampTrunc | exp.DateTrunc):
        unit = e.text("unit").lower()
        return (e.this, unit) if unit in {*UNITS.values(), "week", "second"} else None
    if isinstance(e, exp.DateDiff):
        unit = "day" if (named := e.text("unit").lower()) == "week" else UNITS.get(named)
        inner = e.this if has_clock(e.this) else e.expression
        return (inner, unit) if unit else None
    if isinstance(e, exp.Extract):
        inner, unit = e.expression, UNITS.get(e.name.lower())
        return (inner, unit) if unit and shape(inner) != "span" else None
    if isinstance(e, exp.Anonymous) and e.name.lower() in ("date_part", "datepart") and len(e.expressions) == 2:
        unit, inner = UNITS.get(e.expressions[0].name.lower()), e.expressions[1]
        return (inner, unit) if unit and shape(inner) != "span" else None
    unit = STEPS.get(type(e))
    return (e.this, unit) if unit and shape(e.this) != "span" else None


def epoch_of(e: Expression) -> Expression | None:
    """The argument of `epoch`, however it is written."""
    found: Expression | None = None
    if isinstance(e, EPOCHS):
        found = e.this
    elif isinstance(e, exp.Extract) and e.name.lower() == "epoch":
        found = e.expression
    elif isinstance(e, exp.Anonymous) and e.name.lower() in ("epoch", "date_part", "datepart"):
        named = e.name.lower() == "epoch" or e.expressions[0].name.lower() == "epoch"
        found = e.expressions[-1] if named else None
    return found


def shape(e: Expression) -> str:
    """What an expression with the clock in it is: an instant, a local time, a date, a span between times, a number."""
    if is_clock(e):
        return "instant"
    if isinstance(e, exp.Paren):
        return shape(e.this)
    if isinstance(e, exp.AtTimeZone):
        return "local" if shape(e.this) == "instant" else "instant"
    if isinstance(e, exp.Cast):
        return {"DATE": "date", "TIMESTAMPTZ": "instant", "TIMESTAMP": "local"}.get(e.to.this.name, "number")
    if isinstance(e, exp.TimestampTrunc | exp.DateTrunc):
        return "local" if shape(e.this) == "date" else shape(e.this)
    if isinstance(e, exp.Add | exp.Sub):
        mine, other = (e.this, e.expression) if has_clock(e.this) else (e.expression, e.this)
        kind = shape(mine)
        if kind == "date":
            return "local" if span_of(other) else "date" if is_number(other) else "number"
        between = isinstance(e, exp.Sub) and kind in ("instant", "local") and not span_of(other)
        return "span" if between else kind
    return "number"


def _sum(e: Expression, v: Expression) -> Iterator[Expression]:
    """`a + b`, `a - b` and `b - a`, where `a` has the clock."""
    if has_clock(e.this) and has_clock(e.expression):
        raise Unsolved("the clock is in it twice")
    first = has_clock(e.this)
    a, b = (e.this, e.expression) if first else (e.expression, e.this)
    kind, span = shape(a), span_of(b)
    minus = isinstance(e, exp.Sub)
    if kind == "date" and is_number(b) and (first or not minus):
        b, span = sql("to_days(cast(:b as integer))", b=b), Span.EXACT
    if kind in ("instant", "local", "span") and not span and not (minus and span_of(v) is Span.EXACT):
        raise Unsolved("the length of an interval does not show")
    if kind == "span" and span is not Span.EXACT:
        raise Unsolved("months are of different lengths")
    goal = sql(":b - :v", b=b, v=v) if minus and not first else sql(":v + :b" if minus else ":v - :b", v=v, b=b)
    if span is not Span.CALENDAR:
        yield from solve(a, goal)
        return
    for day in CLAMPED:
        moved = sql(f"cast(:goal as timestamp) + to_days({day})", goal=goal)
        yield from solve(a, moved)
        yield from solve(a, sql("date_trunc('day', :moved)", moved=moved))


def _local(e: Expression, v: Expression) -> Iterator[Expression]:
    """A local time, by the offset of the day before, and of the day after.

    Where clocks are put forward or back, that is at a full hour: a value that they skip or show twice is passed, too,
    when they come to that hour by the one offset, or have been put back to it by the other.
    """
    if shape(e.this) != "instant":
        raise Unsolved("a local time is made an instant again")
    zone = e.args["zone"]
    local = sql("cast(:v as timestamp)", v=v)
    hour = sql("date_trunc('hour', :v)", v=local)
    for value in (local, hour):
        at = sql("(:v) at time zone :zone", v=value, zone=zone)
        for day in (-1, 1):
            near = sql(f"(:at) + to_days({day})", at=at)
            offset = sql("((:n) at time zone :zone) - ((:n) at time zone 'UTC')", n=near, zone=zone)
            yield from solve(e.this, sql("((:v) - (:offset)) at time zone 'UTC'", v=value, offset=offset))
