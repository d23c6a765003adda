"""Models tried on empty tables: what would not run, or would run differently each time, is refused at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringup.errors import ProjectError
from tests.shop import TABLES, model
from transforms.dbt.trial import tried
from transforms.project import Column, Model

RAW = "select profile_id,\n  {{ wrong }}\nfrom bills"


def outcome(tmp_path: Path, *models: Model) -> list[Model]:
    """The models as tried, declared in a project with one file."""
    (tmp_path / "model.sql").write_text(RAW)
    return list(tried(tmp_path, TABLES, models))


def one(sql: str, kind: Any = "mart", view: bool = False) -> Model:
    """A model in the file of the project."""
    made = model("one", sql, ["pos.bills"], kind, view)
    return Model(made.name, made.schema, sql, made.materialized, kind, made.depends_on, None, frozenset(), "model.sql")


def refused(tmp_path: Path, made: Model) -> ProjectError:
    """The error that trying gives."""
    with pytest.raises(ProjectError) as caught:
        outcome(tmp_path, made)
    return caught.value


def test_a_model_learns_its_columns(tmp_path: Path) -> None:
    """Names and DuckDB types come from binding the SQL, for whoever makes the kept table or checks a message."""
    (done,) = outcome(tmp_path, one("select profile_id, sum(total) as spend from scope.pos.bills group by profile_id"))
    assert done.columns == (Column("profile_id", "BIGINT"), Column("spend", "DECIMAL(38,2)"))


def test_a_model_may_read_another_and_the_clock(tmp_path: Path) -> None:
    """Models are tried in their order, in the same catalog and under the same names as in the run."""
    view = model("first", "select profile_id, total from scope.pos.bills", ["pos.bills"], "staging", view=True)
    second = one("select profile_id from scope.staging.first, scope.ringup.clock where as_of > timestamptz 'epoch'")
    assert [len(done.columns) for done in outcome(tmp_path, view, second)] == [2, 1]


def test_a_sql_error_is_refused_with_duckdbs_words_and_the_line(tmp_path: Path) -> None:
    """The line of the compiled SQL is found again in the file that a person wrote."""
    error = refused(tmp_path, one("select profile_id, nothing\nfrom bills"))
    assert "bills" in error.message
    assert error.where == f"{tmp_path.name}/model.sql:3"
    assert "dbt compile" in error.mend


@pytest.mark.parametrize("kind", ["mart", "segment", "trigger"])
def test_rows_that_are_kept_must_say_whose_they_are(tmp_path: Path, kind: str) -> None:
    """Without profile_id a model's rows cannot be kept up to date."""
    error = refused(tmp_path, one("select bill_id from scope.pos.bills", kind))
    assert error.message == f"{kind} one has no column profile_id"
    assert "profile_id" in error.mend


def test_a_view_of_what_is_the_same_for_all_needs_no_profile(tmp_path: Path) -> None:
    """Only rows that are kept are kept by profile."""
    assert outcome(tmp_path, one("select factor from scope.pos.rates", "staging", view=True))


@pytest.mark.parametrize("column", ["event_id", "event_at"])
def test_a_trigger_must_say_what_happened_when(tmp_path: Path, column: str) -> None:
    """A trigger's row is one event, with its time."""
    columns = {"profile_id": "1::bigint", "event_id": "'a'", "event_at": "timestamptz 'epoch'"}
    del columns[column]
    sql = "select " + ", ".join(f"{value} as {name}" for name, value in columns.items())
    assert refused(tmp_path, one(sql, "trigger")).message == f"trigger one has no column {column}"


def test_a_column_of_the_wrong_type_is_refused_with_the_cast(tmp_path: Path) -> None:
    """An event's identity is text in every message, so it is text in the model."""
    sql = "select 1::bigint as profile_id, 7 as event_id, timestamptz 'epoch' as event_at"
    assert refused(tmp_path, one(sql, "trigger")).mend == "Select `cast(... as varchar) as event_id`."


@pytest.mark.parametrize("word", ["now()", "current_date", "CURRENT_TIMESTAMP", "random()", "today ()"])
def test_a_clock_of_the_run_and_chance_are_refused(tmp_path: Path, word: str) -> None:
    """They would answer differently in the scheduled run and in a replay."""
    assert "as_of()" in refused(tmp_path, one(f"select profile_id, {word} as x from scope.pos.bills")).mend


def test_text_and_columns_that_look_like_a_clock_are_not_one(tmp_path: Path) -> None:
    """Only what is called, or a keyword, is a clock."""
    sql = """select profile_id, 'now()' as now, bill_id as "current_date" from scope.pos.bills -- now()"""
    assert outcome(tmp_path, one(sql))


@pytest.mark.parametrize("name", ["_net", "_Row", "rowid"])
def test_a_column_that_ringup_needs_itself_is_refused(tmp_path: Path, name: str) -> None:
    """Comparing would take it for its own, and change the wrong rows."""
    error = refused(tmp_path, one(f'select profile_id, 1 as "{name}" from scope.pos.bills'))
    assert "is a name of ringup's own" in error.message


@pytest.mark.parametrize("value", ["'101'::bit", "1::uhugeint", "1::bignum", "union_value(a := 1)"])
def test_a_value_that_cannot_be_compared_is_refused(tmp_path: Path, value: str) -> None:
    """Its rows would differ from themselves."""
    error = refused(tmp_path, one(f"select profile_id, {value} as x from scope.pos.bills"))
    assert "cannot compare" in error.message
    assert error.mend == "Select `cast(... as varchar) as x`."


def test_a_use_of_the_clock_without_due_times_is_refused_with_its_line(tmp_path: Path) -> None:
    """Another use below gives due times; the message names the one that does not."""
    clock = '(select as_of from "scope"."ringup"."clock")'
    made = one(f"select profile_id, {clock} as told from scope.pos.bills where sold_at < {clock}")
    raw = "select profile_id,\n  {{ as_of() }} as told\nfrom bills\nwhere sold_at < {{ as_of() }}"
    (tmp_path / "model.sql").write_text(raw)
    with pytest.raises(ProjectError) as caught:
        list(tried(tmp_path, TABLES, [made]))
    assert caught.value.where == f"{tmp_path.name}/model.sql:2: as_of"
    assert "`as_of()`: it stands in no comparison" in caught.value.message
    assert "'sweep': '1 minute'" in (caught.value.mend or "")
