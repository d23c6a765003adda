"""A scheduled run by `ringup batch`: what is good is published, what is not is held, and both clocks are compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from ringup.batch_runs import History, Run, goes_on
from ringup.batches import run_batch
from ringup.errors import LakeError, OwnedError, ProjectError, WarehouseError
from ringup.scheduling import Schedule, told_of
from ringup.service import Ownership
from tests.analyst import Analyst
from tests.waiting import wait_for
from transforms.published import published

RANKS = """
{{ config(schema='marts', meta={'refresh': 'scheduled', 'kind': 'mart'}) }}
select profile_id, count(*) as orders, ntile(2) over (order by count(*)) as half
from {{ source('shop', 'orders') }} group by profile_id
"""
TOP = """
{{ config(schema='segments', meta={'refresh': 'scheduled', 'kind': 'segment'}) }}
select profile_id, orders from {{ ref('ranks') }} where half = 2
"""
OTHER = """
{{ config(schema='marts', meta={'refresh': 'scheduled', 'kind': 'mart'}) }}
select profile_id, sum(total) as spend from {{ source('shop', 'orders') }} group by profile_id
"""
RULE = """
models:
  - name: ranks
    columns:
      - name: orders
        data_tests:
          - accepted_values:
              arguments: {values: [4, 5], quote: false}
  - name: top
    columns:
      - {name: profile_id, data_type: bigint}
      - {name: orders, data_type: bigint}
"""


def tell(says: str, done: int, whole: int) -> None:
    """Nobody listens."""


@pytest.fixture
def analyst(tmp_path: Path) -> Iterator[Analyst]:
    made = Analyst(tmp_path / "my-shop")
    models = made.folder / "dbt_project" / "models"
    for name, text in {"ranks.sql": RANKS, "top.sql": TOP, "other.sql": OTHER, "ranks.yml": RULE}.items():
        (models / name).write_text(text)
    with closing(made.lake):
        made.go_live([*made.customers(1, 2), *made.orders(1, 1, 2, 3, 4, 5), *made.orders(2, 6, 7, 8, 9)])
        yield made


def rows(analyst: Analyst, relation: str) -> list[tuple[object, ...]]:
    """What is published of a model."""
    found = published(analyst.config.scheduled_folder / "published")
    assert found is not None
    with duckdb.connect(found.path, read_only=True) as con:
        return con.execute(f"from {relation} order by all").fetchall()


def why(run: Run) -> dict[str, tuple[str, ...]]:
    """What is wrong, by model."""
    return {model.name: model.why for model in run.models if model.why}


def test_what_is_good_is_published_and_the_rest_stays_as_it_was(analyst: Analyst) -> None:
    """A failing test holds its model and what reads it; the other models go on, and so do the continuous ones."""
    run = run_batch(analyst.config, tell)
    assert (run.state, run.differ, why(run)) == ("published", 0, {})
    assert {proof.model: proof.rows for proof in run.proofs} == {"regulars": 1, "order_placed": 9}
    assert rows(analyst, "segments.top") == [(1, 5)]
    analyst.run_again(analyst.orders(2, 10, 11))
    held = run_batch(analyst.config, tell)
    assert (held.state, held.differ) == ("held", 0)
    assert list(why(held)) == ["ranks", "top"]
    assert why(held)["ranks"][0].startswith("accepted_values_ranks_orders")
    assert why(held)["top"] == ("it reads ranks",)
    assert rows(analyst, "segments.top") == [(1, 5)]
    assert rows(analyst, "marts.other") == [(1, 50), (2, 60)]
    found = published(analyst.config.scheduled_folder / "published")
    assert found is not None
    assert {name: version.run == held.id for name, version in found.models.items()} == {
        "marts.other": True,
        "marts.ranks": False,
        "segments.top": False,
    }
    records = History(analyst.config.scheduled_folder / "runs").runs(running=False)
    assert [record["state"] for record in records] == ["held", "published"]


def test_what_is_not_as_expected_is_held_with_what_reads_it(analyst: Analyst) -> None:
    """A suite of Great Expectations decides after dbt; a warning is told, and holds nothing."""
    suites = analyst.folder / "dbt_project" / "expectations"
    suites.mkdir()
    between = "{type: expect_column_values_to_be_between, kwargs: {column: orders, max_value: %d}%s}"
    (suites / "ranks.yml").write_text("expectations: [" + between % (4, "") + "]")
    (suites / "regulars.yml").write_text("expectations: [" + between % (3, ", severity: warning") + "]")
    run = run_batch(analyst.config, tell)
    assert run.state == "held"
    assert list(why(run)) == ["ranks", "top"]
    assert "5 of profile_id 1" in why(run)["ranks"][0]
    assert {model.name: len(model.warnings) for model in run.models if model.warnings} == {"regulars": 1}
    assert [one.model for one in run.stats] == ["regulars"]
    folder = History(analyst.config.scheduled_folder / "runs").folder_of(run)
    assert list((folder / "docs").rglob("*.html"))
    assert rows(analyst, "marts.other") == [(1, 50), (2, 40)]


def test_a_model_without_a_column_that_is_declared_is_not_published(analyst: Analyst) -> None:
    """The live run counts on what is declared, also before anything is published."""
    top = analyst.folder / "dbt_project" / "models" / "top.sql"
    top.write_text(TOP.replace("orders from", "orders::varchar as orders from"))
    run = run_batch(analyst.config, tell)
    assert why(run) == {"top": ("column orders is declared as BIGINT, and is VARCHAR",)}
    assert run.state == "held"
    with pytest.raises(duckdb.CatalogException):
        rows(analyst, "segments.top")


def test_rows_that_the_live_run_kept_wrongly_are_found(analyst: Analyst) -> None:
    """The other clock takes nothing from it but the log."""
    with duckdb.connect(analyst.config.state_folder / "live.duckdb") as con:
        con.execute("update segments.regulars set orders = 6")
    run = run_batch(analyst.config, tell)
    assert run.differ == 2
    [proof] = [proof for proof in run.proofs if proof.differ]
    assert {(row["side"], row["orders"]) for row in proof.examples} == {("kept", 6), ("computed", 5)}


def test_a_project_that_was_edited_is_built_and_not_compared(analyst: Analyst) -> None:
    """What is kept is still of the other SQL; the record says so."""
    with (analyst.folder / "dbt_project" / "models" / "segments" / "regulars.sql").open("a") as file:
        file.write(" and count(*) >= 3\n")
    run = run_batch(analyst.config, tell)
    assert (run.state, run.proofs) == ("published", ())
    assert run.why is not None
    assert "edited" in run.why


def test_a_project_that_dbt_cannot_read_fails_and_leaves_a_record(analyst: Analyst) -> None:
    """With dbt's words; what was published stays."""
    (analyst.folder / "dbt_project" / "models" / "top.sql").write_text("select * from {{ ref('rank') }}")
    with pytest.raises(ProjectError, match="rank"):
        run_batch(analyst.config, tell)
    [record] = History(analyst.config.scheduled_folder / "runs").runs(running=False)
    assert record["state"] == "failed"
    assert "rank" in record["why"]


def test_one_goes_on_at_a_time(analyst: Analyst) -> None:
    """The second is told who has it; nothing of it is left behind."""
    with Ownership(analyst.config.scheduled_folder), pytest.raises(OwnedError, match="a scheduled run"):
        run_batch(analyst.config, tell)
    assert not (analyst.config.scheduled_folder / "runs").exists()


def test_a_lake_that_lacks_what_is_kept_is_waited_for_and_then_told(
    analyst: Analyst, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is computed of a part of the rows."""
    for file in analyst.lake.files():
        file.path.unlink()
    monkeypatch.setattr("ringup.batches.PATIENCE", timedelta(seconds=-9.5))
    with pytest.raises(LakeError, match="does not have what the live run took in"):
        run_batch(analyst.config, tell)


def test_a_run_begins_when_it_is_due_and_one_that_was_missed_is_made_up_for(analyst: Analyst) -> None:
    """A child of the live run does it; what becomes of it is in the record. Nothing begins before its time."""
    config = analyst.scheduled("0 3 * * *")
    now = [datetime(2026, 11, 28, 2, 59, tzinfo=UTC)]
    schedule = Schedule(config, lambda: now[0])
    schedule.check()
    assert told_of(config, schedule) == {"last": None, "checked": None, "due": "2026-11-28T03:00:00+00:00"}
    now[0] += timedelta(minutes=1)
    schedule.check()

    def published_once() -> bool:
        schedule.check()
        last = told_of(config)["last"]
        return last is not None and last["state"] == "published"

    wait_for(published_once, 120)
    assert schedule.due == datetime(2026, 11, 29, 3, tzinfo=UTC)
    [record] = History(config.scheduled_folder / "runs").runs(running=False)
    later = Schedule(config, lambda: datetime(2027, 1, 1, tzinfo=UTC))
    assert later.due is not None
    assert later.due <= datetime.fromisoformat(record["began"]) + timedelta(days=1)
    later.check()
    assert later.due == datetime(2027, 1, 1, 3, tzinfo=UTC)
    later.stop()
    states = [run["state"] for run in History(config.scheduled_folder / "runs").runs(running=goes_on(config))]
    assert states[-1] == "published"
    assert "published" not in states[:-1]


def test_a_run_that_is_stopped_publishes_nothing_and_leaves_nothing_behind(analyst: Analyst) -> None:
    """Ctrl-C ends dbt, too, so the next run can begin at once; a damaged record hides none of the others."""

    def stop(says: str, done: int, whole: int) -> None:
        if says == "dbt":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(analyst.config, stop)
    history = History(analyst.config.scheduled_folder / "runs")
    [record] = history.runs(running=False)
    assert (record["state"], record["why"]) == ("failed", "it was stopped")
    assert published(analyst.config.scheduled_folder / "published") is None
    (history.folder / record["id"] / "run.json").write_text("{")
    assert run_batch(analyst.config, tell).state == "published"
    assert [record["state"] for record in history.runs(running=False)] == ["published"]


def test_before_anything_ran_there_is_nothing_to_compute(tmp_path: Path) -> None:
    """With what to do first."""
    made = Analyst(tmp_path / "my-shop")
    with closing(made.lake), pytest.raises(WarehouseError) as refused:
        run_batch(made.config, tell)
    assert "ringup run" in refused.value.mend
