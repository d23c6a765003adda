"""Messages as CloudEvents in Kafka records: what is written can be read, whatever is in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activations.cloudevents import record
from activations.plan import plan
from activations.types import Delivery
from tests.cloud_events import event_of
from tests.outgoing import COMMITTED, NEARLY, NOW, POINTS, change, fired
from transforms.changes import Membership

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(),
    st.binary(max_size=20),
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
    st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),
)


def sent(candidate: Any, activation: Any) -> Delivery:
    """The message that a candidate becomes."""
    _, [delivery] = plan([candidate], [activation], snapshot=False, now=NOW)
    return delivery


def read(delivery: Delivery, source: str = "/ringup/shop") -> dict[str, Any]:
    """The event that a consumer reads, when the delivery was published."""
    made = record(delivery, source)
    return event_of(cast(list[tuple[str, bytes]], made.headers), made.value)


def test_a_trigger_is_a_cloud_event() -> None:
    """Its attributes say what it is, of whom and when; its data are the message as a webhook gets it."""
    delivery = sent(fired(profile_id=42), POINTS)
    assert read(delivery) == {
        "specversion": "1.0",
        "id": delivery.delivery_id,
        "source": "/ringup/shop",
        "type": "ringup.trigger.fired",
        "subject": "42",
        "time": COMMITTED,
        "datacontenttype": "application/json",
        "data": orjson.loads(delivery.body),
    }
    assert record(delivery, "/ringup/shop").key == b"42"


@pytest.mark.parametrize("kind", ["entered", "exited", "updated"])
def test_a_segment_change_says_how_it_changed(kind: Membership) -> None:
    """The type has the word that the activation waits for."""
    assert read(sent(change(kind), replace(NEARLY, when=kind)))["type"] == f"ringup.segment.{kind}"


@given(
    st.dictionaries(st.text(min_size=1, max_size=10), VALUES, max_size=5),
    st.integers(-(2**63), 2**63 - 1),
    st.text(min_size=1, max_size=20),
    st.from_regex(r"\A\S+\Z"),
)
def test_every_message_is_read_as_it_was_written(
    row: dict[str, object], profile_id: int, event_id: str, source: str
) -> None:
    """Any row, profile, event and source come back from headers and JSON; the key is the profile."""
    delivery = sent(fired(profile_id, event_id, row), POINTS)
    event = read(delivery, source)
    assert (event["source"], event["subject"], event["id"]) == (source, str(profile_id), delivery.delivery_id)
    assert record(delivery, source).key.decode() == str(profile_id)
    data = event["data"]["data"]
    assert (data["profile_id"], data["event_id"]) == (profile_id, event_id)
    for name, value in row.items():
        if name not in ("profile_id", "event_id", "text", "committed_at"):
            assert name in data
            if isinstance(value, str | bool | None):
                assert data[name] == value
            if isinstance(value, Decimal):
                assert Decimal(data[name]) == value


def test_a_message_is_the_same_record_at_every_attempt() -> None:
    """Also when it comes out of the outbox in another time zone."""
    delivery = sent(fired(), POINTS)
    local = replace(delivery, committed_at=COMMITTED.astimezone(), created_at=NOW.astimezone())
    assert record(local, "/ringup/shop") == record(delivery, "/ringup/shop")
