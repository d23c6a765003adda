"""CloudEvents as a consumer reads them from Kafka records, by the binding's own words and without ringup's code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

REQUIRED = {"id", "source", "specversion", "type"}


def event_of(headers: Iterable[tuple[str, bytes | str]], value: bytes | str) -> dict[str, Any]:
    """The attributes and `data` of the event in a record of the binary mode; what breaks a rule fails the test."""
    texts = [(name, text if isinstance(text, str) else text.decode("utf-8")) for name, text in headers]
    assert len(dict(texts)) == len(texts), "an attribute stands there twice"
    event: dict[str, Any] = {}
    for name, text in texts:
        if name == "content-type":
            event["datacontenttype"] = text
        else:
            assert name.startswith("ce_"), name
            event[name.removeprefix("ce_")] = text
    assert event.keys() >= REQUIRED
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in event)
    assert all(event.values())
    assert event["specversion"] == "1.0"
    assert not event["datacontenttype"].startswith("application/cloudevents"), "that would be the structured mode"
    assert event["datacontenttype"] == "application/json"
    event["time"] = datetime.fromisoformat(event["time"])
    assert event["time"].tzinfo is not None
    return {**event, "data": orjson.loads(value)}
