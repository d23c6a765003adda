"""Suites of expectations: a file for each model, read so that a mistake is answered with file, field and mend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from ringup.checked import ConfigFile, nearest
from transforms.quality_rules import OWN

Severity = Literal["critical", "warning", "info"]

FOLDER = "expectations"
"""Where they are in the dbt project."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that a model has to be. `description` is said instead of Great Expectations' words."""

    type: str
    kwargs: Mapping[str, Any]
    severity: Severity
    description: str | None


@dataclass(frozen=True, slots=True)
class Suite:
    """What is expected of a model."""

    model: str
    expectations: tuple[Expectation, ...]

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Suite:
        """From what `dataclasses.asdict` and JSON made of it."""
        return cls(said["model"], tuple(Expectation(**one) for one in said["expectations"]))


class ExpectationFields(BaseModel):
    """An expectation as it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    type: str
    """Its name: one of Great Expectations' or of ringup's own."""
    kwargs: dict[str, Any] = {}
    """What it is about: the column, the bounds."""
    severity: Severity = "critical"
    """`critical` keeps the model from being published; `warning` and `info` are told."""
    description: str | None = None
    """What is expected, in your own words."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    expectations: Annotated[list[dict[str, Any]], Field(min_length=1)]
    """What is expected of the model: a list, each with a `type` and its `kwargs`."""


def read_suites(dbt_project: Path) -> tuple[Suite, ...]:
    """The suites of a project, by the names of their models. Raises ConfigError."""
    folder = dbt_project / FOLDER
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.glob("*") if path.suffix in (".yml", ".yaml", ".json")):
        other = found.setdefault(path.stem, path)
        if other != path:
            raise ConfigFile(path, {}).error("", f"{other.name} is of the same model", "Write both into one file.")
    return tuple(_suite(ConfigFile.read(path)) for path in found.values())


def _suite(file: ConfigFile) -> Suite:
    written = file.checked(_File, file.data).expectations
    return Suite(file.path.stem, tuple(_expectation(file, one, f"expectations.{n}") for n, one in enumerate(written)))


def _expectation(file: ConfigFile, data: Mapping[str, Any], field: str) -> Expectation:
    one = file.checked(ExpectationFields, data, field)
    if own := OWN.get(one.type):
        file.checked(own, one.kwargs, f"{field}.kwargs")
    elif (known := _gx().get(one.type)) is None:
        raise file.error(f"{field}.type", f"`{one.type}` is not known", nearest(one.type, [*_gx(), *OWN]))
    else:
        for name in one.kwargs:
            if name not in known:
                raise file.error(f"{field}.kwargs.{name}", "this field is not known", nearest(name, known))
        for name, required in known.items():
            if required and name not in one.kwargs:
                raise file.error(f"{field}.kwargs.{name}", f"{one.type} needs it", f"Add `{name}: ...`.")
    return Expectation(one.type, _plain(one.kwargs), one.severity, one.description)


def _plain(value: Any) -> Any:
    """`value` with times as texts, so that it can be JSON."""
    match value:
        case dict():
            return {str(name): _plain(one) for name, one in value.items()}
        case list():
            return [_plain(one) for one in value]
        case date():
            return value.isoformat()
    return value


@cache
def _gx() -> Mapping[str, Mapping[str, bool]]:
    """Great Expectations' own: the fields of each, and whether they are required.

    They come from the schemas that it ships, as importing it takes seconds.
    """
    spec = find_spec("great_expectations")
    assert spec is not None and spec.origin is not None
    known = {}
    for path in sorted((Path(spec.origin).parent / "expectations" / "core" / "schemas").glob("Expect*.json")):
        schema = orjson.loads(path.read_bytes())
        about = schema["properties"]["metadata"]["properties"]
        if "Pandas" in about["supported_data_sources"]["const"]:
            names = [name for name in schema["properties"] if name not in _COMMON]
            known[about["expectation_type"]["const"]] = {name: name in schema.get("required", ()) for name in names}
    return known


_COMMON = {
    *("id", "meta", "notes", "result_format", "description", "catch_exceptions"),
    *("rendered_content", "severity", "windows", "batch_id", "metadata"),
}
"""Fields that all of them have and that are not for `kwargs`."""
