"""The ledgers: one row per message for ever, numbered, and what is unfinished found again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activations import outbox
from activations.outbox import Outbox
from activations.plan import plan
from activations.types import Delivery, Receipt, State
from tests.outgoing import NOW, POINTS, delivery, fired


def opened(path: str = ":memory:") -> duckdb.DuckDBPyConnection:
    """A connection as the warehouse has it: the file is attached as `live` to an in-memory catalog."""
    connection = duckdb.connect(":memory:")
    connection.execute(f"attach '{path}' as live (row_group_size 20480)")
    return connection


def receipt(of: Delivery, state: State, attempt: int = 1) -> Receipt:
    """How an attempt ended."""
    at = NOW + timedelta(seconds=attempt)
    return Receipt(of.delivery_id, of.seq, state, attempt, at, f"{state} {attempt}", 200)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with an empty catalog `live`."""
    with opened() as connection:
        yield connection


def test_what_was_appended_is_pending_until_a_final_receipt(con: duckdb.DuckDBPyConnection) -> None:
    """Deliveries come back whole and in order; delivered and rejected ones do not, retried and unknown ones do."""
    box = Outbox(con)
    new = box.append([], [replace(delivery(n, profile_id=n), seq=0) for n in (3, 1, 4, 2)])
    assert [item.seq for item in new] == [1, 2, 3, 4]
    assert outbox.pending(con, "till", after=0, limit=10) == new
    box.record([receipt(new[0], "delivered"), receipt(new[1], "retry"), receipt(new[2], "unknown")])
    box.record([receipt(new[2], "rejected", 2)])
    assert outbox.pending(con, "till", after=0, limit=10) == [new[1], new[3]]
    assert outbox.counts(con) == {"messages": 4, "delivered": 1, "rejected": 1, "pending": 2}


def test_pending_goes_on_where_it_was_told(con: duckdb.DuckDBPyConnection) -> None:
    """It gives the oldest of one channel after a number, and no more than asked for."""
    new = Outbox(con).append([], [delivery(n, channel="till" if n % 2 else "mail") for n in range(1, 11)])
    assert [item.seq for item in outbox.pending(con, "till", after=3, limit=2)] == [5, 7]
    assert [item.channel for item in outbox.pending(con, "mail", after=0, limit=99)] == ["mail"] * 5
    assert outbox.pending(con, "till", after=new[-1].seq, limit=5) == []


def test_a_message_enters_the_outbox_once(con: duckdb.DuckDBPyConnection) -> None:
    """The same id is left out in the same batch, in a later one and after the file was opened again."""
    box = Outbox(con)
    assert len(box.append([], [delivery(1), delivery(1), delivery(2)])) == 2
    assert [item.delivery_id for item in box.append([], [delivery(2), delivery(3)])] == [delivery(3).delivery_id]
    again = Outbox(con)
    assert [item.seq for item in again.append([], [delivery(1), delivery(3), delivery(4)])] == [4]
    assert outbox.counts(con)["messages"] == 4


def test_messages_of_before_there_were_kinds_get_theirs(con: duckdb.DuckDBPyConnection) -> None:
    """A state without the column is taken over: how a segment changed is in the event's id."""
    box = Outbox(con)
    changes = [replace(delivery(n), event_id=f"{kind}@2026-03-01") for n, kind in enumerate(("entered", "exited"), 1)]
    box.append([], [*changes, replace(delivery(3), event_id="bill@1")])
    con.execute("alter table live.ringup.outbox drop column kind")
    again = Outbox(con)
    again.append([], [replace(delivery(4), kind="updated")])
    kinds = [item.kind for item in outbox.pending(con, "till")]
    assert kinds == ["entered", "exited", "fired", "updated"]


def test_a_rolled_back_message_may_be_sent_later(con: duckdb.DuckDBPyConnection) -> None:
    """What was not committed is not taken for sent, and no number is given twice."""
    box = Outbox(con)
    con.execute("begin")
    lost = box.append([], [delivery(1)])
    con.execute("rollback")
    kept = box.append([], [delivery(1)])
    assert [item.delivery_id for item in kept] == [item.delivery_id for item in lost]
    assert kept[0].seq > lost[0].seq


def test_nothing_to_write_is_no_statement(con: duckdb.DuckDBPyConnection) -> None:
    """Empty batches do not even touch the database."""
    box = Outbox(con)
    con.close()
    assert box.append([], []) == []
    box.record([])


def test_decisions_are_kept_with_what_each_rule_saw(con: duckdb.DuckDBPyConnection) -> None:
    """The ledger can be asked in SQL why something was not sent."""
    decisions, _ = plan([fired()], [POINTS], snapshot=True, now=NOW)
    Outbox(con).append(decisions, [])
    assert con.execute(
        "select activation, profile_id, event_id, verdict, rules->1->>'rule', (rules->1->'passed')::boolean,"
        " (rules->1->'saw'->'snapshot')::boolean, epoch_us(decided_at) from live.ringup.decisions"
    ).fetchall() == [
        ("points_at_the_till", 1, "bill-1", "suppress", "known", False, True, int(NOW.timestamp() * 1_000_000))
    ]


def test_a_profile_can_be_asked_for_its_messages(con: duckdb.DuckDBPyConnection) -> None:
    """Its newest messages come first, each with how the last attempt ended."""
    box = Outbox(con)
    new = box.append([], [delivery(n, profile_id=n % 2) for n in range(1, 7)])
    box.record([receipt(new[0], "retry"), receipt(new[0], "delivered", 2)])
    found = outbox.messages(con, 1)
    assert [row["event_id"] for row in found] == ["5", "3", "1"]
    assert [row["state"] for row in found] == ["pending", "pending", "delivered"]
    assert (found[2]["attempts"], found[2]["detail"]) == (2, "delivered 2")
    assert found[0]["body"]["data"] == {"number": 5}
    assert len(outbox.messages(con, 1, limit=2)) == 2


def test_the_ledgers_survive_a_restart(tmp_path: Path) -> None:
    """What one run left unfinished the next one finds, and goes on numbering after it."""
    with opened(str(tmp_path / "live.duckdb")) as first:
        new = Outbox(first).append([], [delivery(1), delivery(2)])
        Outbox(first).record([receipt(new[0], "delivered")])
    with opened(str(tmp_path / "live.duckdb")) as second:
        box = Outbox(second)
        assert outbox.pending(second, "till", after=0, limit=10) == [new[1]]
        assert [item.seq for item in box.append([], [delivery(3)])] == [3]


Step = tuple[str, list[int]]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["append", "roll back", "deliver", "retry", "open again"]),
            st.lists(st.integers(1, 30), max_size=12),
        ),
        max_size=12,
    )
)
@settings(max_examples=30)
def test_the_outbox_agrees_with_a_simple_model(steps: list[Step]) -> None:
    """After any history, pending is what was appended once and not finished, in the order of appending."""
    with opened() as con:
        box = Outbox(con)
        model: dict[str, Delivery] = {}
        finished: set[str] = set()
        for what, numbers in steps:
            chosen = [delivery(number, profile_id=number % 4) for number in numbers]
            if what == "open again":
                box = Outbox(con)
            elif what in ("append", "roll back"):
                con.execute("begin")
                new = box.append([], chosen)
                con.execute("commit" if what == "append" else "rollback")
                assert {item.delivery_id for item in new} == {item.delivery_id for item in chosen} - set(model)
                if what == "append":
                    model |= {item.delivery_id: item for item in new}
            else:
                known = [model[item.delivery_id] for item in chosen if item.delivery_id in model]
                box.record([receipt(item, "delivered" if what == "deliver" else "retry") for item in known])
                finished |= {item.delivery_id for item in known if what == "deliver"}
        left = [item for item in model.values() if item.delivery_id not in finished]
        assert outbox.pending(con, "till", after=0, limit=1000) == left
        assert [item.seq for item in left] == sorted(item.seq for item in left)
        assert outbox.counts(con)["pending"] == len(left)
