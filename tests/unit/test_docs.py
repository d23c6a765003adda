"""The documentation names everything that a person can write, and what it says can be followed."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
import typer
import yaml
from pydantic import BaseModel

from activations.outbox import Outbox, counts
from connectors import converters, drift, sources
from connectors.databases import MARIADB, POSTGRES
from ringup import errors
from ringup.cli import app
from ringup.config import (
    Config,
    KafkaSettings,
    LakeSettings,
    PipelineSettings,
    RegistrySettings,
    channel_kinds,
    load_config,
)
from ringup.demo.estate import PAST_DAYS
from ringup.durations import shown
from ringup.metrics import Metrics
from tests.house import ROOT, variables
from transforms.dbt.declared import Activation, Identity, ModelMeta, TableMeta
from transforms.quality_rules import OWN
from transforms.quality_suites import ExpectationFields

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def section(page: str, heading: str) -> str:
    """What stands below a heading of the second level."""
    text = (ROOT / "docs" / page).read_text()
    found = re.search(rf"^## {re.escape(heading)}\b(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"docs/{page} has no heading {heading}"
    return found[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    """docs/cli.md has a heading for the command, and names each of its options there or among the common ones."""
    text = section("cli.md", f"ringup {name}")
    common = (ROOT / "docs" / "cli.md").read_text().partition("\n## ")[0]
    for parameter in COMMANDS[name].params:
        for option in parameter.opts + parameter.secondary_opts:
            if option.startswith("-"):
                assert f"`{option}`" in text or f"`{option}`" in common, option
            else:
                assert str(parameter.metavar or option).upper() in (ROOT / "docs" / "cli.md").read_text(), option


def test_no_command_is_documented_that_is_not_there() -> None:
    """Each heading of docs/cli.md that looks like a command is one."""
    text = (ROOT / "docs" / "cli.md").read_text()
    assert set(re.findall(r"^## ringup (\w+)", text, re.MULTILINE)) == set(COMMANDS)


def test_the_past_of_the_demo_is_documented_as_it_is() -> None:
    """The default of --past is the demo's own, in the command and on the page."""
    defaults = {parameter.name: parameter.default for parameter in COMMANDS["demo"].params}
    assert defaults["past"] == PAST_DAYS
    assert f"| `--past` | `{PAST_DAYS}` |" in section("cli.md", "ringup demo")


@pytest.mark.parametrize("model", [Config, PipelineSettings, LakeSettings])
def test_every_field_of_the_settings_is_documented(model: type[BaseModel]) -> None:
    """docs/configuration.md has a row for each field, with its default."""
    text = section("configuration.md", "Fields")
    for name, field in model.model_fields.items():
        assert f"\n| `{name}` |" in text
        if isinstance(field.default, str | int | Path):
            assert f"\n| `{name}` | `{field.default}` |" in text


def test_every_field_of_kafka_is_documented() -> None:
    """docs/kafka.md has a row for each field."""
    for name in KafkaSettings.model_fields:
        assert f"\n| `{name}` |" in section("kafka.md", "Fields")


def test_every_command_of_a_group_is_documented() -> None:
    """docs/cli.md names the commands and their options, docs/kafka.md the settings that connectors get."""
    for group in ("connectors", "lake"):
        text = section("cli.md", f"ringup {group}")
        for name, command in COMMANDS[group].commands.items():
            assert f"`{name}`" in text
            for parameter in command.params:
                option = parameter.opts[0]
                assert not option.startswith("--") or f"`{option}`" in (ROOT / "docs" / "cli.md").read_text()
    for name in drift._DEFAULTS:
        assert f"`{name}`" in section("kafka.md", "Connectors as code")


def test_every_converter_is_documented() -> None:
    """docs/kafka.md names what it needs and what ringup sets; and the fields of the registry."""
    text = section("kafka.md", "Formats")
    for name, converter in converters.CONVERTERS.items():
        row = re.search(rf"^\| `{re.escape(name)}` \|.*$", text, re.MULTILINE)
        assert row, name
        for key, value in converter.relied_on.items():
            assert f"`{key}` `{value}`" in row[0]
        for key in converter.needed:
            assert f"`{key}`" in row[0]
    for field in RegistrySettings.model_fields:
        assert f"`{field}`" in text


@pytest.mark.parametrize("kind", channel_kinds())
def test_every_setting_of_a_channel_is_documented(kind: str) -> None:
    """docs/channels.md has a section for each type of channel, with a row for each of its settings."""
    text = section("channels.md", kind)
    for name, field in channel_kinds()[kind].model_fields.items():
        row = re.search(rf"^\| `{name}` \| (.*?) \|", text, re.MULTILINE)
        assert row, name
        assert (row[1] == "required") == field.is_required(), name
        if name == "timeout":
            assert row[1] == f"`{shown(field.default)}`"
        if name == "retry":
            assert row[1] == f"`[{', '.join(map(shown, field.default))}]`"


def test_every_setting_of_a_source_is_documented() -> None:
    """docs/sources.md has a row for each setting that ringup needs, sets or has a default for, with its value."""
    text = section("sources.md", "Settings")
    for name in POSTGRES.needed:
        assert f"\n| `{name}` |" in text
    for name, value in {**POSTGRES.defaults, **POSTGRES.relied_on}.items():
        assert f"\n| `{name}` | `{value}` |" in text


def test_what_is_mariadbs_own_is_documented() -> None:
    """docs/sources.md has a row for each setting that a MariaDB source does not share, and names the others."""
    text = section("sources.md", "MariaDB")
    ours, shared = {**MARIADB.defaults, **MARIADB.relied_on}, {**POSTGRES.defaults, **POSTGRES.relied_on}
    assert f'"connector.class": "{ours.pop("connector.class")}"' in text
    for name, value in ours.items():
        assert (f"`{name}`" if shared.get(name) == value else f"\n| `{name}` | `{value}` |") in text
    for name in (*MARIADB.needed, *MARIADB.own("tills")):
        assert f"`{name}`" in text
    for name in MARIADB.brokered("tills", "broker:9092"):
        assert f"\n| `{name}` |" in (ROOT / "docs" / "kafka.md").read_text()


@pytest.mark.parametrize("model", [TableMeta, ModelMeta, Activation])
def test_every_field_of_the_dbt_project_is_documented(model: type[BaseModel]) -> None:
    """docs/models.md has a row for everything that `meta` may say."""
    text = (ROOT / "docs" / "models.md").read_text()
    for name in model.model_fields:
        assert f"\n| `{name}` |" in text


def test_every_way_to_a_customer_is_documented() -> None:
    """docs/models.md has a row for each field of an identity."""
    text = (ROOT / "docs" / "models.md").read_text()
    for name in Identity.model_fields:
        assert f"\n| `{name}: " in text


def test_every_field_of_an_expectation_is_documented() -> None:
    """docs/models.md has a row for each field, and for each of ringup's own with its `kwargs` and their defaults."""
    text = section("models.md", "Expectations")
    for name in ExpectationFields.model_fields:
        assert f"\n| `{name}` |" in text
    for name, rule in OWN.items():
        row = re.search(rf"^\| `{name}` \| (.*?) \|", text, re.MULTILINE)
        assert row, name
        for kwarg, field in rule.model_fields.items():
            assert (f"`{kwarg}`" if field.is_required() else f"`{kwarg}: {field.default}`") in row[1]


def test_every_figure_of_the_status_is_documented() -> None:
    """docs/operations.md names every count of the run and of the outbox."""
    text = section("operations.md", "Watching")
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as live")
        Outbox(connection)
        fates = counts(connection)
    for name in [*Metrics().snapshot(), *fates]:
        assert f"`{name}`" in text, name


def test_every_error_is_in_the_tree() -> None:
    """The drawing at the top of ringup.errors has each kind of error."""
    kinds = {kind.__name__ for kind in errors.RingupError.__subclasses__() if kind.__module__ == errors.__name__}
    assert kinds == set(re.findall(r"── (\w+)", errors.__doc__ or ""))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page is a file."""
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_example_of_the_settings_works(tmp_path: Path) -> None:
    """The ringup.yml of docs/configuration.md loads, and is the reference project's."""
    text = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "configuration.md").read_text(), re.DOTALL)
    assert text is not None
    (tmp_path / "ringup.yml").write_text(text[1])
    environ = {"WEBHOOK_URL": "https://example.com", "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    assert load_config(tmp_path, environ).project == "corner-shop"
    assert yaml.safe_load(text[1]) == yaml.safe_load((ROOT / "ringup.yml").read_text())


def test_the_example_of_a_source_works(tmp_path: Path) -> None:
    """The connector of docs/sources.md loads and resolves."""
    text = re.search(r"```json\n(.*?)```", (ROOT / "docs" / "sources.md").read_text(), re.DOTALL)
    assert text is not None
    (tmp_path / "pos.json").write_text(text[1])
    (source,) = sources.load_sources(tmp_path)
    assert sources.resolve(source, dict.fromkeys(variables(tmp_path), "x"))["database.port"] == "x"
