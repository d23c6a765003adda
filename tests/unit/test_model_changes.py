"""Models as they change between two starts, and what is said of those that do not run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ringup.engine import Engine
from ringup.errors import ProjectError
from tests.live import BILLS, MEMBERS, bill, rows, take
from tests.shop import COMMITTED, SHOP, TABLES, change, model
from transforms.project import Project
from transforms.refresh import Refresh


def test_a_model_that_does_not_run_or_has_no_profile_is_refused_by_name(tmp_path: Path) -> None:
    """At the start, before anything is taken in."""
    broken = Project(TABLES, (model("odd", 'select nothing_known from "scope"."pos"."bills"', ["pos.bills"]),), (), "")
    with pytest.raises(ProjectError, match="model odd does not run"):
        Engine(tmp_path / "1.duckdb", broken)
    lone = Project(TABLES, (model("lone", "select 1 as one", [], kind="segment"),), (), "")
    with pytest.raises(ProjectError, match="segment lone has no column profile_id"):
        Engine(tmp_path / "2.duckdb", lone)


def test_a_model_whose_sql_changed_is_built_again(tmp_path: Path) -> None:
    """Edited SQL takes effect at the next start, for everybody."""
    engine = Engine(tmp_path / "live.duckdb", SHOP)
    engine.start(COMMITTED)
    take(engine, (MEMBERS, change("c", None, {"member_id": 1, "loyalty_card": "A", "first_name": "Ada"}, 50)))
    engine.close()
    edited = [replace(m, sql=m.sql.replace("> 50", "is null")) if m.name == "spenders" else m for m in SHOP.models]
    again = Engine(tmp_path / "live.duckdb", replace(SHOP, models=tuple(edited)))
    assert rows(again, "select profile_id from live.segments.spenders") == [(1,)]
    again.close()


def test_a_rebuild_that_was_cut_off_is_done_by_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between making a model's table and filling it leaves no empty table that later starts believe."""
    engine = Engine(tmp_path / "live.duckdb", SHOP)
    engine.start(COMMITTED)
    take(engine, (MEMBERS, change("c", None, {"member_id": 1, "loyalty_card": "A", "first_name": "Ada"}, 50)))
    engine.close()
    models = [replace(m, sql=m.sql.replace("> 50", "is null")) if m.name == "spenders" else m for m in SHOP.models]
    edited = replace(SHOP, models=tuple(models))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Refresh, "everything", interrupted)
        Engine(tmp_path / "live.duckdb", edited)
    again = Engine(tmp_path / "live.duckdb", edited)
    assert rows(again, "select profile_id from live.segments.spenders") == [(1,)]
    again.close()


def interrupted(refresh: Refresh) -> None:
    raise KeyboardInterrupt


def test_a_model_that_fails_on_the_rows_that_came_is_named(tmp_path: Path) -> None:
    """The batch is taken back whole, and the error says which file to correct."""
    sql = 'select profile_id, cast(first_name as integer) as number from "scope"."crm"."members"'
    project = replace(SHOP, models=(model("numbers", sql, ["crm.members"]),))
    engine = Engine(tmp_path / "live.duckdb", project)
    engine.start(COMMITTED)
    with pytest.raises(ProjectError, match="model numbers cannot be computed from the rows that came") as error:
        take(engine, (MEMBERS, change("c", None, {"member_id": 1, "loyalty_card": "A", "first_name": "Ada"}, 50)))
    assert error.value.where == "models/numbers.sql"
    assert engine.warehouse.positions() == {}
    engine.close()


def test_a_model_that_was_taken_out_and_came_back_is_built_again(tmp_path: Path) -> None:
    """Its rows were not kept up to date meanwhile, so the same SQL does not make them right."""
    engine = Engine(tmp_path / "live.duckdb", SHOP)
    engine.start(COMMITTED)
    take(engine, (MEMBERS, change("c", None, {"member_id": 1, "loyalty_card": "A", "first_name": "Ada"}, 50)))
    engine.close()
    less = Engine(tmp_path / "live.duckdb", replace(SHOP, models=tuple(m for m in SHOP.models if m.name != "running")))
    take(less, (BILLS, change("c", None, bill(2, "A"), 100)))
    less.close()
    again = Engine(tmp_path / "live.duckdb", SHOP)
    assert rows(again, "select bill_id from live.marts.running") == [(2,)]
    again.close()


def test_a_model_may_give_two_columns_one_name(tmp_path: Path) -> None:
    """DuckDB keeps them under two names; what is computed is compared with what is kept all the same."""
    sql = 'select profile_id, count(*) as a, sum(total) as a from "scope"."pos"."bills" group by profile_id'
    engine = Engine(tmp_path / "live.duckdb", replace(SHOP, models=(model("twice", sql, ["pos.bills"]),)))
    engine.start(COMMITTED)
    take(engine, (MEMBERS, change("c", None, {"member_id": 1, "loyalty_card": "A", "first_name": "Ada"}, 50)))
    take(engine, (BILLS, change("c", None, bill(1, "A"), 100)))
    take(engine, (BILLS, change("c", None, bill(2, "A"), 110)))
    assert rows(engine, "select a from live.marts.twice") == [(2,)]
    engine.close()
