"""Records that nobody should write: any JSON, above all in one place of a good record."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

numbers = st.sampled_from([2**62, 2**63 - 1, 2**63, -(2**63), 10**18, 10**25, -1])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def spoilt(good: Any) -> st.SearchStrategy[str]:
    """JSON like a good record, as Debezium writes it, with anything in one place, be it the whole."""
    return st.builds(_with, st.just(good), st.sampled_from(list(_places(good))), numbers | anything)


def _places(value: Any) -> Iterator[tuple[Any, ...]]:
    yield ()
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in inner:
        yield from ((name, *rest) for rest in _places(member))


def _with(good: Any, place: tuple[Any, ...], value: Any) -> str:
    made = {"": copy.deepcopy(good)}
    here: Any = made
    *way, last = ("", *place)
    for name in way:
        here = here[name]
    here[last] = value
    return json.dumps(made[""], separators=(",", ":"))
