"""Files that people write, read so that a mistake is answered with file, field and mend."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ringup.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)

_REFERENCE = re.compile(r"\$\{env:([^}]*)\}")


class _Loader(yaml.SafeLoader):
    """YAML in which a key may be written once only: of two, the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a name is a plain word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` stands here twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A YAML file and what is in it. Errors name it as the caller did."""

    path: Path
    data: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> ConfigFile:
        """Read `path`. Raises ConfigError when it is not there, or no YAML (with the line), or no mapping."""
        try:
            data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
        except FileNotFoundError:
            raise ConfigError(
                f"there is no {path.name} in {path.resolve().parent}",
                mend="Go to a project's folder, name one with --project, or make one: ringup init my-shop",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"it cannot be read: {error}", where=path.name, mend="It must be a text file.") from None
        except yaml.YAMLError as error:
            raise _syntax_error(path, error) from None
        file = cls(path, data if isinstance(data, dict) else {})
        file.mapping({} if data is None else data, "")
        return file

    def error(self, field: str, message: str, mend: str) -> ConfigError:
        """What is wrong with a field of this file."""
        return ConfigError(message, where=f"{self.path.name}: {field}" if field else self.path.name, mend=mend)

    def mapping(self, value: object, field: str) -> dict[str, Any]:
        """`value`, which must be a block of named fields."""
        if not isinstance(value, dict):
            raise self.error(
                field, "this must be a block of `name: value` lines", "See docs/configuration.md for an example."
            )
        return value

    def resolved(self, value: Any, environ: Mapping[str, str], field: str = "") -> Any:
        """`value` with each `${env:NAME}` in its texts replaced. Raises ConfigError naming a missing variable."""
        match value:
            case dict():
                return {k: self.resolved(v, environ, f"{field}.{k}" if field else str(k)) for k, v in value.items()}
            case list():
                return [self.resolved(v, environ, f"{field}[{n}]") for n, v in enumerate(value)]
            case str():
                return _REFERENCE.sub(lambda match: self._variable(match[1], environ, field), value)
        return value

    def _variable(self, name: str, environ: Mapping[str, str], field: str) -> str:
        if name not in environ:
            raise self.error(
                field, f"the environment variable {name} is not set", f"Set it: export {name}=... and start again."
            )
        return environ[name]

    def checked(self, model: type[Model], data: Mapping[str, Any], field: str = "") -> Model:
        """`data` as a `model`. Raises ConfigError for the first thing that is wrong with it; never shows a value.

        A validator of the model says `ValueError("what is wrong|What to do.")`.
        """
        try:
            return model.model_validate(data)
        except ValidationError as errors:
            found = errors.errors(include_url=False, include_input=False)
            first = min(found, key=lambda error: error["type"] != "extra_forbidden")  # a misspelt name says more
        place = ".".join([field, *map(str, first["loc"])]).strip(".")
        name = str(first["loc"][-1]) if first["loc"] else field
        if first["type"] == "extra_forbidden":
            raise self.error(place, "this field is not known", nearest(name, _fields(model, first["loc"][:-1])))
        if first["type"] == "missing":
            raise self.error(place, "it is missing", f"Add `{name}: ...`; docs/configuration.md says what it means.")
        message, _, mend = first["msg"].removeprefix("Value error, ").partition("|")
        said = _WORDS.get(first["type"]) or message[0].lower() + message[1:]
        raise self.error(place, said, mend or _meaning(model, first["loc"]))


def nearest(name: str, known: Iterable[str]) -> str:
    """The mend for a wrong name: the known one that is most like it, or all of them."""
    known = list(known)
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"Did you mean `{close[0]}`?" if close else f"Known are: {', '.join(known)}."


_WORDS = {
    "string_pattern_mismatch": "this is not of the form that it must have",
    "tuple_type": "this must be a list: [...]",
    "url_parsing": "this is no address",
    "url_scheme": "this is no address that can be used",
}
"""pydantic's words, where ours are plainer."""


def _meaning(model: type[BaseModel], path: Sequence[str | int]) -> str:
    """The mend for a wrong value: what the field is for."""
    field = _model_at(model, path[:-1]).model_fields.get(str(path[-1])) if path else None
    meaning = field.description if field is not None else None
    return " ".join(meaning.split()) if meaning else "See docs/configuration.md of ringup."


def _fields(model: type[BaseModel], path: Iterable[str | int]) -> list[str]:
    """The names of the fields of the model that `path` leads to."""
    return list(_model_at(model, path).model_fields)


def _model_at(model: type[BaseModel], path: Iterable[str | int]) -> type[BaseModel]:
    """The model that `path` leads to, or the last one on the way."""
    for name in path:
        inner = model.model_fields[str(name)].annotation
        inner = next((kind for kind in get_args(inner) if kind is not type(None)), inner)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return model


def _syntax_error(path: Path, error: yaml.YAMLError) -> ConfigError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = f": line {mark.line + 1}" if mark else ""
    problem = getattr(error, "problem", None) or str(error)
    return ConfigError(problem, where=f"{path.name}{line}", mend="Correct the YAML; watch the indentation and quotes.")
