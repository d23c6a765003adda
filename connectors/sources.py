"""Sources: Debezium connector configurations, one JSON file each, with secrets by reference."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from connectors import converters, included
from connectors.databases import database_of
from ringup.errors import ConfigError

_REFERENCE = re.compile(r"\$\{env:([^}]*)\}")
_NAME = re.compile(r"[^\W_]([\w .:@+-]{0,198}[\w.:@+-])?")
"""What Kafka Connect takes for a connector's name, without what an address would not carry."""


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"no connector can be called {value!r}|begin with a letter or a digit, and use no signs but . _ - : @ +"
        )
    return value


def _text(value: object) -> str:
    if not isinstance(value, str | int):
        raise ValueError("this is no value of a setting|write a text, a whole number, true or false")
    return str(value).lower() if isinstance(value, bool) else str(value)


class _File(BaseModel):
    """A validator says `ValueError("what is wrong|what to do")`."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, AfterValidator(_name)]
    config: dict[str, Annotated[str, BeforeValidator(_text)]]


@dataclass(frozen=True, slots=True)
class Source:
    """One source database: the connector configuration of `path`, its references unresolved."""

    name: str
    config: Mapping[str, str] = field(repr=False)
    path: str

    @property
    def prefix(self) -> str:
        """What the names of the source's topics begin with."""
        return self.config["topic.prefix"]


def load_sources(folder: Path) -> list[Source]:
    """Read every connector JSON of a folder, by name of the file; ConfigError names the file and the field."""
    sources = [_load(path) for path in sorted(folder.glob("*.json"))]
    if not sources:
        raise ConfigError("there is no source", mend="put a connector's JSON file into this folder", where=str(folder))
    for what in ("name", "prefix"):
        seen: dict[str, Source] = {}
        for source in sources:
            twin = seen.setdefault(getattr(source, what), source)
            if twin is not source:
                raise ConfigError(
                    f"the {what} {getattr(source, what)!r} is also that of {twin.path}",
                    mend=f"give each source a {what} of its own",
                    where=_field(source, "topic.prefix") if what == "prefix" else f"{source.path}: name",
                )
    return sources


def resolve(source: Source, environ: Mapping[str, str]) -> dict[str, str]:
    """What the connector runs with here: as `configured`, with the references to `environ` replaced."""
    return {key: _substitute(source, key, value, environ) for key, value in configured(source).items()}


def configured(source: Source) -> dict[str, str]:
    """The source's configuration with ringup's settings added, its references as they are."""
    database, prefix = database_of(source.config), source.prefix
    notifications = {"notification.sink.topic.name": f"{prefix}.notifications"}
    return {**database.defaults, **database.own(prefix), **source.config, **database.relied_on, **notifications}


def variables(source: Source) -> list[str]:
    """The environment variables that a source refers to, each once."""
    named = (name for value in source.config.values() for name in _REFERENCE.findall(value))
    return list(dict.fromkeys(named))


def refuse_avro(sources: Iterable[Source]) -> None:
    """No schema registry is named: raise ConfigError where a source needs one."""
    for source in sources:
        if (field := converters.avro_field(source.config)) is not None:
            raise ConfigError(
                f"{source.name} writes Avro ({_field(source, field)}), and no schema registry is named",
                where="ringup.yml: kafka.registry",
                mend="add `registry:` with its `url` to the block `kafka`; docs/kafka.md has an example",
            )


def refuse_without_kafka(sources: Iterable[Source]) -> None:
    """There is no Kafka: raise ConfigError where a source needs it."""
    for source in sources:
        if not (database := database_of(source.config)).embedded:
            raise ConfigError(
                f"{source.name} is a {database.name} database, which is captured by way of Kafka only",
                where=_field(source, "connector.class"),
                mend="add a block `kafka:` with `bootstrap` and `connect` to ringup.yml; docs/kafka.md has an example",
            )


def _load(path: Path) -> Source:
    try:
        file = _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"it cannot be read: {error.strerror}",
            mend="a source is a file that can be read; take this away, or give it a name that does not end in .json",
            where=str(path),
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message, _, mend = first["msg"].removeprefix("Value error, ").partition("|")
        raise ConfigError(
            message,
            mend=mend or 'a source is {"name": "...", "config": {...}}, with Debezium\'s settings in config',
            where=f"{path}: {place}" if place else str(path),
        ) from error
    config = file.config
    source = Source(file.name, config, str(path))
    database = database_of(config)
    for key in database.needed:
        if not config.get(key):
            raise ConfigError(f"{key} is missing", mend=f"add {key} to the config", where=_field(source, key))
    for key in config.keys() - database.settings:
        for near in get_close_matches(key, database.settings, n=1, cutoff=0.9):
            raise ConfigError(f"there is no setting {key}", mend=f"did you mean {near}?", where=_field(source, key))
    for key in database.foreign & config.keys():
        raise ConfigError(
            f"{database.name} has no {key}",
            mend=f"it has {' and '.join(f'{kind}.include.list' for kind in database.listed)}",
            where=_field(source, key),
        )
    for key, value in database.relied_on.items():
        if config.get(key, value) != value:
            raise ConfigError(
                f"{config[key]!r} does not work with ringup",
                mend=f"set it to {value!r}, or leave it out: ringup sets it",
                where=_field(source, key),
            )
    for key, least in database.least.items():
        if (said := config.get(key, "")).isdecimal() and int(said) < least:
            raise ConfigError(f"{said} is too short", mend=f"set it to {least} or more", where=_field(source, key))
    for key, words, mend in (*converters.mistakes(config), *included.mistakes(config)):
        raise ConfigError(words, mend=mend, where=_field(source, key))
    return source


def _substitute(source: Source, key: str, value: str, environ: Mapping[str, str]) -> str:
    for name in _REFERENCE.findall(value):
        if name not in environ:
            raise ConfigError(
                f"the environment variable {name} is not set",
                mend=f"set it: export {name}=...",
                where=_field(source, key),
            )
    return _REFERENCE.sub(lambda match: environ[match[1]], value)


def _field(source: Source, key: str) -> str:
    return f"{source.path}: config.{key}"
