"""Great Expectations decides on models in a DuckDB file."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ringup.errors import WarehouseError
from transforms.quality import check
from transforms.quality_report import ModelReport
from transforms.quality_suites import Expectation, Severity, Suite

NOW = datetime(2026, 3, 2, tzinfo=UTC)

OFFLINE = """
import runpy, sys

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError(f"{event} {args}")

sys.addaudithook(refuse)
runpy.run_module("transforms.quality_worker", run_name="__main__")
"""


def one(type_: str, severity: Severity = "critical", **kwargs: Any) -> Expectation:
    return Expectation(type_, kwargs, severity, None)


GREEN = (
    one("expect_column_values_to_not_be_null", column="name"),
    one("expect_column_values_to_be_unique", column="number"),
    one("expect_column_values_to_be_between", column="spend", min_value=0, max_value=50.5),
    one("expect_column_values_to_be_between", column="day", min_value="2026-01-01"),
    one("expect_column_to_exist", column="spend"),
    one("expect_table_column_count_to_equal", value=6),
    one("expect_row_count_near_last_runs"),
    one("expect_column_nulls_near_last_runs", column="number"),
    one("expect_column_deciles_near_last_runs", column="spend"),
    one("expect_column_max_to_be_recent", column="at", within="26h"),
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quality") / "shop.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("set timezone = 'UTC'")
        con.execute(
            """create table good as
               select i as profile_id, 'Ann ' || i as name, cast(i * 0.5 as decimal(18, 2)) as spend,
                   if(i % 2 = 0, null, 9007199254740992 + i) as number, date '2026-02-01' as day,
                   timestamptz '2026-03-01 10:00:00+00' as "at"
               from range(1, 102) as s(i)"""
        )
        con.execute(
            """create view bad as
               select * replace (
                   nullif(name, 'Ann 7') as name, if(spend > 50, -spend, spend) as spend, "at" - interval 2 days as "at"
               )
               from (from good union all from good where profile_id between 8 and 67)"""
        )
    return path


def checked(database: Path, model: str, *expectations: Expectation, **more: Any) -> ModelReport:
    (report,) = check(database, [Suite(model, expectations)], more.get("history", []), NOW, more.get("docs")).models
    return report


def test_good_models_pass_and_leave_docs_and_nothing_else(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is met, twice, with history and without; no connection is made, and only Data Docs are left."""
    temporary: list[Path] = []
    real = subprocess.run

    def offline(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        temporary.append(Path(options["env"]["TMPDIR"]))
        done: subprocess.CompletedProcess[bytes] = real([sys.executable, "-c", OFFLINE], **options)
        return done

    monkeypatch.setattr("transforms.quality.subprocess.run", offline)
    before = {path.name for path in database.parent.iterdir()}
    docs = tmp_path / "docs"
    first = checked(database, "good", *GREEN)
    assert first.failures == ()
    assert first.stats is not None
    assert (first.stats.rows, first.stats.columns["number"].nulls, first.stats.columns["spend"].max) == (101, 50, 50.5)
    again = checked(database, "good", *GREEN, history=[first.stats], docs=docs)
    assert again.ok
    assert again.failures == ()
    assert (docs / "index.html").is_file()
    assert len(list(docs.rglob("validations/**/*good*.html"))) == 1
    assert {path.name for path in database.parent.iterdir()} == before
    assert len(temporary) == 2
    assert not any(folder.exists() for folder in temporary)


def test_bad_models_are_told_in_words(database: Path) -> None:
    """What was expected, what was seen, and whose rows they are; what cannot be asked is not met either."""
    good = checked(database, "good", one("expect_column_to_exist", column="name")).stats
    assert good is not None
    moved = type(good)("bad", good.at, good.rows, good.columns)
    expectations = (
        *GREEN,
        one("expect_column_values_to_not_be_null", column="nam"),
        one("expect_column_values_to_be_between", column="spend", min_value="much", severity="warning"),
        one("expect_column_values_to_be_in_set", column="name", value_set="Ann 1"),
    )
    report = checked(database, "bad", *expectations, history=[moved])
    said = [str(failure) for failure in report.failures]
    assert not report.ok
    for words in (
        "there is no column `nam`. Did you mean `name`?",
        "`name` values must never be null: 1 of 161 rows are not so, such as null of profile_id 7",
        "`number` values must be unique: 60 of 161 rows are not so",
        "-50.5 of profile_id 101",
        "71 to 131 rows, as the last runs had about 101: it is 161",
        "the newest `at` within 26h of 2026-03-02 00:00 UTC: it is 2026-02-27 10:00:00+00:00",
    ):
        assert any(words in each for each in said), (words, said)
    assert {failure.severity for failure in report.failures if "much" in str(failure)} == {"warning"}


def test_a_model_that_is_not_there_is_not_met(database: Path) -> None:
    """A suite without its model keeps that from being published."""
    report = checked(database, "gone", *GREEN)
    assert not report.ok
    assert report.stats is None


def test_a_file_that_somebody_writes_is_an_error(tmp_path: Path) -> None:
    """A database that cannot be read is no model's fault."""
    path = tmp_path / "held.duckdb"
    with duckdb.connect(str(path)), pytest.raises(WarehouseError, match="cannot be read"):
        check(path, [Suite("a", GREEN)], [], NOW)
    assert [one.name for one in tmp_path.iterdir() if one.suffix != ".wal"] == ["held.duckdb"]
