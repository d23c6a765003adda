"""Rows of a snapshot are known events: they make the state complete, and nothing fires from them."""

from __future__ import annotations

from activations.types import Verdict


def known(snapshot: bool) -> Verdict:
    """Passes when the event just happened."""
    return Verdict("known", not snapshot, {"snapshot": snapshot})
