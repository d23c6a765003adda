"""When a kept model has to be computed anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ringup.engine import Engine
from tests.shop import COMMITTED, SHOP, batch, change
from transforms.project import Model, Project
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
