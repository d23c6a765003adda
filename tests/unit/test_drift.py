"""What Kafka Connect should run, and how far that is from what it runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.databases import MARIADB
from connectors.drift import desired, shown, step
from connectors.signals import topic_of
from connectors.sources import Source, load_sources
from ringup.reference import reference_folder


def test_secrets_stay_references() -> None:
    """Connect resolves them itself; what ringup relies on is set beside them."""
    sources = {source.name: source for source in load_sources(reference_folder() / "connectors" / "sources")}
    wanted = desired(sources["pos"], "broker:9092")
    assert wanted["database.password"] == "${env:POS_PASSWORD}"
    assert wanted["provide.transaction.metadata"] == "true"
    assert wanted["topic.creation.default.partitions"] == "1"


def test_a_connector_listens_to_signals() -> None:
    """By a topic; what the source says of signals, of other channels and of their login stays."""
    wanted = desired(Source("pos", {"topic.prefix": "pos"}, "pos.json"), "broker:9092")
    assert wanted["signal.enabled.channels"] == "kafka"
    assert wanted["signal.kafka.topic"] == topic_of(wanted) == "pos.signals"
    assert wanted["signal.kafka.bootstrap.servers"] == "broker:9092"
    said = {
        "topic.prefix": "pos",
        "signal.enabled.channels": "source, jmx",
        "signal.kafka.topic": "signals",
        "signal.kafka.bootstrap.servers": "inside:9093",
        "signal.consumer.security.protocol": "SASL_SSL",
        "message.prefix.exclude.list": "audit",
    }
    assert (
        desired(Source("pos", said, "pos.json"), "broker:9092").items()
        >= {
            **said,
            "signal.enabled.channels": "source,jmx,kafka",
            "message.prefix.exclude.list": "audit,ringup",
        }.items()
    )
    assert topic_of(said) is None


def test_a_connector_of_mariadb_keeps_a_history(tmp_path: Path) -> None:
    """Of its tables, in a topic; it has a number of its own, and none of what is PostgreSQL's."""
    config = {
        "connector.class": MARIADB.connector,
        "topic.prefix": "tills",
        "database.hostname": "db.example",
        "database.user": "ringup",
        "database.password": "${env:TILLS_PASSWORD}",
        "schema.history.internal.kafka.bootstrap.servers": "inside:9093",
    }
    (tmp_path / "tills.json").write_text(json.dumps({"name": "tills", "config": config}))
    (source,) = load_sources(tmp_path)
    wanted = desired(source, "broker:9092")
    assert wanted["schema.history.internal.kafka.topic"] == "tills.schema-history"
    assert wanted["schema.history.internal.kafka.bootstrap.servers"] == "inside:9093"
    assert wanted["database.server.id"] == desired(source, "other:9092")["database.server.id"]
    assert 1 << 30 <= int(wanted["database.server.id"]) < 1 << 31
    assert wanted["signal.kafka.topic"] == "tills.signals"
    assert not [key for key in wanted if key.startswith(("slot.", "publication.", "message.prefix", "plugin."))]


def test_a_step_names_what_changes() -> None:
    """A setting that is gone, new or another one; nothing where all is as it should be."""
    assert step("pos", {"a": "1"}, None).kind == "create"
    assert step("pos", {"a": "1"}, {"a": "1"}).kind == "nothing"
    found = step("pos", {"a": "1", "b": "2"}, {"a": "9", "c": "3"})
    assert (found.kind, found.changes) == ("change", {"a": ("9", "1"), "b": (None, "2"), "c": ("3", None)})


@pytest.mark.parametrize(
    ("key", "value", "seen"),
    [
        ("database.password", "hunter2", "****"),
        ("database.password", "${env:POS_PASSWORD}", "${env:POS_PASSWORD}"),
        ("producer.override.sasl.jaas.config", "x password=y", "****"),
        ("poll.interval.ms", "5", "5"),
        ("database.password", None, None),
    ],
)
def test_a_secret_that_is_written_out_is_not_shown(key: str, value: str | None, seen: str | None) -> None:
    """A reference may be seen."""
    assert shown(key, value) == seen
