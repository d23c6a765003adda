"""What ringup.yml may say of a Kafka channel."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from activations.channels import open_channels
from activations.channels.kafka import KafkaChannelSettings
from activations.producer import DEFAULTS, RELIED_ON
from ringup.config import Config, json_schema, load_config
from ringup.errors import ConfigError

GOOD = {"type": "kafka", "topic": "shop.messages", "bootstrap": "broker:9092"}
PROJECT = "project: shop\n"
CLUSTER = "kafka: {bootstrap: 'one:9092', client: {security.protocol: ssl, client.id: reader}}\n"


def client_of(folder: Path, text: str) -> dict[str, object]:
    """What the producer of the channel `events` of such a ringup.yml is told."""
    (folder / "ringup.yml").write_text(text)
    channel = open_channels(load_config(folder, {}), [])["events"]
    return dict(channel._producer._settings)  # type: ignore[attr-defined]


def test_the_defaults_are_the_documented_ones() -> None:
    """Five seconds, steps of one and five, a thousand at once."""
    settings = KafkaChannelSettings.model_validate(GOOD)
    assert settings.timeout == timedelta(seconds=5)
    assert [step.total_seconds() for step in settings.retry] == [1, 5]
    assert settings.in_flight == 1_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"topic": ""},
        {"topic": "shop messages"},
        {"topic": "x" * 250},
        {"source": "the shop"},
        {"source": ""},
        {"timeout": "0s"},
        {"retry": []},
        {"in_flight": 0},
        {"in_flight": 10_001},
        {"client": {"ssl.ca.location": ["a", "b"]}},
        {"topics": ["shop.messages"]},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    """Each mistake is found before anything is sent."""
    with pytest.raises(ValidationError) as caught:
        KafkaChannelSettings.model_validate({**GOOD, **wrong})
    assert caught.value.errors()[0]["loc"][0] == next(iter(wrong))


@pytest.mark.parametrize(
    "name",
    [
        *RELIED_ON,
        "request.required.acks",
        "message.timeout.ms",
        "bootstrap.servers",
        "metadata.broker.list",
        "transactional.id",
    ],
)
def test_what_ringup_relies_on_cannot_be_overridden(name: str, tmp_path: Path) -> None:
    """By none of its names, whatever the value; the error says field and mend."""
    file = tmp_path / "ringup.yml"
    file.write_text(
        f"{PROJECT}channels: {{events: {{type: kafka, topic: t, bootstrap: 'b:1', client: {{{name}: all}}}}}}"
    )
    with pytest.raises(ConfigError, match=f"`{name}` cannot be set") as caught:
        load_config(tmp_path, {})
    assert caught.value.where == "ringup.yml: channels.events.client"
    assert caught.value.mend == "Leave it out."


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("stats_cb", "Leave it out."),
        ("oauth_cb", "Leave it out."),
        ("throttle_cb", "Leave it out."),
        ("error_cb", "Leave it out."),
        ("on_delivery", "Leave it out."),
        ("logger", "Leave it out."),
        ("delivery.report.only.error", "Leave it out."),
        ("default.topic.config", "Write what is in it beside the other settings."),
    ],
)
def test_what_only_a_program_can_set_is_refused(name: str, mend: str, tmp_path: Path) -> None:
    """When the file is read, in the block `kafka:` as in a channel; the client would end the run without a word."""
    for place, block in (
        ("kafka.client", f"kafka: {{bootstrap: 'b:1', client: {{{name}: x}}}}"),
        ("channels.events.client", f"channels: {{events: {{type: kafka, topic: t, client: {{{name}: true}}}}}}"),
    ):
        (tmp_path / "ringup.yml").write_text(PROJECT + block)
        with pytest.raises(ConfigError, match=f"`{name}` cannot be set: ") as caught:
            load_config(tmp_path, {})
        assert (caught.value.where, caught.value.mend) == (f"ringup.yml: {place}", mend)


def test_a_channel_with_brokers_of_its_own_has_its_own_settings(tmp_path: Path) -> None:
    """Nothing of the block `kafka:` goes to another cluster; what is relied on stands over all."""
    told = client_of(
        tmp_path,
        f"{PROJECT}{CLUSTER}channels: {{events: {{type: kafka, topic: t, bootstrap: 'two:9092',"
        " client: {linger.ms: 5}}}",
    )
    assert told["bootstrap.servers"] == "two:9092"
    assert told["linger.ms"] == 5
    assert "security.protocol" not in told
    assert DEFAULTS.items() - {"linger.ms": 0}.items() <= told.items()
    assert RELIED_ON.items() <= told.items()


def test_a_channel_without_brokers_goes_to_the_projects_cluster(tmp_path: Path) -> None:
    """With the login of the block `kafka:`; what the channel says itself stands over that."""
    told = client_of(
        tmp_path, f"{PROJECT}{CLUSTER}channels: {{events: {{type: kafka, topic: t, client: {{client.id: writer}}}}}}"
    )
    assert (told["bootstrap.servers"], told["security.protocol"], told["client.id"]) == ("one:9092", "ssl", "writer")


def test_without_any_cluster_the_brokers_are_asked_for(tmp_path: Path) -> None:
    """The error names the field of the channel."""
    with pytest.raises(ConfigError, match="it is missing") as caught:
        client_of(tmp_path, f"{PROJECT}channels: {{events: {{type: kafka, topic: t}}}}")
    assert caught.value.where == "ringup.yml: channels.events.bootstrap"


def test_the_source_is_the_project_unless_it_is_named() -> None:
    """`/ringup/shop`, or what the channel says."""
    shop = Config(project="shop")
    for block, source in ((GOOD, "/ringup/shop"), ({**GOOD, "source": "urn:shop:1"}, "urn:shop:1")):
        assert KafkaChannelSettings.model_validate(block).channel("events", shop)._source == source


def test_the_schema_of_ringup_yml_knows_the_channel() -> None:
    """An editor accepts a good block, and marks a field that is not known."""
    file = {"project": "shop", "channels": {"events": {**GOOD, "client": {"linger.ms": 5}}}}
    jsonschema.validate(file, json_schema())
    file["channels"]["events"]["topics"] = []  # type: ignore[index]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(file, json_schema())
