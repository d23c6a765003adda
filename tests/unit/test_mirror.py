"""Source tables in the warehouse: what is applied, what is dropped as old, and what is kept aside with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.formats import unreadable
from ringup.engine import Engine
from ringup.errors import WarehouseError
from ringup.questions import Questions
from tests.live import BILLS, LINES, MEMBERS, bill, rows, take
from tests.shop import COMMITTED, SHOP, TABLES, batch, change, table
from tests.spoilt import spoilt
from transforms.compact import compact, compact_if_long
from transforms.project import Column, Project


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine that is live, with one member who has card A."""
    opened = Engine(tmp_path / "live.duckdb", SHOP)
    opened.start(COMMITTED)
    take(opened, (MEMBERS, change("c", None, {"member_id": 1, "loyalty_card": "A", "first_name": "Ada"}, 50)))
    yield opened
    opened.close()


def quarantined(engine: Engine) -> list[tuple[Any, ...]]:
    return rows(engine, "select topic, reason from live.ringup.quarantine")


def test_a_change_that_is_no_json_is_kept_aside_and_the_others_go_on(engine: Engine) -> None:
    """Bytes that nobody can read stop neither the batch nor the pipeline, and are not lost."""
    take(engine, (BILLS, "no json"), (BILLS, change("c", None, bill(1, "A"), 100)))
    assert quarantined(engine) == [(BILLS, "not a change event that can be read")]
    assert rows(engine, "select visits from live.marts.customers") == [(1,)]


def test_a_record_that_could_not_be_decoded_is_kept_with_its_own_reason(engine: Engine) -> None:
    """The log says why, and keeps the bytes."""
    take(engine, (BILLS, unreadable(b"\0\xff", "the registry knows no schema 9").decode()))
    assert quarantined(engine) == [(BILLS, "the registry knows no schema 9")]
    assert rows(engine, "select value->>'bytes' from live.ringup.quarantine") == [("AP8=",)]


def test_what_was_set_aside_is_told_with_the_newest_key(engine: Engine) -> None:
    """By reason: how many, when the last came, and the row in which to look for the cause."""
    said = batch([(BILLS, change("c", None, bill(n, "A") | {"total": "NaN"}, 100)) for n in (1, 2)])
    for n in (1, 2):
        keys = pa.array([f'{{"bill_id":{n}}}'])
        at = said.records.schema.get_field_index("key")
        records = said.records.slice(n - 1, 1).set_column(at, said.records.schema.field(at), keys)
        with engine.warehouse.transaction():
            engine.apply(replace(said, records=records))
    (found,) = Questions(engine.warehouse.reader(), SHOP).counts()["reasons"]
    assert (found["topic"], found["changes"], found["key"]) == (BILLS, 2, '{"bill_id":2}')
    assert datetime.fromisoformat(found["last_at"]) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("total", "NaN", "column total cannot be decimal(12,2): NaN"),
        ("total", "99999999999.00", "column total cannot be decimal(12,2): 99999999999.00"),
        ("sold_at", "yesterday", "column sold_at cannot be timestamptz: yesterday"),
        ("sold_at", "infinity", "column sold_at cannot be timestamptz: infinity"),
        ("bill_id", None, "the key is missing"),
        ("loyalty_card", "__debezium_unavailable_value", "column loyalty_card was left out by the source: "),
    ],
)
def test_a_value_that_does_not_fit_is_kept_aside_with_column_and_value(
    engine: Engine, field: str, value: Any, reason: str
) -> None:
    """Nothing is guessed: the whole row waits, and the reason says which column and why."""
    take(engine, (BILLS, change("c", None, bill(1, "A") | {field: value}, 100)))
    assert [found.startswith(reason) for _, found in quarantined(engine)] == [True]
    assert rows(engine, "select visits from live.marts.customers") == [(0,)]


def test_dates_and_times_are_read_as_debezium_writes_them(tmp_path: Path) -> None:
    """With ISO strings a date and a time of day end in a Z, and a timestamp without zone does too."""
    kinds = {"id": "integer", "day": "date", "hour": "time", "local": "timestamp", "moment": "timestamptz"}
    engine = Engine(tmp_path / "live.duckdb", Project((table("pos.days", kinds, ["id"]),), (), (), ""))
    row = {"id": 1, "day": "1976-01-30Z", "hour": "10:30:00Z", "local": "2026-03-01T10:00:00.5Z"}
    take(engine, ("pos.pos.days", change("c", None, row | {"moment": "2026-03-01T10:00:00.123456Z"}, 100)))
    found = rows(engine, 'select day, hour, local, epoch_us(moment) % 1000000 from live.pos."days tail"')
    assert found == [(date(1976, 1, 30), time(10, 30), datetime(2026, 3, 1, 10, 0, 0, 500_000), 123_456)]
    engine.close()


def test_a_project_without_customers_starts(tmp_path: Path) -> None:
    """Its tables are the same for all, and are mirrored like any other."""
    engine = Engine(tmp_path / "live.duckdb", Project((table("pos.rates", {"id": "integer"}, ["id"]),), (), (), ""))
    engine.start(COMMITTED)
    take(engine, ("pos.pos.rates", change("c", None, {"id": 1}, 100)))
    assert rows(engine, 'select id from live.pos."rates tail"') == [(1,)]
    engine.close()


def test_a_list_is_read_whole_or_kept_aside(tmp_path: Path) -> None:
    """A member that does not fit is not made a null."""
    kinds = {"id": "integer", "tags": "varchar[]", "days": "date[]"}
    engine = Engine(tmp_path / "live.duckdb", Project((table("pos.lists", kinds, ["id"]),), (), (), ""))

    def came(number: int, tags: str, days: str) -> None:
        row = {"id": number, "tags": json.loads(tags), "days": json.loads(days)}
        take(engine, ("pos.pos.lists", change("c", None, row, 100 + number)))

    came(1, '["a, b", "\\"c", null]', '["2026-03-01"]')
    came(2, '["a"]', '["soon"]')
    found = rows(engine, 'select id, tags, days from live.pos."lists tail"')
    assert found == [(1, ["a, b", '"c', None], [date(2026, 3, 1)])]
    assert [reason for _, reason in quarantined(engine)] == ['column days cannot be date[]: ["soon"]']
    engine.close()


@pytest.mark.parametrize("place", [{"lsn": "late"}, {"lsn": None}, {"gtid": "0-1-x"}, {}])
def test_a_change_without_a_position_is_kept_aside(engine: Engine, place: dict[str, Any]) -> None:
    """Nobody could tell whether it is older than what is stored."""
    source = {"ts_us": 1_767_225_600_000_000, **place}
    take(engine, (BILLS, json.dumps({"op": "u", "before": None, "after": bill(1, "A"), "source": source})))
    assert [reason for _, reason in quarantined(engine)] == ["no position in the log of the source"]


@pytest.mark.parametrize("place", [{"ts_us": 2**62}, {"ts_us": 2**63 - 1}, {"ts_ms": 2**62}, {"ts_ms": -(2**63)}])
def test_a_change_of_no_time_that_there_is_is_kept_aside(engine: Engine, place: dict[str, Any]) -> None:
    """As one without a time is."""
    source = {"lsn": 100, **place}
    take(engine, (BILLS, json.dumps({"op": "u", "before": None, "after": bill(1, "A"), "source": source})))
    assert [reason for _, reason in quarantined(engine)] == ["no commit time"]


@pytest.mark.parametrize("after", [[1], "bill", 7, [{"bill_id": 1}]])
def test_a_row_that_is_none_is_kept_aside(engine: Engine, after: Any) -> None:
    """Also as the first that comes of its table."""
    take(engine, (BILLS, json.dumps(json.loads(change("c", None, bill(1, "A"), 100)) | {"after": after})))
    assert [reason for _, reason in quarantined(engine)] == ["the key is missing"]


def test_whatever_stands_in_a_tables_topic_ends_nothing(engine: Engine) -> None:
    """It is applied or kept aside, and what comes after it arrives."""

    @settings(max_examples=50)
    @given(st.lists(spoilt(json.loads(change("c", bill(1, "A"), bill(1, "A"), 100))), min_size=1, max_size=10))
    def take_all(values: list[str]) -> None:
        take(engine, *((BILLS, value) for value in values))

    take_all()
    take(engine, (BILLS, change("c", None, bill(99, "A"), 200)))
    assert rows(engine, 'select bill_id from live.pos."bills tail" where bill_id = 99') == [(99,)]


def test_a_truncate_is_reported_not_applied(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """What the mirror cannot follow is never silent; but it does not say so with every batch."""
    for lsn in (100, 101):
        take(engine, (BILLS, change("t", None, None, lsn)))
    assert {topic for topic, _ in quarantined(engine)} == {BILLS}
    assert [record.getMessage() for record in caplog.records] == [
        "a change of pos.bills is set aside: TRUNCATE is not applied: delete the rows instead"
    ]


def test_a_table_that_is_not_declared_is_left_alone(engine: Engine) -> None:
    """What nobody asked for is kept nowhere."""
    take(engine, ("pos.pos.gifts", change("c", None, {"id": 1, "secret": "x"}, 101)))
    assert quarantined(engine) == []


def test_an_older_change_that_is_sent_again_changes_nothing(engine: Engine) -> None:
    """After a restart the log holds old changes once more; the newest state stays, without a flicker."""
    create, update = change("c", None, bill(1, "A"), 100), change("u", bill(1, "A"), bill(1, "A", "20.00"), 110)
    take(engine, (BILLS, create), (BILLS, update))
    assert take(engine, (BILLS, create))[0] == []
    assert [str(spend) for (spend,) in rows(engine, "select spend from live.marts.customers")] == ["20.00"]


def test_a_deleted_row_does_not_come_back_when_its_creation_is_sent_again(engine: Engine) -> None:
    """The key of a deleted row is remembered with its position, and nothing else of it."""
    create, delete = change("c", None, bill(1, "A"), 100), change("d", bill(1, "A"), None, 110)
    take(engine, (BILLS, create), (BILLS, delete), (BILLS, None))
    take(engine, (BILLS, create))
    assert rows(engine, "select visits from live.marts.customers") == [(0,)]
    assert rows(engine, 'select loyalty_card, total from live.pos."bills tail"') == [(None, None)]


def test_a_change_below_the_snapshot_that_comes_after_it_is_applied(engine: Engine) -> None:
    """A transaction open while the snapshot was taken commits later, with a lower position than the snapshot's."""
    take(engine, (BILLS, change("r", None, bill(1, "A"), 95)), snapshot=True)
    take(engine, (BILLS, change("u", bill(1, "A"), bill(1, "A", "33.00"), 90)))
    assert [str(spend) for (spend,) in rows(engine, "select spend from live.marts.customers")] == ["33.00"]


def test_of_the_changes_of_a_mariadb_transaction_the_later_one_counts(engine: Engine) -> None:
    """Also in another batch; an older transaction that is sent again changes nothing, and a snapshot's row counts."""

    def came(op: str, total: str, gtid: str | None, snapshot: bool = False) -> str:
        place = {"gtid": gtid, "ts_us": 1_767_225_600_000_000}
        value = json.dumps({"op": op, "before": None, "after": bill(1, "A", total), "source": place})
        take(engine, (BILLS, value), snapshot=snapshot)
        ((spend,),) = rows(engine, "select spend from live.marts.customers")
        return str(spend)

    assert came("c", "1.00", "0-1-9") == "1.00"
    assert came("u", "2.00", "0-1-10") == "2.00"
    assert came("u", "3.00", "0-1-10") == "3.00"
    assert came("u", "1.00", "0-1-9") == "3.00"
    assert came("r", "4.00", None, snapshot=True) == "4.00"
    assert came("u", "5.00", "0-1-11") == "5.00"


def test_a_bill_that_came_before_its_member_is_found_when_the_member_comes(engine: Engine) -> None:
    """The sources have no common order: what could not be tagged yet is tagged later, with its lines."""
    line = {"bill_id": 2, "line_no": 1, "amount": "5.00"}
    take(engine, (LINES, change("c", None, line, 100)), (BILLS, change("c", None, bill(2, "B"), 99)))
    take(engine, (MEMBERS, change("c", None, {"member_id": 2, "loyalty_card": "B", "first_name": "Bo"}, 60)))
    found = rows(engine, "select visits, amount from live.marts.customers where profile_id = 2")
    assert [(visits, str(amount)) for visits, amount in found] == [(1, "5.00")]


def test_the_state_is_the_same_after_closing_and_opening(tmp_path: Path) -> None:
    """Positions, rows and readiness are on disk, together."""
    engine = Engine(tmp_path / "live.duckdb", SHOP)
    engine.start(COMMITTED)
    take(engine, (BILLS, change("c", None, bill(1, None), 100)))
    engine.close()
    again = Engine(tmp_path / "live.duckdb", SHOP)
    assert again.ready
    assert again.warehouse.positions() == {(BILLS, 0): 0}
    assert rows(again, 'select bill_id from live.pos."bills tail"') == [(1,)]
    again.close()


def test_a_failed_batch_leaves_nothing_behind(engine: Engine) -> None:
    """One transaction: the positions never say more than the state."""
    before = engine.warehouse.positions()
    with pytest.raises(RuntimeError), engine.warehouse.transaction():
        engine.apply(batch([(BILLS, change("c", None, bill(7, "A"), 100))]))
        raise RuntimeError
    assert engine.warehouse.positions() == before
    assert rows(engine, "select visits from live.marts.customers") == [(0,)]
    take(engine, (BILLS, change("c", None, bill(7, "A"), 100)))
    assert rows(engine, "select visits from live.marts.customers") == [(1,)]


def test_a_column_that_is_declared_later_is_added_and_one_of_another_type_refused(tmp_path: Path) -> None:
    """The project may grow; a type that changed is named with file and mend."""
    Engine(tmp_path / "live.duckdb", SHOP).close()
    grown = [replace(t, columns=(*t.columns, Column("till", "integer"))) if t.name == "bills" else t for t in TABLES]
    Engine(tmp_path / "live.duckdb", replace(SHOP, tables=tuple(grown))).close()
    other = [replace(t, columns=(*t.columns, Column("till", "date"))) if t.name == "bills" else t for t in TABLES]
    with pytest.raises(WarehouseError, match=r"till of pos\.bills is kept as INTEGER") as error:
        Engine(tmp_path / "live.duckdb", replace(SHOP, tables=tuple(other)))
    assert error.value.where == "sources.yml"


def test_a_delete_whose_other_values_do_not_fit_is_a_delete(engine: Engine) -> None:
    """Nothing but the key is kept of a deleted row, so nothing else of it can be wrong."""
    take(engine, (BILLS, change("c", None, bill(1, "A"), 100)))
    take(engine, (BILLS, change("d", bill(1, "A") | {"sold_at": "infinity"}, None, 110)))
    assert quarantined(engine) == []
    assert rows(engine, "select visits from live.marts.customers") == [(0,)]


@pytest.mark.parametrize("small", [True, False])
def test_a_column_named_like_debeziums_operation_is_a_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    """A table may have a column `op`; small and large batches read it alike."""
    if not small:
        monkeypatch.setattr("transforms.decoding.SMALL_BATCH", 0)
    project = Project((table("pos.moves", {"id": "integer", "op": "varchar"}, ["id"]),), (), (), "")
    engine = Engine(tmp_path / "live.duckdb", project)
    take(engine, ("pos.pos.moves", change("c", None, {"id": 1, "op": "in"}, 100)))
    assert rows(engine, 'select op from live.pos."moves tail"') == [("in",)]
    engine.close()


@pytest.mark.parametrize("reopened", [False, True])
def test_a_row_that_went_without_a_word_is_not_doubled_when_it_is_made_anew(tmp_path: Path, reopened: bool) -> None:
    """After a TRUNCATE, or a second snapshot, rows may be stored that the source lost: then a create is an upsert."""
    engine = Engine(tmp_path / "live.duckdb", SHOP)
    engine.start(COMMITTED)
    take(engine, (MEMBERS, change("c", None, {"member_id": 1, "loyalty_card": "A", "first_name": "Ada"}, 50)))
    take(engine, (BILLS, change("c", None, bill(1, "A"), 100)), (LINES, change("c", None, LINE, 101)))
    take(engine, (BILLS, change("t", None, None, 110)))
    take(engine, (LINES, change("r", None, LINE | {"line_no": 2}, 120)), snapshot=True)
    if reopened:
        compact(engine.warehouse, engine.mirror, at_least=1)
        engine.close()
        engine = Engine(tmp_path / "live.duckdb", SHOP)
    take(engine, (BILLS, change("c", None, bill(1, "A"), 130)), (LINES, change("c", None, LINE, 131)))
    assert rows(engine, "select visits from live.marts.customers") == [(1,)]
    assert [str(amount) for (amount,) in rows(engine, "select amount from live.marts.customers")] == ["10.00"]
    engine.close()


LINE = {"bill_id": 1, "line_no": 1, "amount": "5.00"}


def test_a_pipeline_that_is_never_quiet_folds_its_tails_in_when_they_are_long(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a busy shop's tail would grow for ever; and it waits for half the base, so that no row is moved often."""
    monkeypatch.setattr("transforms.compact.LONG_TAIL", 2)
    done = []
    for number in range(10):
        take(engine, (BILLS, change("c", None, bill(number, "A"), 100 + number)))
        done.append("pos.bills" in compact_if_long(engine.warehouse, engine.mirror))
    assert done == [False, True, False, True, False, True, False, False, True, False]
    assert rows(engine, "select visits from live.marts.customers") == [(10,)]
