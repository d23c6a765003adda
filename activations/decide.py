"""Whether a candidate becomes a message: one pure function that explains itself."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from activations.rules.known import known
from activations.rules.when import when
from activations.types import Answer, Decision, Verdict
from transforms.changes import Candidate, TriggerFired

if TYPE_CHECKING:
    from transforms.project import ActivationSpec


def kind_of(candidate: Candidate) -> str:
    """What happened: `fired`, or how the segment changed."""
    return "fired" if isinstance(candidate, TriggerFired) else candidate.kind


def event_id_of(candidate: Candidate) -> str:
    """What makes this event one event: a trigger names it; a segment's change is known by its commit."""
    if isinstance(candidate, TriggerFired):
        return candidate.event_id
    return f"{candidate.kind}@{candidate.committed_at.astimezone(UTC).isoformat(timespec='microseconds')}"


def decide(candidate: Candidate, activation: ActivationSpec, *, snapshot: bool, now: datetime) -> Decision:
    """Judge one candidate by every rule of one activation. `snapshot` says that the batch is no news."""
    verdict, rules = _judged(kind_of(candidate), activation.when, snapshot)
    return Decision(
        activation=activation.name,
        profile_id=candidate.profile_id,
        event_id=event_id_of(candidate),
        verdict=verdict,
        rules=rules,
        at=now,
    )


@lru_cache(maxsize=64)
def _judged(kind: str, wanted: str, snapshot: bool) -> tuple[Answer, tuple[Verdict, ...]]:
    """What the rules say that look at nothing of the candidate's own; the same values are the same object."""
    rules = when(kind, wanted), known(snapshot)
    return ("send" if all(rule.passed for rule in rules) else "suppress"), rules
