"""What becomes a message, and the reasons that a decision gives."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activations.decide import decide
from activations.plan import delivery_id, plan
from activations.types import Verdict
from tests.outgoing import COMMITTED, NEARLY, NOW, POINTS, change, fired
from transforms.changes import Membership


def test_an_event_that_an_activation_waits_for_is_sent() -> None:
    """A firing of the activation's trigger is decided as send, with what each rule saw."""
    decision = decide(fired(), POINTS, snapshot=False, now=NOW)
    assert decision.verdict == "send"
    assert decision.rules == (
        Verdict("when", True, {"kind": "fired", "when": "fired"}),
        Verdict("known", True, {"snapshot": False}),
    )
    assert (decision.activation, decision.profile_id, decision.event_id) == ("points_at_the_till", 1, "bill-1")
    assert decision.at == NOW


def test_rows_of_a_snapshot_are_suppressed_with_the_reason() -> None:
    """A snapshot makes the state complete and fires nothing; the decision names the rule."""
    decisions, deliveries = plan([fired()], [POINTS], snapshot=True, now=NOW)
    assert [decision.verdict for decision in decisions] == ["suppress"]
    assert [rule.rule for rule in decisions[0].rules if not rule.passed] == ["known"]
    assert deliveries == []


@pytest.mark.parametrize("kind", ["entered", "exited", "updated"])
@pytest.mark.parametrize("wanted", ["entered", "exited", "updated"])
def test_a_segment_change_concerns_activations_of_its_kind_alone(kind: Membership, wanted: Membership) -> None:
    """A change of another kind leaves neither a decision nor a message, and judged alone it is suppressed."""
    activation = replace(NEARLY, when=wanted)
    decisions, deliveries = plan([change(kind)], [activation], snapshot=False, now=NOW)
    assert len(decisions) == len(deliveries) == (kind == wanted)
    decision = decide(change(kind), activation, snapshot=False, now=NOW)
    assert (decision.verdict == "send") == (kind == wanted)


def test_every_activation_of_a_model_gets_its_own_message() -> None:
    """Two activations on one trigger make two messages with different ids."""
    _, deliveries = plan([fired()], [POINTS, replace(POINTS, name="print_again")], snapshot=False, now=NOW)
    assert [delivery.activation for delivery in deliveries] == ["points_at_the_till", "print_again"]
    assert len({delivery.delivery_id for delivery in deliveries}) == 2


def test_the_body_holds_the_row_the_text_and_the_commit_time() -> None:
    """The message's JSON has the documented fields."""
    _, [delivery] = plan([fired()], [POINTS], snapshot=False, now=NOW)
    assert orjson.loads(delivery.body) == {
        "type": "points_at_the_till",
        "timestamp": "2026-03-01T12:00:00.123456+00:00",
        "data": {
            "first_name": "Ada",
            "points": 50,
            "profile_id": 1,
            "event_id": "bill-1",
            "text": "Ada, you earned 50 points.",
            "committed_at": "2026-03-01T12:00:00.123456+00:00",
        },
    }
    assert (delivery.committed_at, delivery.created_at, delivery.channel) == (COMMITTED, NOW, "till")
    assert delivery.kind == "fired"


def test_a_profile_that_left_is_told_from_its_last_row() -> None:
    """A message on exit is written from the row before it."""
    _, [delivery] = plan([change("exited")], [replace(NEARLY, when="exited")], snapshot=False, now=NOW)
    assert orjson.loads(delivery.body)["data"]["text"] == "Only 21 points."


def test_messages_follow_the_order_of_the_events() -> None:
    """Deliveries are in the candidates' order, which is the order in which a profile gets them."""
    candidates = [fired(profile_id=n % 3, event_id=str(n)) for n in range(50)]
    _, deliveries = plan(candidates, [POINTS], snapshot=False, now=NOW)
    assert [delivery.event_id for delivery in deliveries] == [str(n) for n in range(50)]


@given(
    st.lists(
        st.tuples(st.sampled_from(["v1", "v2", ""]), st.integers(0, 12), st.text(max_size=3), st.sampled_from("ab")),
        unique=True,
    )
)
def test_an_id_stands_for_one_version_profile_event_and_channel(identities: list[tuple[str, int, str, str]]) -> None:
    """Different messages have different ids, and the same message has the same id at any time."""
    ids = [
        delivery_id(replace(POINTS, version=version, channel=channel), profile_id, event_id)
        for version, profile_id, event_id, channel in identities
    ]
    assert len(set(ids)) == len(ids)
    assert all(len(id_) == 36 and id_.startswith("msg_") for id_ in ids)


def test_an_id_does_not_depend_on_when_it_is_made() -> None:
    """A replay after a crash gives the message the same id."""
    made = [plan([fired()], [POINTS], snapshot=False, now=now)[1][0] for now in (NOW, COMMITTED)]
    assert made[0].delivery_id == made[1].delivery_id
