"""ringup's own expectations: what a model has to be like, going by its last runs or by the clock.

Each is turned into one of Great Expectations' own, with the bounds that history gives, so it stands in Data Docs, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ringup.durations import Duration, shown
from transforms.quality_report import ColumnStats, ModelStats

DECILES = tuple(n / 10 for n in range(1, 10))


@dataclass(frozen=True, slots=True)
class Asked:
    """What Great Expectations is asked, and what is expected in words."""

    type: str
    kwargs: Mapping[str, Any]
    expected: str


class Rule(BaseModel):
    """The `kwargs` of an expectation of ringup's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def asked(self, history: Sequence[ModelStats], now: datetime) -> Asked | None:
        """What to ask, by a model's runs so far, the newest last; None as long as there is nothing to go by."""
        raise NotImplementedError


class _ByHistory(Rule):
    runs: Annotated[int, Field(gt=0)] = 7
    """How many of the last published runs count; their median is what is gone by."""

    def _last(self, history: Sequence[ModelStats], column: str) -> list[tuple[ModelStats, ColumnStats]]:
        return [(one, one.columns[column]) for one in history[-self.runs :] if column in one.columns]


class RowCount(_ByHistory):
    """As many rows as in the last runs, or nearly."""

    tolerance: Annotated[float, Field(gt=0)] = 0.3
    """The share of the rows by which the number may differ."""
    slack: Annotated[int, Field(ge=0)] = 0
    """Rows by which the number may differ in any case, for models that are small."""

    def asked(self, history: Sequence[ModelStats], now: datetime) -> Asked | None:
        """The number of rows within bounds."""
        if not history:
            return None
        usual = median(one.rows for one in history[-self.runs :])
        give = max(self.tolerance * usual, self.slack)
        low, high = max(0, round(usual - give)), round(usual + give)
        return Asked(
            "expect_table_row_count_to_be_between",
            {"min_value": low, "max_value": high},
            f"{low} to {high} rows, as the last runs had about {usual:g}",
        )


class Nulls(_ByHistory):
    """As many nulls in a column as in the last runs, by their share, or nearly."""

    column: str
    """The column."""
    tolerance: Annotated[float, Field(gt=0, le=1)] = 0.05
    """By how much the share of nulls may differ: 0.05 is five of a hundred rows."""

    def asked(self, history: Sequence[ModelStats], now: datetime) -> Asked | None:
        """The share of values that are there within bounds."""
        shares = [column.nulls / run.rows for run, column in self._last(history, self.column) if run.rows]
        if not shares:
            return None
        low, high = max(0.0, median(shares) - self.tolerance), min(1.0, median(shares) + self.tolerance)
        return Asked(
            "expect_column_proportion_of_non_null_values_to_be_between",
            {"column": self.column, "min_value": 1 - high, "max_value": 1 - low},
            f"{low:.1%} to {high:.1%} nulls in `{self.column}`, as in the last runs",
        )


class Deciles(_ByHistory):
    """Numbers spread as in the last runs: no decile moves by more than a share of the span between first and last."""

    column: str
    """The column, one of numbers."""
    tolerance: Annotated[float, Field(gt=0)] = 0.2
    """The share of the span from the first decile to the last by which each may move."""

    def asked(self, history: Sequence[ModelStats], now: datetime) -> Asked | None:
        """Each decile within bounds."""
        known = [column.deciles for _, column in self._last(history, self.column) if column.deciles]
        if not known:
            return None
        usual = [median(values) for values in zip(*known, strict=True)]
        give = self.tolerance * ((usual[-1] - usual[0]) or abs(usual[0]))
        ranges = [[value - give, value + give] for value in usual]
        return Asked(
            "expect_column_quantile_values_to_be_between",
            {"column": self.column, "quantile_ranges": {"quantiles": list(DECILES), "value_ranges": ranges}},
            f"deciles of `{self.column}` within {give:.4g} of {_listed(usual)}, as in the last runs",
        )


class Recent(Rule):
    """The newest time of a column is not long ago."""

    column: str
    """The column, one of times."""
    within: Duration
    """How long ago at most."""

    def asked(self, history: Sequence[ModelStats], now: datetime) -> Asked | None:
        """The greatest value not below a time."""
        since: timedelta = self.within
        return Asked(
            "expect_column_max_to_be_between",
            {"column": self.column, "min_value": (now - since).isoformat()},
            f"the newest `{self.column}` within {shown(since)} of {now:%Y-%m-%d %H:%M} UTC",
        )


OWN: Mapping[str, type[Rule]] = {
    "expect_row_count_near_last_runs": RowCount,
    "expect_column_nulls_near_last_runs": Nulls,
    "expect_column_deciles_near_last_runs": Deciles,
    "expect_column_max_to_be_recent": Recent,
}


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
