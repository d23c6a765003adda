"""The dbt project read through dbt itself: the reference project, a foreign one, and each thing that can be wrong."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ringup.errors import ProjectError
from tests.reference import REFERENCE, Reference, refused
from transforms.dbt.activations import read_activations
from transforms.dbt.manifest import fingerprint
from transforms.dbt.models import Models
from transforms.project import load_project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the reference project that a test may spoil."""
    return Path(
        shutil.copytree(REFERENCE, tmp_path / "shop", ignore=shutil.ignore_patterns("target", "logs", "*.duckdb*"))
    )


def models_refused(made: dict[str, Any]) -> ProjectError:
    """The error that the models of a manifest give."""
    return refused(lambda: Models(REFERENCE, made).all())


def activations_refused(reference: Reference, made: dict[str, Any]) -> ProjectError:
    """The error that the exposures of a manifest give."""
    return refused(lambda: list(read_activations(REFERENCE, made, reference.project.models)))


def test_the_models_come_after_what_they_read(reference: Reference) -> None:
    """The run evaluates them in this order, so each finds the newest rows of what it reads."""
    seen = {table.relation for table in reference.project.tables}
    for model in reference.project.models:
        assert set(model.depends_on) <= seen
        seen.add(model.relation)
    kept = {model.name for model in reference.project.models if model.kept}
    assert kept == {"customers", "near_next_tier", "lapsing", "high_value", "bill_printed", "reward_reached"}


def test_every_relation_is_in_the_scope_catalog(reference: Reference) -> None:
    """The compiled SQL runs as it stands where `scope` has the views."""
    assert 'from "scope"."marts"."customers"' in reference.model("high_value").sql
    assert '"scope"."pos"."bills"' in reference.model("stg_bills").sql


def test_no_model_is_swept(reference: Reference) -> None:
    """`lapsing` ends a wait as time passes, and when that is follows from its SQL."""
    swept = {model.name: model.sweep for model in reference.project.models if model.clocks or model.sweep}
    assert swept == {"lapsing": None}
    assert [len(model.dues) for model in reference.project.models if model.name == "lapsing"] == [1]


def test_activations_tie_a_model_to_a_channel(reference: Reference) -> None:
    """Triggers are told when they fire, segments when somebody enters."""
    told = {activation.model: (activation.when, activation.channel) for activation in reference.project.activations}
    assert told == {
        "bill_printed": ("fired", "till_webhook"),
        "reward_reached": ("fired", "till_webhook"),
        "near_next_tier": ("entered", "till_webhook"),
        "lapsing": ("entered", "till_webhook"),
        "high_value": ("entered", "till_webhook"),
        "champions": ("entered", "till_webhook"),
    }
    assert len({activation.version for activation in reference.project.activations}) == len(told)


def test_descriptions_end_with_the_grain(reference: Reference) -> None:
    """A reader of any model or source knows what one row is."""
    made = reference.made
    for node in (*made["nodes"].values(), *made["sources"].values()):
        if node["resource_type"] in ("model", "source"):
            assert "One row per " in node["description"].strip().split(". ")[-1], node["name"]


def test_dbt_runs_only_when_the_project_changes(reference: Reference, folder: Path) -> None:
    """A restart does not wait for dbt; a changed file, and only that, does."""
    made = reference.state / "target" / "manifest.json"
    before = made.stat().st_mtime_ns
    assert load_project(REFERENCE, reference.state) == reference.project
    assert made.stat().st_mtime_ns == before
    (folder / "target").mkdir()
    (folder / "target" / "anything").write_text("made by dbt")
    (folder / "shop.duckdb").write_bytes(b"a database")
    assert fingerprint(folder) == fingerprint(REFERENCE)
    (folder / "models" / "segments" / "high_value.sql").write_text("select 1")
    assert fingerprint(folder) != fingerprint(REFERENCE)


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    """The mend names the setting."""
    assert "ringup.yml" in refused(lambda: load_project(tmp_path, tmp_path / "state")).mend


AGAIN = "Correct the file; `cd shop && dbt parse` shows the same error."
LAPSING = "models/segments/lapsing.sql"
SPOILED = {
    "misspelt model": (LAPSING, "select *\nfrom {{ ref('custommers') }}", 2, "custommers", "Did you mean `customers`?"),
    "broken Jinja": (LAPSING, "select 1\n\nfrom {{ ref( }}", 3, "unexpected '}'", AGAIN),
    "broken YAML": ("models/activations.yml", "exposures:\n  - name: a\n   b: c\n", 3, "Syntax error", AGAIN),
}


def test_a_misspelt_activation_is_not_taken_for_none(reference: Reference) -> None:
    """Nobody would be told anything, without a word."""
    made = reference.made
    meta = next(iter(made["exposures"].values()))["config"]["meta"]
    meta["activaton"] = meta.pop("activation")
    assert activations_refused(reference, made).mend == "Did you mean `activation`?"


def test_what_dbt_refuses_is_refused_in_its_words_with_the_line(folder: Path, tmp_path: Path) -> None:
    """File and line come first; after a mend the project loads, although the state has seen the error."""

    def spoilt(name: str) -> ProjectError:
        file, text, *_ = SPOILED[name]
        other = Path(shutil.copytree(folder, tmp_path / name / "shop"))
        (other / file).write_text(text)
        return refused(lambda: load_project(other, tmp_path / name / "state"))

    with ThreadPoolExecutor(2) as both:
        errors = dict(zip(SPOILED, both.map(spoilt, SPOILED), strict=True))
    for name, (file, _, line, words, mend) in SPOILED.items():
        assert (errors[name].where or "").startswith(f"shop/{file}:{line}")
        assert words in errors[name].message
        assert errors[name].mend == mend
    assert load_project(folder, tmp_path / name / "state").activations


def test_a_foreign_project_takes_its_own_names(tmp_path: Path) -> None:
    """dbt's own schema names, an ephemeral model, a view of no kind and a table of another day: all are understood."""
    shop = tmp_path / "foreign"
    (shop / "models").mkdir(parents=True)
    files = {
        "dbt_project.yml": "{name: foreign, profile: whatever, flags: {send_anonymous_usage_stats: true}}",
        "models/all.yml": """
sources:
  - name: erp
    tables:
      - name: clients
        config: {meta: {key: [id], topic: erp.public.clients, identity: {profile: id}}}
        columns: [{name: id, data_type: int8}, {name: name, data_type: text}]
      - name: archive
""",
        "models/names.sql": "{{ config(materialized='ephemeral') }}\n"
        "select id as profile_id, name from {{ source('erp', 'clients') }}",
        "models/known.sql": "select * from {{ ref('names') }} where name is not null",
        "models/nightly.sql": "{{ config(materialized='table') }} select * from {{ source('erp', 'archive') }}",
        "models/anns.sql": "{{ config(schema='lists', meta={'refresh': 'continuous', 'kind': 'segment'}) }}\n"
        "select profile_id, name from {{ ref('known') }} where name = 'Ann';",
    }
    for name, text in files.items():
        (shop / name).write_text(text)
    project = load_project(shop, tmp_path / "state")
    assert [(model.relation, model.kind, model.materialized) for model in project.models] == [
        ("main.known", "staging", "view"),
        ("main_lists.anns", "segment", "table"),
    ]
    assert project.models[0].depends_on == ("erp.clients",)
    assert [(table.relation, table.topic) for table in project.tables] == [("erp.clients", "erp.public.clients")]
    assert [column.data_type for column in project.tables[0].columns] == ["BIGINT", "VARCHAR"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"meta": {"refresh": "scheduled"}}, "has no data_type"),
        ({"materialized": "external"}, "cannot be kept up to date"),
        ({"meta": {"refresh": "continuous", "kind": "sement"}}, "none of its values"),
    ],
)
def test_a_model_that_cannot_be_kept_up_to_date_is_refused(
    reference: Reference, config: dict[str, Any], words: str
) -> None:
    """One that is made at night and declares no types, one that is no table or view, one of an unknown kind."""
    made = reference.made
    made["nodes"]["model.corner_shop.customers"]["config"].update(config)
    error = models_refused(made)
    assert words in error.message
    assert error.mend


def test_two_models_of_one_name_are_refused(reference: Reference) -> None:
    """A message would not know which one it speaks of."""
    made = reference.made
    made["nodes"]["model.corner_shop.lapsing"]["alias"] = "bill_printed"
    assert "alias" in models_refused(made).mend


def test_an_activation_needs_one_model_that_is_kept_up_to_date(reference: Reference) -> None:
    """A mart has no members and fires nothing."""
    made = reference.made
    made["exposures"]["exposure.corner_shop.win_back"]["depends_on"]["nodes"] = ["model.corner_shop.customers"]
    error = activations_refused(reference, made)
    assert "lapsing" in error.mend
    assert (error.where or "").endswith("win_back.depends_on")


@pytest.mark.parametrize(("name", "when"), [("win_back", "fired"), ("points_at_the_till", "entered")])
def test_a_segment_is_entered_and_a_trigger_fired(reference: Reference, name: str, when: str) -> None:
    """The other way round would never send anything."""
    made = reference.made
    made["exposures"][f"exposure.corner_shop.{name}"]["config"]["meta"]["activation"]["when"] = when
    assert f"never {when}" in activations_refused(reference, made).message


def test_an_activation_with_an_unknown_field_is_refused_with_the_line(reference: Reference) -> None:
    """File, line, field and mend, from the exposure's own block."""
    made = reference.made
    made["exposures"]["exposure.corner_shop.win_back"]["config"]["meta"]["activation"]["mesage"] = "?"
    error = activations_refused(reference, made)
    assert error.mend == "Did you mean `message`?"
    assert "win_back" in (error.where or "")


def test_the_version_of_an_activation_changes_with_its_message(reference: Reference) -> None:
    """A message that was reworded is another one."""
    made = reference.made
    made["exposures"]["exposure.corner_shop.win_back"]["config"]["meta"]["activation"]["message"] = "Come back."
    now = {a.name: a.version for a in read_activations(REFERENCE, made, reference.project.models)}
    then = {a.name: a.version for a in reference.project.activations}
    assert {name for name in now if now[name] != then[name]} == {"win_back"}
