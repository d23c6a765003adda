"""Suites of expectations are read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringup.errors import ConfigError
from tests.house import ROOT
from transforms.quality_suites import read_suites


def written(folder: Path, text: str, name: str = "customers.yml") -> Path:
    (folder / "expectations").mkdir(exist_ok=True)
    (folder / "expectations" / name).write_text(text)
    return folder


def test_the_reference_project_has_suites() -> None:
    """Each of its suites can be read and is of a model that is there."""
    suites = read_suites(ROOT / "dbt_project")
    assert {suite.model for suite in suites} == {
        "champions",
        "customers",
        "high_value",
        "lapsing",
        "near_next_tier",
        "rfm",
    }
    assert all(list((ROOT / "dbt_project" / "models").rglob(f"{suite.model}.sql")) for suite in suites)


def test_a_project_without_suites_has_none(tmp_path: Path) -> None:
    """No folder, no suites."""
    assert read_suites(tmp_path) == ()


@pytest.mark.parametrize(
    ("text", "where", "mend"),
    [
        ("{}", "expectations", "expectations"),
        ("expectations: []", "expectations", "list"),
        ("expectations: [{kwargs: {column: a}}]", "expectations.0.type", "type"),
        ("expectations: [{type: expect_column_to_exist, kwargs: {column: a}, mostly: 1}]", "expectations.0.mostly", ""),
        ("expectations: [{type: expect_column_to_exists}]", "expectations.0.type", "`expect_column_to_exist`"),
        ("expectations: [{type: expect_column_to_exist, kwargs: {colum: a}}]", "kwargs.colum", "`column`"),
        ("expectations: [{type: expect_column_to_exist}]", "kwargs.column", "column"),
        ("expectations: [{type: expect_column_to_exist, kwargs: {column: a}, severity: bad}]", "severity", "critical"),
        ("expectations: [{type: expect_row_count_near_last_runs, kwargs: {tolerence: 1}}]", "tolerence", "`tolerance`"),
        ("expectations: [{type: expect_row_count_near_last_runs, kwargs: {runs: 0}}]", "kwargs.runs", "runs"),
        ("expectations: [{type: expect_column_max_to_be_recent, kwargs: {column: a, within: 3}}]", "within", "2h"),
    ],
)
def test_a_mistake_is_told_with_file_field_and_mend(tmp_path: Path, text: str, where: str, mend: str) -> None:
    """What is misspelt, missing or of no use is an error before anything runs."""
    with pytest.raises(ConfigError) as error:
        read_suites(written(tmp_path, text))
    assert str(error.value.where).startswith("customers.yml: expectations")
    assert str(error.value.where).endswith(where)
    assert mend in error.value.mend


def test_a_model_has_one_file(tmp_path: Path) -> None:
    """Two files of one model could contradict each other."""
    one = "expectations: [{type: expect_column_to_exist, kwargs: {column: a}}]"
    written(tmp_path, '{"expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "a"}}]}', "a.json")
    assert [suite.model for suite in read_suites(tmp_path)] == ["a"]
    with pytest.raises(ConfigError, match="same model"):
        read_suites(written(tmp_path, one, "a.yml"))
