"""Messages as CloudEvents 1.0 in Kafka records, by the binary mode of the Kafka protocol binding.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md, section 3.2: the value
is the event's data as they are, the header `content-type` is their media type, and each other attribute is a header in
UTF-8, its name with `ce_` before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from activations.messages import instant
from activations.types import Delivery

SPECVERSION = "1.0"
DATA_CONTENT_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Record:
    """What a Kafka record is made of."""

    key: bytes
    value: bytes
    headers: list[tuple[str, str | bytes | None]]


def record(delivery: Delivery, source: str) -> Record:
    """A message as a record: the same for every attempt. Its key is the profile, so that a profile's keep their order.

    `source` says which ringup it comes from; with it `id` is unique, and a consumer knows by it what it had already.
    """
    profile = str(delivery.profile_id)
    attributes = {
        "specversion": SPECVERSION,
        "id": delivery.delivery_id,
        "source": source,
        "type": type_of(delivery.kind),
        "subject": profile,
        "time": instant(delivery.committed_at),
    }
    return Record(
        key=profile.encode(),
        value=delivery.body.encode(),
        headers=[
            *((f"ce_{name}", value.encode()) for name, value in attributes.items()),
            ("content-type", DATA_CONTENT_TYPE.encode()),
        ],
    )


def type_of(kind: str) -> str:
    """The event's type: `ringup.trigger.fired`, or `ringup.segment.` and how the segment changed."""
    return "ringup.trigger.fired" if kind == "fired" else f"ringup.segment.{kind}"
