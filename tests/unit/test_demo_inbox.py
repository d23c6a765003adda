"""What the demo's receiver keeps."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from ringup.demo.inbox import Ages, Inbox, Message, percentiles


def message(webhook_id: str, event_id: str, type: str = "bill", at: float = 1.0, age: float = 5.0) -> Message:
    """A message as the receiver takes it."""
    return Message(webhook_id, type, 7, event_id, at, age, {})


def test_only_the_first_of_a_webhook_id_is_news(tmp_path: Path) -> None:
    """A message that comes again under its id is counted as sent again, and is no double."""
    with closing(Inbox(tmp_path / "inbox.db")) as inbox:
        assert inbox.take(message("m1", "b1"))
        assert not inbox.take(message("m1", "b1"))
        account = inbox.account("bill", {"b1"})
        assert (account.missing, account.doubled, account.resent) == (frozenset(), frozenset(), 1)


def test_a_second_inbox_knows_what_the_first_one_got(tmp_path: Path) -> None:
    """What was kept is in the file, so a later demo recognises a message that is sent again."""
    with closing(Inbox(tmp_path / "inbox.db")) as inbox:
        inbox.take(message("m1", "b1"))
    with closing(Inbox(tmp_path / "inbox.db")) as inbox:
        assert not inbox.take(message("m1", "b1"))


def test_counts_and_ages_are_of_the_time_and_the_type_asked_for(tmp_path: Path) -> None:
    """A second demo reports its own messages, and the ages of bills apart from those of all messages."""
    with closing(Inbox(tmp_path / "inbox.db")) as inbox:
        inbox.take(message("m1", "b1", at=10.0, age=1.0))
        inbox.take(message("m2", "b2", at=20.0, age=2.0))
        inbox.take(message("m3", "s1", type="segment", at=30.0, age=3.0))
        assert (inbox.count(), inbox.count(since=20.0), inbox.count("bill", since=20.0)) == (3, 2, 1)
        assert inbox.ages("bill", since=20.0) == Ages(2.0, 2.0, 2.0)
        assert inbox.ages(since=15.0).p99 == 3.0
        assert inbox.ages("bill", events="b1*") == Ages(1.0, 1.0, 1.0)
        assert inbox.ages(since=40.0) == Ages(None, None, None)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=60),
    st.sets(st.integers(0, 8)),
)
def test_the_account_is_what_counting_by_hand_says(came: list[tuple[int, int]], expected: set[int]) -> None:
    """Missing are expected events without an id, doubled those with several ids, whatever came how often."""
    first = {f"m{webhook_id}": f"b{event}" for webhook_id, event in reversed(came)}
    with TemporaryDirectory() as folder, closing(Inbox(Path(folder) / "inbox.db")) as inbox:
        for webhook_id, event in came:
            inbox.take(message(f"m{webhook_id}", f"b{event}"))
        account = inbox.account("bill", {f"b{event}" for event in expected})
    ids = Counter(first.values())
    assert account.missing == {f"b{event}" for event in expected} - set(ids)
    assert account.doubled == {event for event, count in ids.items() if count > 1}
    assert account.resent == sum(count > 1 for count in Counter(webhook_id for webhook_id, _ in came).values())


@given(st.lists(st.integers(0, 10_000).map(lambda tenths: tenths / 10), min_size=1))
def test_a_percentile_is_the_smallest_age_that_covers_its_share(ages: list[float]) -> None:
    """So many of a hundred messages came within the figure, and fewer within any lower age that was seen."""
    result = percentiles(sorted(ages))
    for figure, share in ((result.p50, 0.50), (result.p95, 0.95), (result.p99, 0.99)):
        assert figure in ages
        assert sum(age <= figure for age in ages) >= share * len(ages)
        assert sum(age < figure for age in ages) < share * len(ages)
