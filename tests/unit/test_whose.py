"""Whose a row is: odd identifiers, several profile tables, a project that says it otherwise, and rows of nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ringup.engine import Engine
from tests.shop import COMMITTED, SHOP, batch, change, model, table
from transforms.changes import Candidate
from transforms.project import Project
from transforms.prove import prove

MEMBERS, BILLS, LINES = "crm.crm.members", "pos.pos.bills", "pos.pos.bill_lines"


def opened(folder: Path, project: Project = SHOP) -> Engine:
    engine = Engine(folder / "live.duckdb", project)
    if not engine.ready:
        engine.start(COMMITTED)
    return engine


def take(engine: Engine, *records: tuple[str, str | None]) -> list[Candidate]:
    with engine.warehouse.transaction():
        return engine.apply(batch(records))[0]


def member(number: int, card: str | None, lsn: int) -> tuple[str, str]:
    row = {"member_id": number, "loyalty_card": card, "first_name": f"M{number}"}
    return MEMBERS, change("c", None, row, lsn)


def bill(number: int, card: str | None, lsn: int) -> tuple[str, str]:
    row = {"bill_id": number, "loyalty_card": card, "sold_at": "2026-03-01T10:00:00Z", "total": "60.00"}
    return BILLS, change("c", None, row, lsn)


def rows(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    return engine.warehouse.con.execute(sql).fetchall()


def test_a_project_that_says_otherwise_whose_rows_are_finds_their_customers_anew(tmp_path: Path) -> None:
    """Who edits `identity` between two starts gets what a new state would hold, and no message for it."""
    other = {"old card": "loyalty_card"}
    nobody = replace(SHOP, tables=tuple(replace(t, identifiers=other) if t.name == "bills" else t for t in SHOP.tables))
    engine = opened(tmp_path, nobody)
    take(engine, member(1, "A", 100), member(2, "B", 108), bill(7, "A", 116), bill(8, "B", 124), bill(9, None, 132))
    line = {"bill_id": 7, "line_no": 1, "amount": "60.00"}
    take(engine, (LINES, change("c", None, line, 140)))
    assert rows(engine, 'select distinct profile_id from live.pos."bills tail"') == [(None,)]
    engine.close()
    for _ in range(2):
        engine = opened(tmp_path)
        by_bill = 'select bill_id, profile_id from live.pos."bills tail" order by bill_id'
        assert rows(engine, by_bill) == [(7, 1), (8, 2), (9, None)]
        assert rows(engine, 'select profile_id from live.pos."bill_lines tail"') == [(1,)]
        assert rows(engine, "select profile_id, visits from live.marts.customers order by 1") == [(1, 1), (2, 1)]
        assert prove(engine.warehouse.reader(), SHOP).differ == 0
        engine.close()


def test_rows_of_nobody_are_not_kept_and_do_not_differ(tmp_path: Path) -> None:
    """A model that forgets to leave out bills without a card gives a row for nobody: none is kept, none is missed."""
    counts = model(
        "counts",
        'select profile_id, count(*) as bills from "scope"."pos"."bills" group by profile_id '
        'union all select null, 1 from "scope"."crm"."members"',
        ["pos.bills", "crm.members"],
    )
    project = replace(SHOP, models=(*SHOP.models, counts))
    engine = opened(tmp_path, project)
    take(engine, member(1, "A", 100), bill(7, "A", 108), bill(8, None, 116))
    take(engine, bill(9, "A", 124), bill(10, None, 132))
    assert rows(engine, "from live.marts.counts") == [(1, 2)]
    engine.refresh.everything()
    assert rows(engine, "from live.marts.counts") == [(1, 2)]
    assert prove(engine.warehouse.reader(), project).differ == 0
    engine.close()


def test_a_model_may_give_its_profile_another_type(tmp_path: Path) -> None:
    """Who casts `profile_id` gets the same rows, only less quickly."""
    cast = model(
        "counts",
        'select cast(profile_id as integer) as profile_id, count(*) as bills from "scope"."staging"."stg_bills" '
        "group by profile_id",
        ["staging.stg_bills"],
    )
    project = replace(SHOP, models=(*SHOP.models, cast))
    engine = opened(tmp_path, project)
    take(engine, member(1, "A", 100), bill(7, "A", 108))
    take(engine, bill(8, "A", 116))
    assert rows(engine, "from live.marts.counts") == [(1, 2)]
    assert prove(engine.warehouse.reader(), project).differ == 0
    engine.close()


def test_an_event_without_a_time_happened_when_it_was_committed(tmp_path: Path) -> None:
    """A null beside other times stops nothing; an event without an id cannot be told from others, and is none."""
    visited = model(
        "visited",
        "select profile_id, case when bill_id < 10 then bill_id end as event_id, "
        'case when bill_id = 7 then sold_at end as event_at from "scope"."staging"."stg_bills"',
        ["staging.stg_bills"],
        kind="trigger",
    )
    asked = replace(SHOP, models=(*SHOP.models, visited))
    engine = opened(tmp_path, asked)
    engine.refresh._asked = frozenset({"visited"})
    take(engine, member(1, "A", 100))
    fired = take(engine, bill(8, "A", 116), bill(7, "A", 108), bill(10, "A", 124))
    assert [(event.event_id, event.event_at) for event in fired] == [  # type: ignore[union-attr]
        ("7", COMMITTED.replace(hour=10)),
        ("8", COMMITTED),
    ]
    engine.close()


def test_an_identifier_may_be_of_any_type_that_has_a_text(tmp_path: Path) -> None:
    """A card number that one database keeps as a decimal and the other as text is one number."""
    tables = tuple(
        table(
            "pos.bills",
            {"bill_id": "bigint", "loyalty_card": "decimal(12,2)", "sold_at": "timestamptz", "total": "decimal(12,2)"},
            ["bill_id"],
            identifiers={"card": "loyalty_card"},
        )
        if t.name == "bills"
        else t
        for t in SHOP.tables
    )
    engine = opened(tmp_path, replace(SHOP, tables=tables))
    take(engine, member(1, "0.00", 100), member(2, "12.50", 108), bill(7, "0", 116), bill(8, "12.5", 124))
    assert rows(engine, 'select bill_id, profile_id from live.pos."bills tail" order by 1') == [(7, 1), (8, 2)]
    engine.close()


def test_two_tables_of_profiles_leave_each_other_their_identifiers(tmp_path: Path) -> None:
    """An app's accounts and the CRM's members may have the same numbers; neither forgets the other's."""
    accounts = table(
        "app.accounts",
        {"member_id": "bigint", "device": "varchar"},
        ["member_id"],
        profile="member_id",
        identifiers={"device": "device"},
    )
    engine = opened(tmp_path, replace(SHOP, tables=(*SHOP.tables, accounts)))
    account = {"member_id": 1, "device": "D"}
    take(engine, member(1, "A", 100))
    take(engine, ("app.app.accounts", change("c", None, account, 108)))
    assert rows(engine, "select kind, value, profile_id from live.ringup.identifiers order by kind") == [
        ("card", "A", 1),
        ("device", "D", 1),
    ]
    engine.close()
