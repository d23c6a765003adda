"""A state that is built from the lake alone is the one that was there, to the last row."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.log import RECORDS
from ringup.engine import Engine
from ringup.errors import LakeError
from ringup.rebuilding import fill
from tests.shop import COMMITTED, SHOP, batch, change
from tests.till import BY_NAME, Till, operations, perform
from transforms.lake import Lake
from transforms.prove import prove
from transforms.warehouse import quoted

Record = tuple[str, str | None]


def take(engine: Engine, records: Sequence[Record], taken: list[pa.Table], *, snapshot: bool = False) -> None:
    """Apply a batch; it is what the log has next, written as Debezium does, without spaces."""
    compact = [(topic, value and json.dumps(json.loads(value), separators=(",", ":"))) for topic, value in records]
    came = batch(compact, start=sum(table.num_rows for table in taken), snapshot=snapshot)
    with engine.warehouse.transaction():
        engine.apply(came)
    taken.append(came.records)


def rows_of(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the tables and of the models."""
    found = {}
    for table in SHOP.tables:
        parts = (quoted("live", table.source, part) for part in (table.name, f"{table.name} tail"))
        found[table.relation] = engine.warehouse.con.execute(
            " union all ".join(f"from {p} where not _deleted" for p in parts)
        ).fetchall()
    for model in SHOP.models:
        if model.materialized == "table":
            found[model.relation] = engine.warehouse.con.execute(
                f"from {quoted('live', *model.relation.split('.'))}"
            ).fetchall()
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_what_is_built_from_the_lake_is_what_was_there(data: st.DataObject) -> None:
    """Whatever came in whatever order, resends, snapshots and rows that the source lost without a word among it."""
    till, sent, taken = Till(), dict.fromkeys(BY_NAME, 0), list[pa.Table]()
    with tempfile.TemporaryDirectory() as name, closing(Engine(Path(name) / "kept.duckdb", SHOP)) as kept:
        kept.start(COMMITTED)
        for _ in range(data.draw(st.integers(1, 4), label="batches")):
            for operation in data.draw(st.lists(operations, max_size=8), label="operations"):
                perform(till, operation)
            records: list[Record] = []
            for table in data.draw(st.permutations(sorted(BY_NAME)), label="order"):
                behind = data.draw(st.integers(0, min(sent[table], 4)), label="resent")
                records += till.events[table][sent[table] - behind :]
                sent[table] = len(till.events[table])
            take(kept, records, taken)
            if data.draw(st.booleans(), label="snapshot"):
                table = data.draw(st.sampled_from(sorted(BY_NAME)), label="table")
                for key in data.draw(st.sets(st.sampled_from(sorted(till.rows[table])[1:] or [()])), label="lost"):
                    till.rows[table].pop(key, None)
                read = [(BY_NAME[table].topic, change("r", None, row, till.lsn)) for row in till.rows[table].values()]
                take(kept, read, taken, snapshot=True)
        lake, log = Lake(Path(name) / "lake", SHOP.tables), pa.concat_tables([RECORDS.empty_table(), *taken])
        cuts = sorted({0, log.num_rows, *data.draw(st.lists(st.integers(0, log.num_rows), max_size=4), label="files")})
        with closing(lake), closing(Engine(Path(name) / "built.duckdb", SHOP)) as built:
            for first, last in pairwise(cuts):
                part = log.slice(first, last - first)
                lake.append(part, {(topic, 0): last - 1 for topic in part.column("topic").unique().to_pylist()})
            fill(built, lake, lake.positions(), lambda done, whole: None)
            built.start(COMMITTED)
            assert rows_of(built) == rows_of(kept)
            assert prove(built.warehouse.reader(), SHOP).differ == 0


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """With what to do; nothing is built from the rest."""
    came = batch([("pos.pos.rates", change("c", None, {"rate_id": 1, "factor": 2}, 100))])
    with (
        closing(Lake(tmp_path / "lake", SHOP.tables)) as lake,
        closing(Engine(tmp_path / "built.duckdb", SHOP)) as built,
    ):
        [file] = lake.append(came.records, came.positions)
        file.path.write_bytes(file.path.read_bytes()[:-20])
        with pytest.raises(LakeError, match="the file is damaged") as damaged:
            fill(built, lake, lake.positions(), lambda done, whole: None)
    assert damaged.value.where == str(file.path)
