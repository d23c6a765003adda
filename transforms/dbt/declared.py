"""What people write under `meta` in the dbt project, checked at the edge: file, line, field and mend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from ringup.durations import duration
from ringup.errors import ProjectError

Declared = TypeVar("Declared", bound=BaseModel)
Node: TypeAlias = Mapping[str, Any]
"""A node of dbt's manifest."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is declared: a file of the dbt project, and the words that lead to the line."""

    folder: Path
    file: str
    words: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The file, as a person who stands beside the project folder names it."""
        return f"{self.folder.resolve().name}/{self.file}"

    def within(self, *words: str) -> Place:
        """A place further in."""
        return Place(self.folder, self.file, self.words + words)

    def __str__(self) -> str:
        """`file:line: field`; the line is the last one found by looking for one word after the other."""
        return f"{self.path}{self._line()}" + (f": {'.'.join(self.words)}" if self.words else "")

    def _line(self) -> str:
        try:
            lines = (self.folder / self.file).read_text(encoding="utf-8").splitlines()
        except OSError:
            return ""
        found = -1
        for word in self.words:
            pattern = re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])")
            found = next((n for n in range(max(found, 0), len(lines)) if pattern.search(lines[n])), found)
        return f":{found + 1}" if found >= 0 else ""


def place_of(folder: Path, node: Node, *words: str) -> Place:
    """Where a node of the manifest is declared."""
    return Place(folder, str(node["original_file_path"]), words)


def _interval(text: object) -> object:
    """A duration as in ringup.yml, that is longer than nothing."""
    try:
        span = duration(text)
    except ValueError:
        span = timedelta()
    if not span:
        raise PydanticCustomError("time_delta_type", "no length of time")
    return span


class _Owned(BaseModel):
    """A block that is ringup's alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Shared(BaseModel):
    """A `meta` that others may write into, too."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Identity(_Owned):
    """How a row finds its customer: it is one, it carries an identifier, or it belongs to a row that does."""

    profile: str | None = None
    identifiers: dict[str, str] = {}
    via: Annotated[dict[str, str], Field(max_length=1)] = {}

    @model_validator(mode="after")
    def _one_way(self) -> Identity:
        if bool(self.via) == bool(self.profile or self.identifiers):
            raise ValueError("either `profile` and `identifiers`, or `via`, must be given")
        return self


class TableMeta(_Shared):
    """`meta` of a source table."""

    key: Annotated[list[str], Field(min_length=1)]
    identity: Identity | None = None
    topic: str | None = None


class ModelMeta(_Shared):
    """`meta` of a model. `sweep` is how often a model with a clock is evaluated for everyone."""

    refresh: Literal["continuous", "scheduled"] = "scheduled"
    kind: Literal["staging", "mart", "segment", "trigger"] | None = None
    sweep: Annotated[timedelta, BeforeValidator(_interval)] | None = None

    @property
    def continuous(self) -> bool:
        """Whether the model is kept up to date change by change."""
        return self.refresh == "continuous"


class Activation(_Owned):
    """`meta.activation` of an exposure."""

    channel: str
    when: Literal["fired", "entered", "exited", "updated"]
    message: str


def read(kind: type[Declared], data: Mapping[str, Any], place: Place) -> Declared:
    """Check one block. Raises ProjectError for the first thing that is wrong in it."""
    try:
        declared = kind.model_validate(data)
    except ValidationError as error:
        raise _explained(kind, error, place) from None
    for name in declared.model_extra or {}:
        if near := get_close_matches(name, kind.model_fields, n=1, cutoff=0.75):
            raise ProjectError(
                f"`{name}` is not known", where=str(place.within(name)), mend=f"Did you mean `{near[0]}`?"
            )
    return declared


def _explained(kind: type[BaseModel], error: ValidationError, place: Place) -> ProjectError:
    """The first of pydantic's complaints, in our words where ours say more."""
    first = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")  # says the most
    field = [str(part) for part in first["loc"] if isinstance(part, str)]
    where = str(place.within(*field))
    name = field[-1] if field else ""
    match first["type"]:
        case "missing":
            return ProjectError(f"`{name}` is missing", where=str(place), mend=f"Add `{name}`.")
        case "extra_forbidden":
            fields = list(Identity.model_fields if "identity" in field else kind.model_fields)
            near = get_close_matches(name, fields, n=1)
            mend = f"Did you mean `{near[0]}`?" if near else f"Remove it; known are {', '.join(fields)}."
            return ProjectError(f"`{name}` is not known", where=where, mend=mend)
        case "literal_error":
            return ProjectError(
                f"{first['input']!r} is none of its values", where=where, mend=f"Write {first['ctx']['expected']}."
            )
        case "time_delta_type":
            return ProjectError(
                f"{first['input']!r} is no length of time", where=where, mend="Write, for example, `1 minute`."
            )
    message = str(first["msg"]).removeprefix("Value error, ")
    return ProjectError(message, where=where, mend=f"Correct `{name}`.")
