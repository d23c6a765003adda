"""What people write under `meta`: read, or refused with file, line, field and mend."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ringup.errors import ProjectError
from transforms.dbt.declared import Activation, Identity, ModelMeta, Place, TableMeta, read

YAML = """\
sources:
  - name: pos
    tables:
      - name: bills
        config:
          meta:
            key: [bill_id]
            identity: {identifers: {card: loyalty_card}}
exposures:
  - name: thanks
    config:
      meta:
        activation:
          chanel: till
"""

ACTIVATION = {"channel": "till", "when": "fired", "message": "Thank you."}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """The beginning of a YAML file in a project called `shop`."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "models.yml").write_text(YAML)
    return Place(tmp_path / "shop", "models.yml")


def refused(kind: type[BaseModel], data: dict[str, Any], place: Place) -> ProjectError:
    """The error that reading gives."""
    with pytest.raises(ProjectError) as caught:
        read(kind, data, place)
    return caught.value


def test_a_place_is_the_line_that_its_words_lead_to(place: Place) -> None:
    """Each word is looked for after the one before, so the second `name` or `config` is found, too."""
    assert str(place) == "shop/models.yml"
    assert str(place.within("bills", "key")) == "shop/models.yml:7: bills.key"
    assert str(place.within("thanks", "config")) == "shop/models.yml:11: thanks.config"


def test_a_word_that_is_not_in_the_file_leaves_the_last_line_found(place: Place) -> None:
    """An error about a field that is missing points to where it is missed."""
    assert str(place.within("bills", "topic")) == "shop/models.yml:4: bills.topic"


def test_a_file_that_is_gone_is_named_without_a_line(tmp_path: Path) -> None:
    """An error message is never lost to another error."""
    assert str(Place(tmp_path / "shop", "gone.yml", ("a",))) == "shop/gone.yml: a"


def test_an_unknown_field_of_an_activation_names_the_nearest(place: Place) -> None:
    """A typing error in a block that is ringup's own is refused with the field and the mend."""
    error = refused(Activation, {**ACTIVATION, "chanel": "till"}, place.within("thanks", "activation"))
    assert error.where == "shop/models.yml:14: thanks.activation.chanel"
    assert error.mend == "Did you mean `channel`?"


def test_an_unknown_field_like_no_other_lists_the_known_ones(place: Place) -> None:
    """Where nothing is near, the mend says what there is."""
    error = refused(Activation, {**ACTIVATION, "xyz": 1}, place)
    assert error.mend == "Remove it; known are channel, when, message."


@pytest.mark.parametrize("field", ["channel", "when", "message"])
def test_a_missing_field_of_an_activation_is_named(place: Place, field: str) -> None:
    """Nothing is assumed for what makes up a message."""
    error = refused(Activation, {name: value for name, value in ACTIVATION.items() if name != field}, place)
    assert (error.message, error.mend) == (f"`{field}` is missing", f"Add `{field}`.")


def test_a_wrong_value_lists_the_right_ones(place: Place) -> None:
    """A `when` that does not exist is refused with those that do."""
    error = refused(Activation, {**ACTIVATION, "when": "left"}, place)
    assert "'fired', 'entered', 'exited' or 'updated'" in error.mend


def test_an_identity_with_a_typing_error_is_not_taken_for_none(place: Place) -> None:
    """A customer's table would otherwise be taken for one that is the same for all."""
    meta = {"key": ["bill_id"], "identity": {"identifers": {"card": "loyalty_card"}}}
    error = refused(TableMeta, meta, place.within("bills"))
    assert error.where == "shop/models.yml:8: bills.identity.identifers"
    assert error.mend == "Did you mean `identifiers`?"
    assert refused(TableMeta, {"key": ["a"], "identitty": {}}, place).mend == "Did you mean `identity`?"


@pytest.mark.parametrize("identity", [{}, {"profile": "id", "via": {"a": "b"}}, {"via": {"a": "b", "c": "d"}}])
def test_an_identity_is_one_way_to_the_customer(place: Place, identity: dict[str, Any]) -> None:
    """None at all, two at once or two tables at once do not say who the customer is."""
    assert refused(TableMeta, {"key": ["a"], "identity": identity}, place).mend


def test_a_table_needs_a_key(place: Place) -> None:
    """Changes of a table without a key cannot be told apart."""
    assert refused(TableMeta, {"identity": {"profile": "id"}}, place).mend == "Add `key`."


def test_words_of_others_in_meta_are_left_alone(place: Place) -> None:
    """`meta` is shared with other tools; only what looks like a typing error of ours is refused."""
    assert read(ModelMeta, {"owner": "Ann", "contains_pii": True}, place).continuous is False
    assert refused(ModelMeta, {"refesh": "continuous"}, place).mend == "Did you mean `refresh`?"


@given(st.integers(1, 10_000), st.sampled_from(["second", "minute", "hour", "day"]))
def test_a_sweep_is_a_number_and_a_unit(number: int, unit: str) -> None:
    """`1 minute`, `5 minutes` and `5m` are lengths of time."""
    for written in (f"{number} {unit}", f"{number} {unit}s", f"{number}{unit[0]}"):
        meta = read(ModelMeta, {"sweep": written}, Place(Path(), "a.yml"))
        assert meta.sweep == timedelta(**{f"{unit}s": number})


@pytest.mark.parametrize("sweep", ["often", "1", 60, "1 fortnight", "-1 minute", "0 seconds"])
def test_a_sweep_that_is_no_length_of_time_is_refused(place: Place, sweep: object) -> None:
    """The mend shows how to write one."""
    assert refused(ModelMeta, {"sweep": sweep}, place).mend == "Write, for example, `1 minute`."


def test_the_reference_ways_of_identity_are_read(place: Place) -> None:
    """The three ways: to be a profile, to carry an identifier, to belong to a row that does."""
    for identity in (
        {"profile": "a", "identifiers": {"card": "b"}},
        {"identifiers": {"card": "b"}},
        {"via": {"a": "b"}},
    ):
        declared = read(TableMeta, {"key": ["a"], "identity": identity}, place).identity
        assert declared == Identity.model_validate(identity)
