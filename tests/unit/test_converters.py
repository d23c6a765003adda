"""Which converters a source may name, and what they are told so that ringup can read what they write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.drift import desired
from connectors.sources import Source, load_sources, refuse_avro
from ringup.errors import ConfigError

JSON = "org.apache.kafka.connect.json.JsonConverter"
APICURIO = "io.apicurio.registry.utils.converter.AvroConverter"
CONFLUENT = "io.confluent.connect.avro.AvroConverter"
NEEDED = ("topic.prefix", "database.hostname", "database.user", "database.password", "database.dbname")


def source(tmp_path: Path, **settings: str) -> Source:
    """A source with these settings, in which a double underscore stands for a dot."""
    config = dict.fromkeys(NEEDED, "pos") | {key.replace("__", "."): value for key, value in settings.items()}
    (tmp_path / "pos.json").write_text(json.dumps({"name": "pos", "config": config}))
    (found,) = load_sources(tmp_path)
    return found


def test_json_without_schemas_is_what_a_source_writes_by_itself(tmp_path: Path) -> None:
    """And null stays null, also in a column that has a default."""
    wanted = desired(source(tmp_path), "broker:9092")
    for side in ("key", "value"):
        assert wanted[f"{side}.converter"] == JSON
        assert wanted[f"{side}.converter.schemas.enable"] == "false"
        assert wanted[f"{side}.converter.replace.null.with.default"] == "false"
    assert "schema.name.adjustment.mode" not in wanted


def test_each_side_has_its_own(tmp_path: Path) -> None:
    """Values in Avro, keys in JSON with their schemas: with the settings of each, and none of the other's."""
    url = "http://registry/apis/registry/v2"
    wanted = desired(
        source(
            tmp_path,
            key__converter__schemas__enable="true",
            value__converter=APICURIO,
            value__converter__apicurio__registry__url=url,
        ),
        "broker:9092",
    )
    assert {name: value for name, value in wanted.items() if ".converter" in name or "adjustment" in name} == {
        "schema.name.adjustment.mode": "avro",
        "key.converter": JSON,
        "key.converter.schemas.enable": "true",
        "key.converter.replace.null.with.default": "false",
        "key.converter.decimal.format": "NUMERIC",
        "value.converter": APICURIO,
        "value.converter.apicurio.registry.url": url,
        "value.converter.apicurio.registry.auto-register": "true",
        "value.converter.apicurio.registry.as-confluent": "true",
        "value.converter.apicurio.registry.use-id": "contentId",
        "value.converter.apicurio.registry.headers.enabled": "false",
    }


@pytest.mark.parametrize(
    ("settings", "field", "mend"),
    [
        (
            {"value__converter": "org.apache.kafka.connect.storage.StringConverter"},
            "value.converter",
            f"name one of {JSON}",
        ),
        ({"key__converter": CONFLUENT}, "key.converter.schema.registry.url", f"add it: {CONFLUENT} needs it"),
        (
            {
                "value__converter": APICURIO,
                "value__converter__apicurio__registry__url": "http://registry",
                "value__converter__apicurio__registry__headers__enabled": "true",
            },
            "value.converter.apicurio.registry.headers.enabled",
            "set it to 'false'",
        ),
        (
            {"value__converter__replace__null__with__default": "true"},
            "value.converter.replace.null.with.default",
            "set it to 'false'",
        ),
    ],
)
def test_what_could_not_be_read_is_refused(tmp_path: Path, settings: dict[str, str], field: str, mend: str) -> None:
    """When the file is read, with the field and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        source(tmp_path, **settings)
    assert caught.value.where == f"{tmp_path / 'pos.json'}: config.{field}"
    assert caught.value.mend.startswith(mend)


def test_avro_needs_a_registry(tmp_path: Path) -> None:
    """The error names the source's field and the setting that is missing."""
    refuse_avro([source(tmp_path)])
    avro = source(tmp_path, key__converter=CONFLUENT, key__converter__schema__registry__url="http://registry")
    with pytest.raises(ConfigError, match=r"pos writes Avro \(.*pos\.json: config\.key\.converter\)") as caught:
        refuse_avro([avro])
    assert caught.value.where == "ringup.yml: kafka.registry"
