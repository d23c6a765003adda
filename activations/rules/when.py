"""An activation waits for one kind of event: `fired`, `entered`, `exited` or `updated`."""

from __future__ import annotations

from activations.types import Verdict


def when(kind: str, wanted: str) -> Verdict:
    """Passes when the event is of the kind that the activation waits for."""
    return Verdict("when", kind == wanted, {"kind": kind, "when": wanted})
