"""When a kept model has to be computed anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ringup.engine import Engine
from ringup.errors import ProjectError, WarehouseError
from tests.shop import COMMITTED, SHOP, batch, change
from transforms.project import ActivationSpec, Column, Model, Project
from transforms.prove import prove
from transforms.scope import Scope
from transforms.warehouse import Warehouse

BILL = {"bill_id": 1, "loyalty_card": "A", "sold_at": "2026-03-01T10:00:00.000000Z", "total": "60.00"}
MEMBER = {"member_id": 1, "loyalty_card": "A", "first_name": "Ann"}
RECORDS = [("crm.crm.members", change("r", None, MEMBER, 8)), ("pos.pos.bills", change("r", None, BILL, 9))]


def changed(name: str, edit: Callable[[str], str]) -> Project:
    """The shop with another SQL of one model."""

    def edited(model: Model) -> Model:
        return replace(model, sql=edit(model.sql)) if model.name == name else model

    return replace(SHOP, models=tuple(map(edited, SHOP.models)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state in which a bill is taken in and every model computed."""
    engine = Engine(tmp_path / "live.duckdb", SHOP)
    with engine.warehouse.transaction():
        engine.apply(batch(RECORDS, snapshot=True))
    engine.start(COMMITTED)
    engine.close()
    return tmp_path / "live.duckdb"


@pytest.mark.parametrize(
    ("project", "rebuilt"),
    [
        (SHOP, []),
        (changed("spenders", lambda sql: sql.replace("50", "70")), ["spenders"]),
        (
            changed("stg_bills", lambda sql: f"{sql} and total < 50"),
            ["customers", "running", "bill_printed"],
        ),
    ],
    ids=["nothing", "a segment", "a view"],
)
def test_what_changed_is_made_anew_and_nothing_else(path: Path, project: Project, rebuilt: list[str]) -> None:
    """A model is, whose own SQL changed or that of a view that it reads."""
    warehouse = Warehouse(path)
    assert [model.name for model in Scope(warehouse, project).rebuilt] == rebuilt
    warehouse.close()


def test_a_changed_view_changes_the_rows_of_what_reads_it(path: Path) -> None:
    """After the next start what is kept equals what is computed anew."""
    project = changed("stg_bills", lambda sql: f"{sql} and total < 50")
    engine = Engine(path, project)
    assert prove(engine.warehouse.reader(), project).differ == 0
    assert engine.warehouse.number("select count(*) from live.marts.running") == 0
    engine.close()


def test_a_state_that_is_read_only_does_not_change(path: Path) -> None:
    """Not a byte of it, also where a crash left work in the write-ahead log; all of that is seen."""
    writing = Warehouse(path)
    writing.remember("crash", "yes")
    copies = [path.with_name("crashed.duckdb"), path.with_name("crashed.duckdb.wal")]
    for copy in copies:
        copy.write_bytes(path.with_name(copy.name.replace("crashed", "live")).read_bytes())
    writing.close()
    before = [copy.read_bytes() for copy in copies]
    reading = Warehouse(copies[0], read_only=True)
    assert reading.fact("crash") == "yes"
    reading.close()
    assert [copy.read_bytes() for copy in copies] == before


@pytest.mark.parametrize("name", ["spenders", "bill_printed", "customers"])
def test_an_edit_that_failed_and_was_put_back_leaves_no_empty_table(path: Path, name: str) -> None:
    """The start that failed had emptied the table; the next one fills it again, and nothing fires from it."""
    wrong = changed(name, lambda sql: f"select * exclude profile_id, error('no') as n, profile_id from ({sql})")
    with pytest.raises(ProjectError, match=f"{name} cannot be computed"):
        Engine(path, wrong)
    engine = Engine(path, SHOP)
    assert prove(engine.warehouse.reader(), SHOP).differ == 0
    with engine.warehouse.transaction():
        renamed = ("crm.crm.members", change("u", MEMBER, {**MEMBER, "first_name": "Anna"}, 90))
        told, _, _ = engine.apply(batch([renamed], start=10))
    assert told == []
    engine.close()


def test_an_identity_that_failed_and_was_put_back_leaves_no_row_with_a_stranger(path: Path) -> None:
    """Rows that were tagged by words that never came to hold are tagged again."""
    other = tuple(replace(t, identifiers={"x": "loyalty_card"}) if t.name == "bills" else t for t in SHOP.tables)
    wrong = changed("spenders", lambda _: """select profile_id, error('no') as spend from "scope"."crm"."members\"""")
    with pytest.raises(ProjectError):
        Engine(path, replace(wrong, tables=other))
    engine = Engine(path, SHOP)
    bills = 'select profile_id from live.pos.bills union all select profile_id from live.pos."bills tail"'
    assert engine.warehouse.number(bills) == 1
    assert prove(engine.warehouse.reader(), SHOP).differ == 0
    engine.close()


@pytest.mark.parametrize("wrong", ["error('no')", "strptime(first_name, '%d')", "json(first_name)", "chr(-1)"])
def test_a_model_that_fails_on_the_rows_is_told_with_its_file(path: Path, wrong: str) -> None:
    """Whatever DuckDB calls it, it is the model that a person has to mend."""
    project = changed("customers", lambda sql: f"select *, {wrong} as w from ({sql})")
    with pytest.raises(ProjectError, match="customers cannot be computed") as caught:
        Engine(path, project)
    assert caught.value.where == "models/customers.sql"


def test_rows_of_somebody_else_are_refused(path: Path) -> None:
    """A model that makes a profile_id up would keep its rows again with each batch."""
    rates = 'select rate_id::bigint as profile_id, 60 as spend from "scope"."pos"."rates"'
    engine = Engine(path, changed("spenders", lambda sql: f"{sql} union all {rates}"))
    records = [("pos.pos.rates", change("c", None, {"rate_id": 7, "factor": 1}, 90))]
    told = pytest.raises(ProjectError, match="segment spenders gives a row of profile 7")
    with told as caught, engine.warehouse.transaction():
        engine.apply(batch(records, start=10))
    assert "declare `identity`" in caught.value.mend
    engine.close()


def test_a_time_that_no_message_can_carry_is_told(path: Path) -> None:
    """Infinity is no time that a person could be told."""
    activation = ActivationSpec("told", "spenders", "hook", "entered", "hi", "activations.yml", "1")
    project = changed("spenders", lambda sql: f"select profile_id, 'infinity'::timestamptz as t from ({sql})")
    engine = Engine(path, replace(project, activations=(activation,)))
    member = {**MEMBER, "member_id": 2, "loyalty_card": "B"}
    bill = {**BILL, "bill_id": 2, "loyalty_card": "B"}
    records = [("crm.crm.members", change("c", None, member, 90)), ("pos.pos.bills", change("c", None, bill, 91))]
    told = pytest.raises(ProjectError, match="a value that no message can carry")
    with told, engine.warehouse.transaction():
        engine.apply(batch(records, start=10))
    engine.close()


def test_a_column_that_differs_in_case_only_is_told(path: Path) -> None:
    """DuckDB takes both for one; the name that is kept is said."""
    bills = next(table for table in SHOP.tables if table.name == "bills")
    columns = tuple(Column("Total" if c.name == "total" else c.name, c.data_type) for c in bills.columns)
    tables = tuple(replace(t, columns=columns) if t is bills else t for t in SHOP.tables)
    with pytest.raises(WarehouseError, match=r"column Total of pos\.bills is kept as total"):
        Engine(path, replace(SHOP, tables=tables))
