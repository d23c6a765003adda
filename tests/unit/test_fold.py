"""What a scheduled run folds from the lake is what the live run's mirror holds at the same positions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.log import RECORDS, Positions
from ringup.engine import Engine
from ringup.errors import LakeError
from tests.shop import COMMITTED, SHOP, batch, change
from tests.till import BY_NAME, Till, operations, perform
from transforms.fold import Folded, fold
from transforms.fold_tags import folded_name
from transforms.lake import Lake
from transforms.lake_cut import Cut, Origin
from transforms.project import Column, Table
from transforms.warehouse import quoted

Record = tuple[str, str | None]
ORIGIN = Origin("own", "a state", whole=True)


@contextmanager
def file(path: Path | str = ":memory:") -> Iterator[duckdb.DuckDBPyConnection]:
    """A scheduled run's own file."""
    with duckdb.connect(path) as con:
        con.execute("set timezone = 'UTC'")
        yield con


def take(engine: Engine, records: Sequence[Record], taken: list[pa.Table], *, snapshot: bool = False) -> None:
    """Apply a batch; it is what the log has next, written as Debezium does, without spaces."""
    compact = [(topic, value and json.dumps(json.loads(value), separators=(",", ":"))) for topic, value in records]
    came = batch(compact, start=sum(table.num_rows for table in taken), snapshot=snapshot)
    with engine.warehouse.transaction():
        engine.apply(came)
    taken.append(came.records)


def kept(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """All rows that the mirror holds."""
    found = {}
    for table in SHOP.tables:
        names = ", ".join([*(quoted(column.name) for column in table.columns), "profile_id"])
        parts = (quoted("live", table.source, part) for part in (table.name, f"{table.name} tail"))
        rows = " union all ".join(f"select {names} from {part} where not _deleted" for part in parts)
        found[table.relation] = sorted(engine.warehouse.con.execute(rows).fetchall(), key=repr)
    return found


def folded(con: duckdb.DuckDBPyConnection, tables: Sequence[Table] = SHOP.tables) -> dict[str, list[tuple[Any, ...]]]:
    """All rows that were folded."""
    return {
        table.relation: sorted(
            con.execute(
                f"select * exclude (_position, _deleted) from {folded_name(table)} where not _deleted"
            ).fetchall(),
            key=repr,
        )
        for table in tables
    }


def folding(con: duckdb.DuckDBPyConnection, lake: Lake, upto: Positions, tables: Sequence[Table]) -> Folded:
    return fold(con, tables, lake, ORIGIN, Cut(upto, {}))


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_what_is_folded_is_what_the_live_run_holds(data: st.DataObject) -> None:
    """Whatever came in whatever order, at every commit: folded step by step, and all at once into another file."""
    till, sent, taken = Till(), dict.fromkeys(BY_NAME, 0), [RECORDS.empty_table()]
    with (
        tempfile.TemporaryDirectory() as name,
        closing(Engine(Path(name) / "kept.duckdb", SHOP)) as engine,
        closing(Lake(Path(name) / "lake", SHOP.tables[: data.draw(st.integers(0, 4), label="typed")])) as lake,
        file() as con,
    ):
        engine.start(COMMITTED)
        written = 0
        for _ in range(data.draw(st.integers(1, 4), label="batches")):
            for operation in data.draw(st.lists(operations, max_size=8), label="operations"):
                perform(till, operation)
            records: list[Record] = []
            for table in data.draw(st.permutations(sorted(BY_NAME)), label="order"):
                behind = data.draw(st.integers(0, min(sent[table], 4)), label="resent")
                records += till.events[table][sent[table] - behind :]
                sent[table] = len(till.events[table])
            take(engine, records, taken)
            if data.draw(st.booleans(), label="snapshot"):
                table = data.draw(st.sampled_from(sorted(BY_NAME)), label="table")
                read = [(BY_NAME[table].topic, change("r", None, row, till.lsn)) for row in till.rows[table].values()]
                take(engine, read, taken, snapshot=True)
            if data.draw(st.booleans(), label="fold"):
                log = pa.concat_tables(taken)
                cuts = data.draw(st.lists(st.integers(written, log.num_rows), max_size=3), label="files")
                for first, last in pairwise(sorted({written, log.num_rows, *cuts})):
                    part = log.slice(first, last - first)
                    lake.append(part, {(topic, 0): last - 1 for topic in part.column("topic").unique().to_pylist()})
                written = log.num_rows
                folding(con, lake, lake.positions(), SHOP.tables)
                assert folded(con) == kept(engine)
        with file() as another:
            folding(another, lake, lake.positions(), SHOP.tables)
            assert folded(another) == (folded(con) if written else {table.relation: [] for table in SHOP.tables})


def rate(number: int, factor: int, lsn: int, op: str = "c") -> Record:
    """A change of the table that is the same for all."""
    row = {"rate_id": number, "factor": factor}
    return "pos.pos.rates", change(op, None if op != "u" else row, row, lsn)


def append(lake: Lake, records: Sequence[Record], start: int = 0) -> None:
    """Write records to the lake."""
    came = batch(records, start=start)
    lake.append(came.records, came.positions)


def test_nothing_beyond_the_commit_is_folded(tmp_path: Path) -> None:
    """The lake may have more than the live run had then; what comes later is read by the next fold, and only that."""
    with closing(Lake(tmp_path, SHOP.tables)) as lake, file() as con:
        append(lake, [rate(1, 1, 100), rate(2, 2, 108), rate(3, 3, 116)])
        topic = ("pos.pos.rates", 0)
        assert folding(con, lake, {topic: 1}, SHOP.tables).records == 2
        assert [row[0] for row in folded(con)["pos.rates"]] == [1, 2]
        assert folding(con, lake, {topic: 2}, SHOP.tables).records == 1
        assert folding(con, lake, {topic: 2}, SHOP.tables).files == 0
        assert [row[0] for row in folded(con)["pos.rates"]] == [1, 2, 3]


@pytest.mark.parametrize("at_once", [True, False])
def test_an_older_change_that_comes_again_changes_nothing(tmp_path: Path, at_once: bool) -> None:
    """Be it folded with the newer one or later: a connector that was restarted sends again what it is not sure of.

    What a snapshot read gives way to any change that comes after it, also to one with a lower position: its transaction
    was open while the snapshot was taken.
    """
    came = [
        rate(1, 5, 108, "u"),
        rate(1, 4, 100),
        rate(2, 7, 200, "r"),
        rate(2, 8, 190, "u"),
        rate(3, 9, 300, "u"),
        rate(3, 6, 250, "r"),
    ]
    with closing(Lake(tmp_path, SHOP.tables)) as lake, file() as con:
        for place, record in enumerate(came):
            append(lake, [record], start=place)
            if not at_once:
                folding(con, lake, lake.positions(), SHOP.tables)
        folding(con, lake, lake.positions(), SHOP.tables)
        assert [row[:2] for row in folded(con)["pos.rates"]] == [(1, 5), (2, 8), (3, 9)]


def test_a_column_that_is_declared_later_is_read_from_the_records_as_they_came(tmp_path: Path) -> None:
    """Files keep the columns that were declared when they were written; the record itself has them all."""
    rates = BY_NAME["pos.rates"]
    before = Table(**{**_fields(rates), "columns": rates.columns[:1]})
    with closing(Lake(tmp_path, [before])) as lake, file() as con:
        append(lake, [rate(1, 5, 100)])
        folding(con, lake, lake.positions(), [before])
        assert folded(con, [before])["pos.rates"] == [(1, None)]
        folding(con, lake, lake.positions(), [rates])
        assert folded(con, [rates])["pos.rates"] == [(1, 5, None)]
        wider = Table(**{**_fields(rates), "columns": (rates.columns[0], Column("factor", "DECIMAL(9,1)"))})
        folding(con, lake, lake.positions(), [wider])
        assert str(folded(con, [wider])["pos.rates"][0][1]) == "5.0"


def _fields(table: Table) -> dict[str, Any]:
    return {name: getattr(table, name) for name in Table.__dataclass_fields__}


def test_a_damaged_file_is_named_and_nothing_is_folded(tmp_path: Path) -> None:
    """What was folded before stays as it was."""
    with closing(Lake(tmp_path, SHOP.tables)) as lake, file() as con:
        append(lake, [rate(1, 1, 100)])
        folding(con, lake, lake.positions(), SHOP.tables)
        append(lake, [rate(2, 2, 108)], start=1)
        last = lake.files("pos.pos.rates")[-1].path
        last.write_bytes(last.read_bytes()[:-20])
        with pytest.raises(LakeError, match="damaged") as damaged:
            folding(con, lake, lake.positions(), SHOP.tables)
        assert damaged.value.where == str(last)
        assert [row[0] for row in folded(con)["pos.rates"]] == [1]
