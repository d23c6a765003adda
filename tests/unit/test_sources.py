"""Sources: what is wrong in a connector's JSON is said with file, field and mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.databases import MARIADB
from connectors.included import includes
from connectors.sources import load_sources, refuse_without_kafka, resolve
from ringup.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "connectors" / "sources"


def config(**changes: Any) -> dict[str, Any]:
    """A configuration that works; a setting given as None is left out."""
    working = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "topic.prefix": "pos",
        "database.hostname": "${env:POS_HOST}",
        "database.user": "reader",
        "database.password": "${env:POS_PASSWORD}",
        "database.dbname": "pos",
    }
    return {key: value for key, value in {**working, **changes}.items() if value is not None}


def tills(**changes: Any) -> dict[str, Any]:
    """A source that is a MariaDB database."""
    login = {"database.hostname": "localhost", "database.user": "ringup", "database.password": "${env:TILLS_PASSWORD}"}
    return {"connector.class": MARIADB.connector, "topic.prefix": "tills", **login, **changes}


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / f"{name}.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_shipped_sources_resolve() -> None:
    """pos, west and crm load, and every reference in them is to a documented variable."""
    sources = load_sources(SHIPPED)
    assert [source.prefix for source in sources] == ["crm", "pos", "west"]
    names = ("HOST", "PORT", "USER", "PASSWORD", "DATABASE")
    environ = {f"{source.name.upper()}_{name}": f"{source.name}-{name}" for source in sources for name in names}
    for source in sources:
        resolved = resolve(source, environ)
        assert resolved["database.password"] == f"{source.name}-PASSWORD"
        assert "${" not in json.dumps(resolved)


def test_a_reference_is_replaced_and_ringups_settings_are_added(tmp_path: Path) -> None:
    """The user's own settings stay, except that nothing of what ringup relies on is missing."""
    write(tmp_path, "pos", {"name": "pos", "config": config(**{"max.batch.size": 77, "slot.drop.on.stop": True})})
    (source,) = load_sources(tmp_path)
    resolved = resolve(source, {"POS_HOST": "db.example", "POS_PASSWORD": "a}b$"})
    assert resolved["database.hostname"] == "db.example"
    assert resolved["database.password"] == "a}b$"
    assert resolved["database.port"] == "5432"
    assert resolved["max.batch.size"] == "77"
    assert resolved["slot.drop.on.stop"] == "true"
    assert resolved["slot.name"] == "ringup_pos"
    assert resolved["provide.transaction.metadata"] == "true"
    assert resolved["notification.sink.topic.name"] == "pos.notifications"


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    """The error says which variable, and which field of which file needs it."""
    path = write(tmp_path, "pos", {"name": "pos", "config": config()})
    (source,) = load_sources(tmp_path)
    with pytest.raises(ConfigError, match="POS_PASSWORD is not set") as caught:
        resolve(source, {"POS_HOST": "localhost"})
    assert caught.value.where == f"{path}: config.database.password"
    assert "export POS_PASSWORD" in caught.value.mend


@pytest.mark.parametrize(
    ("content", "where", "words"),
    [
        ("{", "", "JSON"),
        ({"name": "pos", "config": config(), "conifg": {}}, ": conifg", "not permitted"),
        ({"config": config()}, ": name", "required"),
        ({"name": "pos", "config": config(**{"topic.prefix": None})}, ": config.topic.prefix", "missing"),
        ({"name": "pos", "config": config(**{"database.password": ""})}, ": config.database.password", "missing"),
        (
            {"name": "pos", "config": config(**{"decimal.handling.mode": "precise"})},
            ": config.decimal.handling.mode",
            "'precise' does not work",
        ),
        (
            {"name": "pos", "config": config(**{"table.includ.list": "pos.bills"})},
            ": config.table.includ.list",
            "there is no setting",
        ),
        (
            {"name": "pos", "config": config(**{"connector.class": "io.debezium.connector.mysql.MySqlConnector"})},
            ": config.connector.class",
            "does not work",
        ),
        ("[]", "", "object"),
        ("\ufeff{}", "", "JSON"),
        ({"name": "", "config": config()}, ": name", "no connector can be called ''"),
        ({"name": "a/b ?#", "config": config()}, ": name", r"no connector can be called 'a/b \?#'"),
        ({"name": "..", "config": config()}, ": name", "no connector can be called"),
        ({"name": "pos ", "config": config()}, ": name", "no connector can be called"),
        ({"name": None, "config": config()}, ": name", "string"),
        ({"name": "pos", "config": [1]}, ": config", "object"),
        ('{"name": "pos", "config": {"topic.prefix": null}}', ": config.topic.prefix", "no value of a setting"),
        ({"name": "pos", "config": config(x={"a": 1})}, ": config.x", "no value of a setting"),
        ({"name": "pos", "config": config(x=[1])}, ": config.x", "no value of a setting"),
        ({"name": "pos", "config": config(x=1.5)}, ": config.x", "no value of a setting"),
        (
            {"name": "pos", "config": config(**{"table.include.list": "public.bills,public.(orders"})},
            ": config.table.include.list",
            r"'public.\(orders' is no regular expression: missing \), unterminated subpattern",
        ),
        (
            {"name": "pos", "config": config(**{"schema.exclude.list": "a{99999999999999999999}"})},
            ": config.schema.exclude.list",
            "is no regular expression",
        ),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, content: Any, where: str, words: str) -> None:
    """Broken JSON, unknown and missing fields, and settings that ringup cannot work with."""
    path = write(tmp_path, "pos", content)
    with pytest.raises(ConfigError, match=words) as caught:
        load_sources(tmp_path)
    assert caught.value.where == f"{path}{where}"


@pytest.mark.parametrize("name", ["pos", "till-7.north", "Läden", "pos:eu", "my shop", "5"])
def test_a_connector_may_be_called_what_kafka_connect_takes(tmp_path: Path, name: str) -> None:
    """As long as it can stand in an address."""
    write(tmp_path, "pos", {"name": name, "config": config(**{"column.exclude.list": r"\p{L}+[.]note"})})
    assert load_sources(tmp_path)[0].name == name


def test_what_is_called_a_source_and_is_no_file_is_named(tmp_path: Path) -> None:
    """A folder, or a link to a file that is gone."""
    folder, link = tmp_path / "old.json", tmp_path / "one.json"
    folder.mkdir()
    with pytest.raises(ConfigError, match="it cannot be read: Is a directory") as caught:
        load_sources(tmp_path)
    assert caught.value.where == str(folder)
    folder.rmdir()
    link.symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match="it cannot be read: No such file") as caught:
        load_sources(tmp_path)
    assert caught.value.where == str(link)


def test_a_list_of_another_kind_of_database_is_refused(tmp_path: Path) -> None:
    """The connector would not look at it, and capture everything."""
    path = write(tmp_path, "tills", {"name": "tills", "config": tills(**{"schema.include.list": "shop"})})
    with pytest.raises(ConfigError, match=r"MariaDB has no schema\.include\.list") as caught:
        load_sources(tmp_path)
    assert caught.value.where == f"{path}: config.schema.include.list"
    assert "database.include.list" in caught.value.mend


def test_a_connection_that_would_be_made_anew_without_end_is_refused(tmp_path: Path) -> None:
    """The connector takes it for dead before the server has said anything."""
    path = write(tmp_path, "tills", {"name": "tills", "config": tills(**{"connect.keep.alive.interval.ms": 1000})})
    with pytest.raises(ConfigError, match="1000 is too short") as caught:
        load_sources(tmp_path)
    assert caught.value.where == f"{path}: config.connect.keep.alive.interval.ms"
    assert "5000" in caught.value.mend


def test_mariadb_without_kafka_is_refused(tmp_path: Path) -> None:
    """The error names the file and the field, and what to do."""
    path = write(tmp_path, "tills", {"name": "tills", "config": tills(**{"database.include.list": "shop"})})
    write(tmp_path, "pos", {"name": "pos", "config": config()})
    pos, tills_source = load_sources(tmp_path)
    refuse_without_kafka([pos])
    with pytest.raises(ConfigError, match="tills is a MariaDB database") as caught:
        refuse_without_kafka([pos, tills_source])
    assert caught.value.where == f"{path}: config.connector.class"
    assert "kafka:" in caught.value.mend
    assert includes(tills_source.config, "shop", "bills")
    assert not includes(tills_source.config, "other", "bills")


def test_two_sources_with_one_prefix_are_refused(tmp_path: Path) -> None:
    """Their topics would be the same."""
    write(tmp_path, "one", {"name": "one", "config": config()})
    write(tmp_path, "two", {"name": "two", "config": config()})
    with pytest.raises(ConfigError, match=r"the prefix 'pos' is also that of .*one\.json"):
        load_sources(tmp_path)


def test_a_folder_without_sources_is_refused(tmp_path: Path) -> None:
    """Nothing would ever happen."""
    with pytest.raises(ConfigError, match="there is no source"):
        load_sources(tmp_path)


def test_a_source_does_not_print_its_secrets(tmp_path: Path) -> None:
    """A password that somebody wrote into the file stays out of logs and traces."""
    write(tmp_path, "pos", {"name": "pos", "config": config(**{"database.password": "hunter2"})})
    assert "hunter2" not in repr(load_sources(tmp_path))
