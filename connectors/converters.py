"""Converters of Kafka Connect: which of them write what ringup can read, and the settings that make them do so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

SIDES = ("key", "value")


@dataclass(frozen=True, slots=True)
class Converter:
    """A converter's settings: those that it needs, those that ringup relies on, and what they are unless said."""

    avro: bool = False
    needed: tuple[str, ...] = ()
    relied_on: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)


JSON = "org.apache.kafka.connect.json.JsonConverter"

CONVERTERS: Mapping[str, Converter] = {
    JSON: Converter(
        # Else a column that is null and has a default arrives as the default, and a large whole number as bytes.
        relied_on={"replace.null.with.default": "false", "decimal.format": "NUMERIC"},
        defaults={"schemas.enable": "false"},
    ),
    "io.apicurio.registry.utils.converter.AvroConverter": Converter(
        avro=True,
        needed=("apicurio.registry.url",),
        # A zero and four bytes before each record, with the number that the Confluent API has for the schema.
        relied_on={
            "apicurio.registry.as-confluent": "true",
            "apicurio.registry.use-id": "contentId",
            "apicurio.registry.headers.enabled": "false",
        },
        defaults={"apicurio.registry.auto-register": "true"},
    ),
    "io.confluent.connect.avro.AvroConverter": Converter(
        avro=True, needed=("schema.registry.url",), relied_on={"ignore.default.for.nullables": "true"}
    ),
}

_AVRO_NAMES = {"schema.name.adjustment.mode": "avro"}
"""Names of topics may have characters that names of Avro may not."""


def converting(config: Mapping[str, str]) -> dict[str, str]:
    """What a source's configuration gets for its converters, unless it says otherwise."""
    settings = dict[str, str]()
    for prefix, name, converter in _chosen(config):
        settings[prefix] = name
        for key, value in {**converter.defaults, **converter.relied_on}.items():
            settings[f"{prefix}.{key}"] = value
    return settings if avro_field(config) is None else {**_AVRO_NAMES, **settings}


def avro_field(config: Mapping[str, str]) -> str | None:
    """The setting that makes a source write Avro; None where it writes JSON."""
    return next((prefix for prefix, _, converter in _chosen(config) if converter.avro), None)


def mistakes(config: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """What is wrong with the converters that a source's configuration names: setting, words and mend."""
    for side in SIDES:
        prefix = f"{side}.converter"
        if (name := config.get(prefix, JSON)) not in CONVERTERS:
            yield prefix, f"what {name} writes is not read", f"name one of {', '.join(CONVERTERS)}, or leave it out"
    for prefix, name, converter in _chosen(config):
        for key in converter.needed:
            if not config.get(f"{prefix}.{key}"):
                yield f"{prefix}.{key}", f"{prefix}.{key} is missing", f"add it: {name} needs it"
        for key, value in converter.relied_on.items():
            if (said := config.get(f"{prefix}.{key}", value)) != value:
                yield f"{prefix}.{key}", f"{said!r} does not work with ringup", f"set it to {value!r}, or leave it out"


def _chosen(config: Mapping[str, str]) -> Iterator[tuple[str, str, Converter]]:
    for side in SIDES:
        name = config.get(f"{side}.converter", JSON)
        if name in CONVERTERS:
            yield f"{side}.converter", name, CONVERTERS[name]
