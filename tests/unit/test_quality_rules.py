"""ringup's own expectations go by the last runs and by the clock."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from transforms.quality_report import ColumnStats, Failure, ModelReport, ModelStats, Report
from transforms.quality_rules import OWN, Asked, Deciles, Nulls, Recent, RowCount

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def run(rows: int, nulls: int = 0, deciles: tuple[float, ...] | None = None) -> ModelStats:
    return ModelStats("customers", NOW, rows, {"spend": ColumnStats(nulls, deciles=deciles)})


def asked(rule: RowCount | Nulls | Deciles | Recent, *history: ModelStats) -> Asked:
    found = rule.asked(history, NOW)
    assert found is not None
    return found


@pytest.mark.parametrize("rule", [RowCount(), Nulls(column="spend"), Deciles(column="spend")])
def test_without_history_nothing_is_asked(rule: RowCount | Nulls | Deciles) -> None:
    """The first run has nothing to go by."""
    assert rule.asked([], NOW) is None


def test_rows_are_held_against_the_median_of_the_last_runs() -> None:
    """One odd run among them does not matter, nor those before them."""
    history = [run(9), run(100), run(7000), run(110)]
    assert asked(RowCount(runs=3, tolerance=0.1), *history).kwargs == {"min_value": 99, "max_value": 121}


def test_few_rows_may_differ_by_some() -> None:
    """A segment of three customers may have five the next day."""
    assert asked(RowCount(slack=5), run(3)).kwargs == {"min_value": 0, "max_value": 8}


def test_nulls_are_held_against_their_share() -> None:
    """As many more nulls as the tolerance says; a run without rows says nothing."""
    kwargs = asked(Nulls(column="spend", tolerance=0.05), run(0), run(200, nulls=20)).kwargs
    assert kwargs["min_value"] == pytest.approx(0.85)
    assert kwargs["max_value"] == pytest.approx(0.95)


def test_deciles_may_move_by_a_share_of_their_span() -> None:
    """Each has bounds of its own; a column that always has one value goes by that value."""
    ten = tuple(float(n) for n in range(10, 100, 10))
    bounds = asked(Deciles(column="spend", tolerance=0.1), run(9, deciles=ten)).kwargs["quantile_ranges"]
    assert bounds["value_ranges"][0] == [2.0, 18.0]
    same = asked(Deciles(column="spend", tolerance=0.1), run(9, deciles=(50.0,) * 9)).kwargs["quantile_ranges"]
    assert same["value_ranges"][4] == [45.0, 55.0]


def test_a_column_that_is_new_has_no_history() -> None:
    """Runs that did not have it yet do not count."""
    assert Deciles(column="visits").asked([run(9)], NOW) is None


def test_freshness_goes_by_the_runs_clock() -> None:
    """The bound is the run's time less what is allowed."""
    found = asked(Recent(column="at", within=timedelta(hours=26)))
    assert found.kwargs["min_value"] == "2026-02-28T22:00:00+00:00"
    assert found.expected == "the newest `at` within 26h of 2026-03-02 00:00 UTC"


def test_every_rule_says_that_it_is_ringups() -> None:
    """None of them has a name of Great Expectations'."""
    assert all(name.startswith("expect_") for name in OWN)


def test_a_report_survives_json() -> None:
    """What is read is what was written; only what is critical keeps a model back."""
    warned = Failure("expect_x", "warning", "x", "y", ("1", "2"))
    report = Report((ModelReport("a", (warned,), run(5, 1, (1.0,) * 9)), ModelReport("b", (), None)))
    assert Report.read(orjson.loads(orjson.dumps(asdict(report)))) == report
    assert report.ok
    assert str(warned) == "x: y, such as 1; 2"
    assert not ModelReport("a", (Failure("expect_x", "critical", "x", "y"),), None).ok
