"""A batch's candidates become decisions and deliveries, as they will be written to the ledger and the outbox."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from activations.decide import decide, event_id_of, kind_of
from activations.messages import encode, instant
from activations.templates import render
from activations.types import Decision, Delivery
from transforms.changes import Candidate, Row, TriggerFired

if TYPE_CHECKING:
    from transforms.project import ActivationSpec


def plan(
    candidates: Iterable[Candidate], activations: Sequence[ActivationSpec], *, snapshot: bool, now: datetime
) -> tuple[list[Decision], list[Delivery]]:
    """Decide every candidate for every activation that waits for it, in order. Pure; `now` is UTC.

    An event of a kind that an activation does not wait for is no candidate for it, and leaves no decision.
    """
    waiting: defaultdict[tuple[str, str], list[ActivationSpec]] = defaultdict(list)
    for activation in activations:
        waiting[activation.model, activation.when].append(activation)
    decisions: list[Decision] = []
    deliveries: list[Delivery] = []
    for candidate in candidates:
        for activation in waiting.get((candidate.model, kind_of(candidate)), ()):
            decision = decide(candidate, activation, snapshot=snapshot, now=now)
            decisions.append(decision)
            if decision.verdict == "send":
                deliveries.append(deliver(candidate, activation, now=now))
    return decisions, deliveries


def deliver(candidate: Candidate, activation: ActivationSpec, *, now: datetime) -> Delivery:
    """The message that a candidate becomes. The row's columns are in `data`, beside ringup's own names."""
    row = row_of(candidate)
    event_id = event_id_of(candidate)
    event_at = candidate.event_at if isinstance(candidate, TriggerFired) else candidate.committed_at
    message = {
        "type": activation.name,
        "timestamp": instant(event_at),
        "data": {
            **row,
            "profile_id": candidate.profile_id,
            "event_id": event_id,
            "text": render(activation.message, row),
            "committed_at": instant(candidate.committed_at),
        },
    }
    return Delivery(
        delivery_id=delivery_id(activation, candidate.profile_id, event_id),
        seq=0,
        activation=activation.name,
        channel=activation.channel,
        profile_id=candidate.profile_id,
        event_id=event_id,
        kind=kind_of(candidate),
        body=encode(message),
        committed_at=candidate.committed_at,
        created_at=now,
    )


def row_of(candidate: Candidate) -> Row:
    """What the message may tell: the new row, or the last one of a profile that left the segment."""
    if isinstance(candidate, TriggerFired):
        return candidate.row
    return candidate.after or candidate.before or {}


def delivery_id(activation: ActivationSpec, profile_id: int, event_id: str) -> str:
    """The idempotency key: 128 bits of a hash over everything that makes this message this message."""
    identity = "\x1f".join((activation.name, activation.version, str(profile_id), event_id, activation.channel))
    return "msg_" + sha256(identity.encode()).hexdigest()[:32]
