"""ringup.yml: what is in it, and the answer to every mistake."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ringup.config import Config, json_schema, load_config
from ringup.durations import duration, shown
from ringup.errors import ConfigError
from ringup.reference import reference_folder

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRON = {"WEBHOOK_URL": "https://example.com/hook", "WEBHOOK_SECRET": SECRET}
WHOLE = """\
project: corner-shop
state: var/state
dbt_project: models
sources: databases
channels:
  till_webhook:
    type: webhook
    url: ${env:WEBHOOK_URL}
    secret: ${env:WEBHOOK_SECRET}
    timeout: 2s
    retry: [1s, 5m]
pipeline:
  max_batch: 1000
  transaction_wait: 500ms
  memory_limit: 4GB
  threads: 3
"""


def load(folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> Config:
    """The settings of a ringup.yml with this text."""
    (folder / "ringup.yml").write_text(text)
    return load_config(folder, environ)


def refused(folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> tuple[str | None, str, str]:
    """Where, what and how to mend, for a text that is refused."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, environ)
    return caught.value.where, caught.value.message, caught.value.mend


def test_every_setting_is_read(tmp_path: Path) -> None:
    """Paths are below the folder of ringup.yml, durations are time spans, and references are resolved."""
    config = load(tmp_path, WHOLE)
    assert (config.project, config.folder) == ("corner-shop", tmp_path)
    assert config.state_folder == tmp_path / "var" / "state"
    assert config.dbt_folder == tmp_path / "models"
    assert config.sources_folder == tmp_path / "databases"
    channel = config.channels["till_webhook"]
    assert str(channel.url) == "https://example.com/hook"
    assert (channel.timeout, channel.retry) == (timedelta(seconds=2), (timedelta(seconds=1), timedelta(minutes=5)))
    pipeline = config.pipeline
    assert (pipeline.max_batch, pipeline.transaction_wait) == (1000, timedelta(milliseconds=500))
    assert (pipeline.memory_limit, pipeline.threads) == ("4GB", 3)


def test_a_name_is_enough(tmp_path: Path) -> None:
    """All but the project's name has a default."""
    config = load(tmp_path, "project: corner-shop")
    assert config.state_folder == tmp_path / ".ringup"
    assert config.channels == {}
    assert config.pipeline.max_batch == 50_000


def test_the_file_may_be_named_itself(tmp_path: Path) -> None:
    """A path to a file with another name works as well as its folder."""
    (tmp_path / "north.yml").write_text("project: north")
    assert load_config(tmp_path / "north.yml", {}).folder == tmp_path


def test_a_question_needs_no_secret(tmp_path: Path) -> None:
    """Without channels nothing of them is asked for."""
    (tmp_path / "ringup.yml").write_text(WHOLE)
    assert load_config(tmp_path, {}, channels=False).channels == {}


CLUSTER = "project: a\nkafka: {bootstrap: 'b:1', "


@pytest.mark.parametrize(
    ("kafka", "field"),
    [
        (f"{CLUSTER}connect: {address!r}}}", "connect")
        for address in (
            "nonsense",
            "",
            "ftp://x",
            "connect:8083",
            "http://",
            "http://:8083",
            "http://connect:99999",
            "http://connect:0",
            "http://connect:web",
            "http://con nect:8083",
            "http://connect..net:8083",
            "http://[::1:8083",
            "http://connect:8083?a=b",
            "https://ann:hunter2#@connect:8083",
            "https://ann:hunter2/5@connect:8083",
        )
    ]
    + [
        (f"{CLUSTER}registry: {{url: {address!r}}}}}", "registry.url")
        for address in ("registry:8081", "http://one:8081,two:8081", "http://one:8081,", "")
    ]
    + [
        (f"project: a\nkafka: {{bootstrap: {brokers!r}}}", "bootstrap")
        for brokers in ("", "broker:99999", "one:9092,two:0", "broker:kafka", ":9092")
    ],
)
def test_what_cannot_be_an_address_is_refused(tmp_path: Path, kafka: str, field: str) -> None:
    """Before anything waits for an answer from there; a login in it is not shown."""
    where, message, mend = refused(tmp_path, kafka)
    assert where == f"ringup.yml: kafka.{field}"
    assert message.startswith("this is no address")
    assert "host:port" in mend
    assert "hunter2" not in message + mend


def test_what_may_be_an_address_is_taken(tmp_path: Path) -> None:
    """Names, numbers, logins, paths; several, where several may be."""
    for connect in ("http://connect", "https://ann:p%23w@connect:8083/rest/", "http://[::1]:8083", "HTTP://my_host:1"):
        for url in ("http://one:8081, https://two/apis/ccompat/v7", "http://läden.example"):
            text = f"{CLUSTER}connect: {connect!r}, registry: {{url: {url!r}}}}}"
            assert (load(tmp_path, text).kafka or pytest.fail()).connect == connect
    for brokers in ("broker", "one:9092, two:9093", "SASL_SSL://one:9092,[::1]:9092"):
        assert load(tmp_path, f"project: a\nkafka: {{bootstrap: {brokers!r}}}").kafka


@pytest.mark.parametrize("value", ["{b: c}", "[1]", "null", "1.5"])
@pytest.mark.parametrize(
    ("text", "field"),
    [
        (CLUSTER + "client: {a: VALUE}}", "kafka.client.a"),
        (CLUSTER + "registry: {url: 'http://r', client: {a: VALUE}}}", "kafka.registry.client.a"),
        ("project: a\nchannels: {k: {type: kafka, topic: t, client: {a: VALUE}}}", "channels.k.client.a"),
    ],
)
def test_a_setting_that_is_passed_on_is_one_value(tmp_path: Path, text: str, field: str, value: str) -> None:
    """The error names the field as it stands in the file, and says what may stand there."""
    assert refused(tmp_path, text.replace("VALUE", value)) == (
        f"ringup.yml: {field}",
        "this is no value of a setting",
        "Write a text, a whole number, true or false.",
    )


def test_the_reference_project_is_valid() -> None:
    """The ringup.yml of the reference project loads."""
    assert load_config(reference_folder(), ENVIRON).project == "corner-shop"


@pytest.mark.parametrize(
    ("text", "where", "message", "mend"),
    [
        ("project: a\nstat: x", "stat", "this field is not known", "Did you mean `state`?"),
        (
            "project: a\npipeline: {max_batches: 5}",
            "pipeline.max_batches",
            "this field is not known",
            "Did you mean `max_batch`?",
        ),
        (
            WHOLE.replace("secret:", "secrets:"),
            "channels.till_webhook.secrets",
            "this field is not known",
            "Did you mean `secret`?",
        ),
        (WHOLE.replace("secret:", "# secret:"), "channels.till_webhook.secret", "it is missing", "Add `secret: ...`"),
        (
            WHOLE.replace("timeout:", "time_out:"),
            "channels.till_webhook.time_out",
            "this field is not known",
            "Did you mean `timeout`?",
        ),
        ("project: a\nzebra: x", "zebra", "this field is not known", "Known are: project, state, "),
        ("state: x", "project", "it is missing", "Add `project: ...`"),
        ("", "project", "it is missing", "Add `project: ...`"),
        ("project: Corner Shop", "project", "this is not of the form that it must have", "small letters, digits and"),
        (
            "project: a\npipeline: {memory_limit: lots}",
            "pipeline.memory_limit",
            "this is not of the form",
            "such as 2GB",
        ),
        (WHOLE.replace("[1s, 5m]", "5s"), "channels.till_webhook.retry", "this must be a list: [...]", "longest wait"),
        (WHOLE.replace("${env:WEBHOOK_URL}", "foo"), "channels.till_webhook.url", "this is no address", "posted to"),
        (
            "project: a\npipeline: {max_batch: many}",
            "pipeline.max_batch",
            "input should be a valid integer",
            "The most changes",
        ),
        (
            "project: a\npipeline: {threads: 0}",
            "pipeline.threads",
            "input should be greater than 0",
            "The threads that",
        ),
        ("project: a\npipeline: fast", "pipeline", "input should be a valid dictionary", "How the pipeline works"),
        (
            "project: a\npipeline: {transaction_wait: soon}",
            "pipeline.transaction_wait",
            "this is not a duration",
            "Write a number and a unit: 500ms, 5s, 30m, 2h or 1d.",
        ),
        (
            WHOLE.replace("[1s, 5m]", "[1s, 5 fortnights]"),
            "channels.till_webhook.retry.1",
            "this is not a duration",
            "Write a number and a unit",
        ),
        ("project: a\nchannels: [x]", "channels", "this must be a block of `name: value` lines", "docs/"),
        ("project: a\nchannels: {till: x}", "channels.till", "this must be a block of `name: value` lines", "docs/"),
        (
            "project: a\nchannels: {till: {}}",
            "channels.till.type",
            "it is missing",
            "Add it; known are: kafka, webhook.",
        ),
        (
            "project: a\nchannels: {till: {type: webhok}}",
            "channels.till.type",
            "there is no channel of type `webhok`",
            "Did you mean `webhook`?",
        ),
        ("project: a\nproject: b", "line 2", "`project` stands here twice", "Correct the YAML"),
        ("project: a\n  state: b: c", "line 2", "mapping values are not allowed here", "Correct the YAML"),
        ("- project", "", "this must be a block of `name: value` lines", "docs/configuration.md"),
    ],
)
def test_a_mistake_is_answered_with_file_field_and_mend(
    tmp_path: Path, text: str, where: str, message: str, mend: str
) -> None:
    """Each mistake names the place in ringup.yml, what is wrong there, and what to do."""
    place, said, advice = refused(tmp_path, text)
    assert place == (f"ringup.yml: {where}" if where else "ringup.yml")
    assert said.startswith(message)
    assert mend in advice


def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    """A reference to a variable that is not set names the field and the variable."""
    where, message, mend = refused(tmp_path, WHOLE, {"WEBHOOK_URL": "https://example.com"})
    assert where == "ringup.yml: channels.till_webhook.secret"
    assert message == "the environment variable WEBHOOK_SECRET is not set"
    assert "export WEBHOOK_SECRET=..." in mend


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    """What is said of a secret that cannot be used does not contain it."""
    said = refused(tmp_path, WHOLE, ENVIRON | {"WEBHOOK_SECRET": "hunter2"})
    assert said[0] == "ringup.yml: channels.till_webhook.secret"
    assert "hunter2" not in "".join(map(str, said))


def test_a_folder_without_a_project_is_told_what_to_do(tmp_path: Path) -> None:
    """A missing ringup.yml names the folder and `ringup init`."""
    with pytest.raises(ConfigError, match=f"there is no ringup.yml in {tmp_path}") as caught:
        load_config(tmp_path, {})
    assert "ringup init" in caught.value.mend


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are said to be no text."""
    (tmp_path / "ringup.yml").write_bytes(b"project: \xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path, {})


@given(st.integers(min_value=0, max_value=10**10).map(lambda ms: timedelta(milliseconds=ms)))
def test_a_duration_survives_being_written(span: timedelta) -> None:
    """Every duration in milliseconds is read again as it was."""
    assert duration(shown(span)) == span


def test_the_schema_accepts_what_is_accepted(tmp_path: Path) -> None:
    """Editors accept a file that ringup accepts, and mark an unknown field and a channel without a secret."""
    check = jsonschema.Draft202012Validator(json_schema())
    whole = yaml.safe_load(WHOLE)
    assert load(tmp_path, WHOLE)
    assert check.is_valid(whole)
    assert not check.is_valid(whole | {"stat": "x"})
    assert not check.is_valid({"project": "a", "channels": {"till": {"type": "webhook", "url": "https://example.com"}}})


def test_the_schema_says_what_each_field_means() -> None:
    """Every field has a description, and defaults are written as in the file."""
    schema = json_schema()
    blocks = [schema, *schema["$defs"].values()]
    assert all(field.get("description") for block in blocks for field in block["properties"].values())
    assert schema["$defs"]["webhook"]["properties"]["retry"]["default"] == ["1s", "5s", "30s", "5m", "30m"]
