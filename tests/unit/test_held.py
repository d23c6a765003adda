"""Rows held in memory: they are those that are stored, after any change, and after one that was undone."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import held
from transforms.held import Held
from transforms.warehouse import Warehouse

SCHEMA = pa.schema({"a": pa.int64(), "b": pa.string(), "n": pa.int64(), "profile_id": pa.int64()})
STORED = "select * from live.stored where profile_id is not null"

numbers = st.integers(1, 4)
row = st.tuples(numbers, st.sampled_from("xy"), st.integers(0, 9), st.none() | numbers)
steps = st.one_of(
    st.tuples(st.just("put"), st.lists(row, max_size=6)),
    st.tuples(st.just("leave"), st.lists(numbers, max_size=3)),
    st.tuples(st.just("undo"), st.lists(row, max_size=6)),
)


class Undone(Exception):
    pass


def table(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [[] for _ in SCHEMA]
    return pa.table([pa.array(list(c), f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def put(warehouse: Warehouse, here: Held, rows: list[tuple[Any, ...]]) -> None:
    """Upsert by key, as the mirror does."""
    rows = list({entry[:2]: entry for entry in rows}.values())
    was = []
    for a, b, _, _ in rows:
        found = warehouse.con.execute("select profile_id from live.stored where a = ? and b = ?", [a, b]).fetchall()
        was.append(found[0][0] if found else None)
        warehouse.con.execute("delete from live.stored where a = ? and b = ?", [a, b])
    here.remove(pa.chunked_array([pa.array(was, pa.int64())]), table(rows))
    for entry in rows:
        warehouse.con.execute("insert into live.stored values (?, ?, ?, ?)", list(entry))
    here.add(table(rows))


@pytest.fixture(params=[2, 1_000_000], ids=["merged often", "merged never"])
def merged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MERGED", request.param)
    monkeypatch.setattr(held, "CHUNKS", 2)


@pytest.mark.usefixtures("merged")
@settings(max_examples=int(os.environ.get("RINGUP_EXAMPLES", "40")))
@given(script=st.lists(steps, max_size=8))
def test_what_is_held_is_what_is_stored(script: list[tuple[str, list[Any]]]) -> None:
    """After every insert, update, delete and rollback, the rows of any profiles are those of the table."""
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(Path(folder) / "live.duckdb")
        warehouse.con.execute("create table live.stored (a bigint, b varchar, n bigint, profile_id bigint)")
        here = Held(warehouse, STORED, ["a", "b"])
        for step, what in [("put", []), *script]:
            with suppress(Undone), warehouse.transaction():
                if step == "leave":
                    gone = ", ".join(map(str, [0, *what]))
                    warehouse.con.execute(f"delete from live.stored where profile_id in ({gone})")
                    here.remove(pa.array(what, pa.int64()))
                else:
                    put(warehouse, here, what)
                if step == "undo":
                    raise Undone
            for asked in ([], [1], [2, 3], [4, 1, 9]):
                found = here.of(pa.chunked_array([pa.array(asked, pa.int64())]))
                assert found is not None
                wanted = ", ".join(map(str, [0, *asked]))
                stored = warehouse.con.execute(f"{STORED} and profile_id in ({wanted})").fetchall()
                assert sorted(map(str, zip(*found.to_pydict().values(), strict=True))) == sorted(map(str, stored))
        warehouse.close()


def test_a_relation_that_is_too_large_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has an end: such a relation is read where it is stored, also when it grew to this while it was held."""
    monkeypatch.setattr(held, "HELD", 8)
    warehouse = Warehouse(tmp_path / "live.duckdb")
    warehouse.con.execute("create table live.stored (a bigint, b varchar, n bigint, profile_id bigint)")
    here, one = Held(warehouse, STORED, ["a", "b"]), pa.chunked_array([pa.array([1], pa.int64())])
    put(warehouse, here, [(1, "x", 1, 1), (2, "x", 1, 1)])
    assert here.of(one) is not None
    put(warehouse, here, [(3, "x", 1, 1)])
    assert here.of(one) is None
    warehouse.close()
