"""How a demo went, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ringup.demo.inbox import Ages


@dataclass(frozen=True, slots=True)
class TillResult:
    """How it went with one till system: bills of this run, and the age of the messages about them."""

    bills: int
    age_ms: Ages


@dataclass(frozen=True, slots=True)
class DemoResult:
    """How it went.

    Bills, messages and ages are of this run; the account (`accounted`, `missing`, `doubled`) is of all bills since the
    past was loaded. `age_ms` is of messages about bills; `tills` has the same by till system. `prove_rows_differ` is
    None when the run did not answer. `somebody` is the profile of the last message.
    """

    bills: int
    messages: int
    age_ms: Ages
    tills: Mapping[str, TillResult]
    all_age_ms: Ages
    accounted: int
    missing: int
    doubled: int
    proved_models: int
    prove_rows_differ: int | None
    restarts: int
    somebody: int | None

    @property
    def ok(self) -> bool:
        """Nothing is missing or doubled, and both clocks agree."""
        return self.missing == 0 and self.doubled == 0 and self.prove_rows_differ == 0
