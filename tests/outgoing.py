"""Activations, events and deliveries for tests of what goes out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from activations.channels.kafka import KafkaChannel, KafkaChannelSettings
from activations.channels.webhook import WebhookChannel, WebhookSettings
from activations.types import Delivery
from ringup.config import Config
from transforms.changes import Membership, SegmentChange, TriggerFired
from transforms.project import ActivationSpec

COMMITTED = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
NOW = datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)
PROJECT = Config(project="corner-shop")
SECRET = "whsec_" + b64encode(bytes(range(32))).decode()

POINTS = ActivationSpec(
    name="points_at_the_till",
    model="bill_printed",
    channel="till",
    when="fired",
    message="{first_name}, you earned {points} points.",
    path="models/activations.yml",
    version="v1",
)
NEARLY = replace(POINTS, name="nearly_there", model="near_next_tier", when="entered", message="Only {missing} points.")


def fired(profile_id: int = 1, event_id: str = "bill-1", row: Mapping[str, Any] | None = None) -> TriggerFired:
    """A bill was printed for a profile."""
    values = {"first_name": "Ada", "points": 50} if row is None else row
    return TriggerFired("bill_printed", profile_id, event_id, COMMITTED, values, COMMITTED)


def change(kind: Membership, profile_id: int = 1, missing: int = 20) -> SegmentChange:
    """A profile entered, left or changed in the segment `near_next_tier`."""
    before = None if kind == "entered" else {"missing": missing + 1}
    after = None if kind == "exited" else {"missing": missing}
    return SegmentChange("near_next_tier", profile_id, kind, before, after, COMMITTED)


def delivery(number: int, profile_id: int = 1, channel: str = "till") -> Delivery:
    """Message `number` of the outbox."""
    return Delivery(
        delivery_id=f"msg_{number:032x}",
        seq=number,
        activation=POINTS.name,
        channel=channel,
        profile_id=profile_id,
        event_id=str(number),
        kind="fired",
        body=f'{{"type":"points_at_the_till","data":{{"number":{number}}}}}',
        committed_at=COMMITTED,
        created_at=NOW,
    )


def kafka_topic(bootstrap: str, topic: str, **settings: Any) -> KafkaChannel:
    """A Kafka channel that retries quickly, unless told otherwise."""
    quick = {"timeout": "2s", "retry": ["20ms"]}
    return KafkaChannelSettings.model_validate(
        {"type": "kafka", "bootstrap": bootstrap, "topic": topic, **quick, **settings}
    ).channel("till", PROJECT)


def webhook(url: str, **settings: Any) -> WebhookChannel:
    """A webhook channel that retries quickly, unless told otherwise."""
    quick = {"timeout": "2s", "retry": ["20ms"]}
    return WebhookSettings.model_validate(
        {"type": "webhook", "url": url, "secret": SECRET, **quick, **settings}
    ).channel("till", PROJECT)
