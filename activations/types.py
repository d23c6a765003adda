"""What flows out: a decision, the delivery that it may lead to, and the receipts of its attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

Answer: TypeAlias = Literal["send", "defer", "suppress"]
State: TypeAlias = Literal["delivered", "retry", "rejected", "unknown"]

FINAL: frozenset[State] = frozenset({"delivered", "rejected"})
"""States after which a delivery is not tried again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule said, and the values that it saw."""

    rule: str
    passed: bool
    saw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a candidate becomes a message, with every rule's verdict. `at` is the clock it was decided by, UTC."""

    activation: str
    profile_id: int
    event_id: str
    verdict: Answer
    rules: tuple[Verdict, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for one profile on one channel.

    `delivery_id` is the idempotency key: the same for every attempt and after every restart. `seq` is its place in
    the outbox, which numbers it; it is 0 before that. `kind` is `fired`, or how the segment changed. `body` is the
    message's JSON, encoded once, so that every attempt sends the same bytes. `committed_at` is the commit's time in the
    source.
    """

    delivery_id: str
    seq: int
    activation: str
    channel: str
    profile_id: int
    event_id: str
    kind: str
    body: str
    committed_at: datetime
    created_at: datetime

    def numbered(self, seq: int) -> Delivery:
        """The same delivery with its place in the outbox; `dataclasses.replace` takes several times as long."""
        return Delivery(
            self.delivery_id,
            seq,
            self.activation,
            self.channel,
            self.profile_id,
            self.event_id,
            self.kind,
            self.body,
            self.committed_at,
            self.created_at,
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """How one attempt ended. `attempt` counts from 1 in each run; `status` is the channel's code, where it has one.

    `unknown`: the message went out and no answer came, so that it may have arrived or not. It is sent again under
    the same `delivery_id`, by which the receiver knows it.
    """

    delivery_id: str
    seq: int
    state: State
    attempt: int
    at: datetime
    detail: str
    status: int | None = None
