"""`ringup.yml`: what a project is made of, read and checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
)
from pydantic.json_schema import GenerateJsonSchema

from ringup.addresses import Address, Addresses, Brokers
from ringup.checked import ConfigFile, nearest
from ringup.durations import Duration, shown
from ringup.times import cron, zone

FILE_NAME = "ringup.yml"

Value = TypeVar("Value")


def _plain(value: object) -> object:
    if not isinstance(value, str | int):
        raise ValueError("this is no value of a setting|Write a text, a whole number, true or false.")
    return value


Plain = Annotated[Value, BeforeValidator(_plain)]
"""A value that is passed on to a client as it stands."""

_FOR_PROGRAMS = {
    **dict.fromkeys(("on_commit", "on_delivery", "logger"), "only a program can give what it takes|Leave it out."),
    "default.topic.config": "it is a block of others|Write what is in it beside the other settings.",
    "delivery.report.only.error": "ringup waits for what the brokers say of each message|Leave it out.",
}
"""Settings of confluent-kafka that a file cannot have, besides the callbacks: why, and what to do."""


def _for_files(client: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
    for name in client:
        if why := _FOR_PROGRAMS.get(name, _FOR_PROGRAMS["logger"] if name.endswith("_cb") else ""):
            raise ValueError(f"`{name}` cannot be set: {why}")
    return client


Client = Annotated[dict[str, Plain[str | int | bool]], AfterValidator(_for_files)]
"""Settings of a client of Kafka."""


class Settings(BaseModel):
    """A block of ringup.yml: unknown fields are errors, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PipelineSettings(Settings):
    """How the one loop works. The defaults suit a machine with two cores."""

    max_batch: Annotated[int, Field(gt=0)] = 50_000
    """The most changes that are taken in by one transaction; one giant source transaction may exceed it."""
    transaction_wait: Duration = timedelta(seconds=1)
    """How long to wait for the rest of a source transaction before its changes are used without it."""
    memory_limit: Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$")] = "2GB"
    """The memory that DuckDB may use, such as 2GB or 500MB."""
    threads: Annotated[int, Field(gt=0, le=256)] = 2
    """The threads that DuckDB may use, as many as there are cores, say."""


class RegistrySettings(Settings):
    """A schema registry with Confluent's API, for sources whose connectors write Avro."""

    url: Addresses
    """Its address as a Confluent schema registry, several with commas."""
    client: dict[str, Plain[str | int]] = {}
    """Settings of confluent-kafka's SchemaRegistryClient, passed on as they stand: a login, TLS, a proxy."""


class KafkaSettings(Settings):
    """A Kafka cluster whose topics are the change log, and the Kafka Connect cluster that runs Debezium."""

    bootstrap: Brokers
    """The brokers to begin with: `host:port`, several with commas."""
    connect: Address | None = None
    """The address of a worker of Kafka Connect, for `ringup connectors` and `ringup status`."""
    group: str | None = None
    """The consumer group of the project, which one ringup at a time reads for. Default: `ringup.` and the project's
    name."""
    registry: RegistrySettings | None = None
    """The schema registry that knows the schemas of what connectors write as Avro."""
    client: Client = {}
    """Settings of librdkafka, passed on as they stand: TLS, SASL and whatever else the cluster asks for."""

    @property
    def access(self) -> dict[str, str | int | bool]:
        """What any client of the cluster needs: its settings, and the brokers."""
        return {**self.client, "bootstrap.servers": self.bootstrap}


class LakeSettings(Settings):
    """The copy of the change log in Parquet, which keeps all that ever came."""

    folder: Path | None = None
    """The folder that it is kept in. Default: `lake` in the state folder."""
    every: Duration = timedelta(seconds=10)
    """How long changes wait for others before a file is written, so that files do not become too many."""


class ScheduleSettings(Settings):
    """When the scheduled run is due, beside the live run."""

    cron: Annotated[str, AfterValidator(cron)]
    """The times, as cron has them: minute, hour, day of the month, month, weekday. `0 3 * * *` is three every night."""
    time_zone: Annotated[str, AfterValidator(zone)] = "UTC"
    """The time zone that these times are of, such as Europe/Berlin."""


class Config(Settings):
    """A project. Paths are relative to the folder of ringup.yml."""

    project: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)]
    """The project's name: small letters, digits and hyphens, a letter first; up to 40."""
    state: Path = Path(".ringup")
    """The folder that holds what ringup keeps: the change log, the warehouse, logs. One process owns it at a time."""
    dbt_project: Path = Path("dbt_project")
    """The folder of the dbt project: sources, models and activations."""
    sources: Path = Path("connectors/sources")
    """The folder with one Debezium connector configuration per source database, as JSON."""
    kafka: KafkaSettings | None = None
    """Where changes come from, if not from the change log that ringup keeps itself."""
    channels: dict[str, Any] = {}
    """Where messages go, by the name that activations use: the settings that belong to the channel's `type`."""
    pipeline: PipelineSettings = PipelineSettings()
    """How the pipeline works."""
    lake: LakeSettings | None = LakeSettings()
    """The copy of the change log in Parquet; `null` for none."""
    schedule: ScheduleSettings | None = None
    """When `ringup run` starts a scheduled run. Default: never; `ringup batch` is one."""

    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    @property
    def folder(self) -> Path:
        """The project folder, where ringup.yml stands."""
        return self._folder

    @property
    def state_folder(self) -> Path:
        """`state` as an absolute path."""
        return (self._folder / self.state).resolve()

    @property
    def lake_folder(self) -> Path | None:
        """`lake.folder` as an absolute path; None where there is to be no lake."""
        if self.lake is None:
            return None
        return (self._folder / (self.lake.folder or self.state / "lake")).resolve()

    @property
    def scheduled_folder(self) -> Path:
        """Where scheduled runs have their files."""
        return self.state_folder / "scheduled"

    @property
    def dbt_folder(self) -> Path:
        """`dbt_project` as an absolute path."""
        return (self._folder / self.dbt_project).resolve()

    @property
    def sources_folder(self) -> Path:
        """`sources` as an absolute path."""
        return (self._folder / self.sources).resolve()


def load_config(path: Path, environ: Mapping[str, str], *, channels: bool = True) -> Config:
    """Read the project's settings from `path`, a ringup.yml or the folder that it stands in.

    `${env:NAME}` in any text is replaced from `environ`. With `channels=False` they are left out, for a question
    about the state, which needs none of their secrets. Raises ConfigError naming file and field, with the mend.
    """
    file = ConfigFile.read(path / FILE_NAME if path.is_dir() else path)
    written = file.data.pop("channels", None)
    found: dict[str, BaseModel] = {}
    if channels and written is not None:
        for name, block in file.mapping(written, "channels").items():
            where = f"channels.{name}"
            kind = _channel_kind(file, file.mapping(block, where), where)
            found[name] = file.checked(kind, file.resolved(block, environ, where), where)
    config = file.checked(Config, {**file.resolved(file.data, environ), "channels": found})
    config._folder = file.path.resolve().parent
    return config


def _channel_kind(file: ConfigFile, block: Mapping[str, Any], where: str) -> type[BaseModel]:
    kinds, kind = channel_kinds(), block.get("type")
    if kind is None:
        raise file.error(f"{where}.type", "it is missing", f"Add it; known are: {', '.join(kinds)}.")
    if kind not in kinds:
        raise file.error(f"{where}.type", f"there is no channel of type `{kind}`", nearest(str(kind), kinds))
    return kinds[kind]


@cache
def channel_kinds() -> dict[str, type[BaseModel]]:
    """Each type of channel with its settings: the model in one of `activations/channels/` that has this `type`.

    Found by looking, not by importing at the top: this module is below the channels, and a new one is one file.
    """
    package = import_module("activations.channels")
    kinds: dict[str, type[BaseModel]] = {}
    for found in iter_modules(package.__path__):
        for value in vars(import_module(f"{package.__name__}.{found.name}")).values():
            if isinstance(value, type) and issubclass(value, BaseModel) and "type" in value.model_fields:
                kinds |= dict.fromkeys(get_args(value.model_fields["type"].annotation), value)
    return kinds


class _Schema(GenerateJsonSchema):
    """Defaults as one writes them."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return shown(dft)
        return [self.encode_default(item) for item in dft] if isinstance(dft, tuple) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of ringup.yml, for editors that complete and check while one types."""
    schema = Config.model_json_schema(schema_generator=_Schema)
    kinds = {}
    for name, kind in channel_kinds().items():
        kinds[name] = kind.model_json_schema(schema_generator=_Schema, ref_template=f"#/$defs/{name}/$defs/{{model}}")
        for field in kinds[name]["properties"].values():
            field.pop("format", None)  # `${env:WEBHOOK_URL}` is no address yet
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = FILE_NAME
    schema["$defs"] |= kinds
    schema["properties"]["channels"]["additionalProperties"] = {"oneOf": [{"$ref": f"#/$defs/{n}"} for n in kinds]}
    return schema
