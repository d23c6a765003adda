"""The filter of ids that went out: it forgets none, and rarely takes a new one for known."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from activations.seen import Seen


def ids(numbers: range) -> list[str]:
    """Ids as deliveries have them."""
    return ["msg_" + sha256(str(number).encode()).hexdigest()[:32] for number in numbers]


@given(st.lists(st.lists(st.integers(0, 400), unique=True, max_size=60), max_size=12))
@settings(max_examples=100)
def test_an_id_that_was_added_is_known_for_ever(batches: list[list[int]]) -> None:
    """Whatever is added in whatever portions, also past several growths of the filter, is found again."""
    seen, added = Seen(first_size=1 << 10), set[str]()
    for batch in batches:
        arriving = [ids(range(number, number + 1))[0] for number in batch]
        assert added.intersection(arriving) <= set(seen.add(arriving))
        added.update(arriving)
    assert set(seen.add(sorted(added))) == added


def test_new_ids_are_rarely_taken_for_known_ones_also_after_growth() -> None:
    """Fewer than one new id in two hundred has to be looked up in the outbox."""
    seen = Seen(first_size=1 << 18)
    for start in range(0, 80_000, 5_000):
        seen.add(ids(range(start, start + 5_000)))
    assert len(seen.add(ids(range(1_000_000, 1_020_000)))) < 100


def test_no_ids_are_no_work() -> None:
    """Nothing in, nothing out."""
    assert Seen().add([]) == []
