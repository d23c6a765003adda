"""The clock in a model's SQL, and what can be said of intervals from the way they are written."""

from __future__ import annotations

from enum import Enum

from sqlglot import exp
from sqlglot.expressions import Expr as Expression


class Span(Enum):
    """How an interval's length is known: always the same, or one that depends on the month."""

    EXACT = "exact"
    CALENDAR = "calendar"


CALENDAR = {"MONTH", "QUARTER", "YEAR", "DECADE", "CENTURY", "MILLENNIUM"}
EXACT = {"MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK"}
CHOICES = (exp.Greatest, exp.Least, exp.Coalesce, exp.Case, exp.If, exp.Nullif)


def is_clock(e: Expression | None) -> bool:
    """Whether it is what `as_of()` stands for: the one value of the table `ringup.clock`."""
    if not isinstance(e, exp.Subquery) or not isinstance(e.this, exp.Select):
        return False
    source = e.this.args.get("from_")
    table = source.this if source is not None else None
    return isinstance(table, exp.Table) and (table.db, table.name) == ("ringup", "clock")


def has_clock(e: Expression) -> bool:
    """Whether the clock is anywhere in it."""
    return any(is_clock(part) for part in e.find_all(exp.Subquery))


def is_number(e: Expression) -> bool:
    """Whether it is plainly a number: literals and sums of them."""
    if isinstance(e, exp.Literal):
        return not e.is_string
    if isinstance(e, exp.Binary):
        return is_number(e.this) and is_number(e.expression)
    return isinstance(e, exp.Paren | exp.Neg) and is_number(e.this)


def span_of(e: Expression) -> Span | None:
    """What is known of an interval; None where it may be no interval, or one of any kind."""
    if isinstance(e, exp.Paren | exp.Neg):
        return span_of(e.this)
    if isinstance(e, exp.Interval):
        unit = e.text("unit").upper().rstrip("S")
        unit = {"CENTURIE": "CENTURY", "MILLENNIA": "MILLENNIUM"}.get(unit, unit)
        return Span.CALENDAR if unit in CALENDAR else Span.EXACT if unit in EXACT else None
    name = e.name.upper() if isinstance(e, exp.Anonymous) else e.sql_name() if isinstance(e, exp.Func) else ""
    if name.startswith("TO_") and isinstance(e, exp.Func):
        unit = name.removeprefix("TO_").removesuffix("S")
        return Span.CALENDAR if unit in CALENDAR else Span.EXACT if unit in EXACT else None
    if isinstance(e, exp.Mul | exp.Div):
        spans = {span_of(e.this), span_of(e.expression)} - {None}
        times_whole = (
            isinstance(e, exp.Mul) and "." not in f"{e.this}{e.expression}" and not list(e.find_all(exp.Column))
        )
        return spans.pop() if len(spans) == 1 and (spans == {Span.EXACT} or times_whole) else None
    if isinstance(e, exp.Add | exp.Sub):
        return _common(span_of(e.this), span_of(e.expression))
    if isinstance(e, CHOICES):
        return _common(*(span_of(value) for value in _values(e)))
    return None


def _values(e: Expression) -> list[Expression]:
    """The values that a function gives one of."""
    if isinstance(e, exp.Case | exp.If):
        ifs = e.args["ifs"] if isinstance(e, exp.Case) else [e]
        last = e.args.get("default") if isinstance(e, exp.Case) else e.args.get("false")
        return [*(branch.args["true"] for branch in ifs), *([last] if last is not None else [])]
    return [e.this, *e.expressions]


def _common(*spans: Span | None) -> Span | None:
    """Exact if all are; a sum or choice of months and days is neither."""
    return spans[0] if len(set(spans)) == 1 else None
