"""The short way to decode a small batch gives the same rows as the SQL that defines decoding, or leaves it to that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.shop import batch, table
from transforms.decode import UNAVAILABLE
from transforms.decoding import numbered
from transforms.mirror import Mirror, with_fresh
from transforms.quick import quick_decode
from transforms.stage import Stage
from transforms.warehouse import Warehouse

KINDS = {
    "id": "BIGINT",
    "small": "SMALLINT",
    "flag": "BOOLEAN",
    "name": "VARCHAR",
    "price": "DECIMAL(12,2)",
    "day": "DATE",
    "at": "TIMESTAMP WITH TIME ZONE",
}
TABLE = table("pos.things", KINDS, ["id"])

ordinary: dict[str, st.SearchStrategy[Any]] = {
    "id": st.integers(-(2**63), 2**63 - 1),
    "small": st.none() | st.integers(-(2**15), 2**15 - 1),
    "flag": st.none() | st.booleans(),
    "name": st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5),
    "price": st.none() | st.integers(-(10**12) + 1, 10**12 - 1).map(lambda n: f"{n / 100:.2f}"),
    "day": st.none() | st.dates().map(lambda day: f"{day.isoformat()}Z"),
    "at": st.none() | st.datetimes().map(lambda at: at.isoformat() + "Z"),
}
odd: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["", "NaN", "infinity", "1e3", "12.345", "2026-02-30Z", "2026-03-01T10:00:00+02:00", UNAVAILABLE]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.none(),
    st.lists(st.integers(), max_size=2),
)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """A warehouse with the one table, in which decoding runs."""
    path: Path = tmp_path_factory.mktemp("quick") / "live.duckdb"
    warehouse = Warehouse(path)
    yield Mirror(warehouse, (TABLE,))
    warehouse.close()


def event(op: str, row: dict[str, Any] | None, lsn: int) -> str:
    before, after = (row, None) if op == "d" else (None, row)
    return json.dumps(
        {"op": op, "before": before, "after": after, "source": {"lsn": lsn, "ts_us": 1_767_225_600_000_001}}
    )


def binlog_event(op: str, row: dict[str, Any], gtid: str, number: int = 1) -> str:
    """A change as MariaDB's connector writes it; a snapshot's rows belong to no transaction."""
    before, after = (row, None) if op == "d" else (None, row)
    source = {"ts_us": 1_767_225_600_000_000, "gtid": None if op == "r" else gtid, "row": 0}
    place = None if op == "r" else {"id": gtid, "total_order": number, "data_collection_order": 1}
    return json.dumps({"op": op, "before": before, "after": after, "source": source, "transaction": place})


def both(mirror: Mirror, values: list[str | None], high: int) -> tuple[Any, Any]:
    """The rows by the short way (None where it declines) and by SQL, as they would be staged."""
    records = batch([(TABLE.topic, value) for value in values]).records
    by_sql = mirror.decoder._by_sql(TABLE.topic, numbered(records))
    stage: Stage = mirror._stages[TABLE.relation]
    quick = quick_decode(TABLE, values, list(range(len(values))))
    good = by_sql.num_rows == by_sql.column("_bad").null_count
    staged = stage.fitted(with_fresh(by_sql, high)).sort_by("_n").to_pylist() if good else None
    return None if quick is None else stage.fitted(with_fresh(quick, high)).to_pylist(), staged


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_ordinary_changes_are_decoded_to_the_same_rows(mirror: Mirror, data: st.DataObject) -> None:
    """Every type, operation and position: nothing of an ordinary change is left to the SQL, and nothing differs."""
    rows = data.draw(st.lists(st.fixed_dictionaries(ordinary), min_size=1, max_size=4))
    values = [event(data.draw(st.sampled_from("crud")), row, data.draw(st.integers(0, 200))) for row in rows]
    quick, by_sql = both(mirror, [*values, None], data.draw(st.sampled_from([-1, 0, 100])))
    assert quick is not None
    assert quick == by_sql


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ops=st.lists(st.sampled_from("crud"), min_size=1, max_size=4),
    gtids=st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(1, 10**18 - 1)),
    numbers=st.lists(st.integers(1, 9), min_size=4, max_size=4),
    high=st.sampled_from([-1, 0, 100]),
)
def test_changes_of_mariadb_are_decoded_to_the_same_rows(
    mirror: Mirror, ops: list[str], gtids: tuple[int, int, int], numbers: list[int], high: int
) -> None:
    """Their positions come from the GTID; booleans are 0 and 1."""
    gtid = "-".join(map(str, gtids))
    row = {**dict.fromkeys(KINDS), "id": 1, "flag": numbers[0] % 2}
    values = [binlog_event(op, row, gtid, number) for op, number in zip(ops, numbers, strict=False)]
    quick, by_sql = both(mirror, [*values, None], high)
    assert quick is not None
    assert quick == by_sql


def test_positions_of_mariadb_rise_with_its_log(mirror: Mirror) -> None:
    """Whichever server wrote it; a snapshot's row is stored below all of them, and newer than all."""
    values = [binlog_event("u", {"id": 1}, gtid) for gtid in ("0-1-9", "0-1-10", "0-2-11")]
    quick, _ = both(mirror, [*values, binlog_event("r", {"id": 1}, "")], 0)
    assert [found["_position"] for found in quick] == [9, 10, 11, 0]
    assert quick[-1]["_seen"] > 11


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_value_out_of_the_ordinary_is_never_decoded_otherwise(mirror: Mirror, data: st.DataObject) -> None:
    """The short way declines, or gives what the SQL gives; it never has an answer of its own."""
    row = data.draw(st.fixed_dictionaries(ordinary)) | {data.draw(st.sampled_from(sorted(KINDS))): data.draw(odd)}
    quick, by_sql = both(mirror, [event("c", row, 5)], 0)
    assert quick is None or quick == by_sql


@pytest.mark.parametrize(
    "value",
    ["no json", "[]", event("t", None, 1), event("c", None, 1), event("x", {"id": 1}, 1), event("c", {"id": None}, 1)],
)
def test_what_is_no_ordinary_change_is_left_to_the_sql(mirror: Mirror, value: str) -> None:
    """A change that may have to be quarantined is judged in one place only."""
    assert both(mirror, [value], 0)[0] is None
