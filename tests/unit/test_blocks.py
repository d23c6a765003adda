"""The transaction that a change names, wherever in the change that stands."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from connectors.blocks import blocks

NAMES = st.sampled_from(["7:1", "0-1-7", "8:2", "é"])
BLOCK = st.builds(
    lambda name, number, place: {"id": name, "total_order": number, "data_collection_order": place},
    NAMES,
    st.integers(0, 10**18 - 1),
    st.integers(1, 3),
)
TEXTS = st.sampled_from(["", "é" * 200, '"transaction":{"id":"9:9","total_order":9}', '"transaction":null,"op":"r"}'])
ROWS = st.dictionaries(st.sampled_from(["id", "transaction", "op"]), st.none() | TEXTS, max_size=3)
ORDERS = st.sampled_from(
    [
        ("before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns"),
        ("before", "after", "source", "op", "ts_ms", "transaction"),
        ("transaction", "op", "ts_ms", "source", "before", "after"),
    ]
)


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """A change, its parts in the order of one of Debezium's versions, or in one of nobody's."""
    parts = {
        "before": draw(st.none() | ROWS),
        "after": draw(st.none() | ROWS),
        "source": {"snapshot": "false", "table": draw(TEXTS)},
        "transaction": draw(st.none() | BLOCK),
        "op": draw(st.sampled_from("curdt")),
        **dict.fromkeys(("ts_ms", "ts_us", "ts_ns"), 1_767_225_600_000_000),
    }
    return {part: parts[part] for part in draw(ORDERS)}


def belongs_to(change: dict[str, Any] | None) -> tuple[str, int]:
    """What `blocks` should find."""
    block = (change or {}).get("transaction")
    if change is None or block is None:
        return "", 0
    names = list(change)
    truncated = change["op"] == "t" and names.index("op") == names.index("transaction") + 1
    if truncated and block["id"] == "0-1-7" and block["data_collection_order"] == 1:
        return "", block["total_order"]
    return block["id"], block["total_order"]


@given(st.lists(st.none() | changes(), max_size=4), st.integers(0, 4))
def test_the_transaction_of_a_change_is_found_wherever_it_stands(those: list[dict[str, Any] | None], cut: int) -> None:
    """Among tombstones, in any order of a change's parts, whatever its row's columns are called and hold."""
    texts = [change and json.dumps(change, separators=(",", ":"), ensure_ascii=False) for change in those]
    found = blocks(pa.chunked_array([texts[:cut], texts[cut:]], pa.string()))
    assert [(row["transaction"], row["number"]) for row in found.to_pylist()] == [belongs_to(c) for c in those]
