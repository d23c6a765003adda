"""`ringup connectors discover` on a real MariaDB: what it finds, what it writes, and what it says is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from connectors.sources import load_sources
from ringup.cli import app
from ringup.errors import RingupError
from ringup.init import start_project
from ringup.local_mariadb import LocalMariaDB
from tests.fetched import fetch

TABLES = """
create database shop; use shop;
create table customers (
    id bigint unsigned auto_increment primary key, email varchar(80), code varchar(8) unique, updated_at timestamp
) comment 'People: all of them.';
create table orders (
    order_id int unsigned primary key, customer_id bigint unsigned references customers (id),
    code varchar(8) references customers (code), ordered_at datetime not null
);
create table order_lines (
    order_id int unsigned references orders (order_id), line int, sku varchar(20), primary key (order_id, line)
);
create table shipped (
    parcel int primary key, order_id int unsigned, line int,
    foreign key (order_id, line) references order_lines (order_id, line)
);
create table log (said text);
create database office; create table office.desks (desk int primary key);
"""
LOGIN = "create user reader@'{host}' identified by 'secret'; grant select on shop.* to reader@'{host}'"


@dataclass(frozen=True, slots=True)
class Desk:
    """A project with nothing in it but the address of a Kafka cluster, and the server that it is to discover."""

    folder: Path
    mariadb: LocalMariaDB
    environ: dict[str, str]

    @property
    def json(self) -> Path:
        """The connector's file."""
        return self.folder / "connectors" / "sources" / "tills.json"

    def discover(self, *words: str, **environ: str) -> Result:
        """The command, on the source `tills`."""
        command = ["connectors", "discover", "tills", *words, "--project", str(self.folder)]
        return CliRunner().invoke(app, command, env={**self.environ, **environ})

    def answer(self, *words: str, status: int = 0, **environ: Any) -> Any:
        """What it says with --json."""
        done = self.discover("--database", "mariadb", "--json", *words, **environ)
        assert done.exit_code == status, (done.output, done.exception)
        return json.loads(done.stdout)

    def refused(self, *words: str, **environ: str) -> RingupError:
        """The error that it ends with."""
        error = self.discover(*words, **environ).exception
        assert isinstance(error, RingupError), error
        return error


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMariaDB]:
    fetch("mariadb")
    with LocalMariaDB(tmp_path_factory.mktemp("discover") / "mariadb") as server:
        server.execute(TABLES + LOGIN.format(host=server.host))
        yield server


@pytest.fixture
def desk(mariadb: LocalMariaDB, tmp_path: Path) -> Desk:
    start_project(tmp_path / "my-shop", empty=True)
    with (tmp_path / "my-shop" / "ringup.yml").open("a") as file:
        file.write("kafka: {bootstrap: 'broker:9092', connect: 'http://connect:8083'}\n")
    login = {"HOST": mariadb.host, "PORT": str(mariadb.port), "USER": mariadb.user, "PASSWORD": mariadb.password}
    return Desk(tmp_path / "my-shop", mariadb, {f"TILLS_{name}": value for name, value in login.items()})


def test_it_proposes_what_names_and_keys_say(desk: Desk) -> None:
    """Customers, the way to them, when a row was written; and what is left out. Keys that are no row's lead nowhere."""
    answer = desk.answer("shop.*")
    tables = {table["name"]: table for table in answer["tables"]}
    assert tables.keys() == {"customers", "orders", "order_lines", "shipped"}
    assert tables["customers"]["identity"] == {"profile": "id", "identifiers": {"email": "email"}}
    assert tables["orders"]["identity"] == {"via": {"customer_id": "customers"}}
    assert tables["order_lines"]["identity"] == {"via": {"order_id": "orders"}}
    assert tables["shipped"]["identity"] is None
    assert (tables["customers"]["freshness"], tables["orders"]["freshness"]) == ("updated_at", "ordered_at")
    assert tables["order_lines"]["key"] == ["order_id", "line"]
    assert [left["what"] for left in answer["left_out"]] == ["shop.log"]
    assert answer["lacking"] == answer["statements"] == []


def test_it_writes_what_an_engineer_would(desk: Desk) -> None:
    """The login by reference, the databases and their tables; what ringup sets by itself is left out."""
    written = desk.answer("shop.customers", "office.desks")["written"]
    assert [Path(path).name for path in written] == ["tills.json", "tills.yml"]
    (source,) = load_sources(desk.json.parent)
    assert source.config == {
        "connector.class": "io.debezium.connector.mariadb.MariaDbConnector",
        "topic.prefix": "tills",
        "database.hostname": "${env:TILLS_HOST}",
        "database.port": "${env:TILLS_PORT}",
        "database.user": "${env:TILLS_USER}",
        "database.password": "${env:TILLS_PASSWORD}",
        "database.include.list": "shop,office",
        "table.include.list": "shop.customers,office.desks",
    }
    (found,) = yaml.safe_load((desk.folder / "dbt_project" / "models" / "sources" / "tills.yml").read_text())["sources"]
    customers, desks = found["tables"]
    assert customers["description"] == "People: all of them."
    assert customers["config"]["meta"]["topic"] == "tills.shop.customers"
    assert {"name": "id", "data_type": "bigint"} in customers["columns"]
    assert desks["config"]["meta"] == {"topic": "tills.office.desks", "key": ["desk"]}


def test_an_identifier_that_the_customers_lack_is_told(desk: Desk) -> None:
    """They are another source's here, and until they have it nobody could be found by it."""
    crm = desk.folder / "dbt_project" / "models" / "sources" / "crm.yml"
    crm.parent.mkdir(parents=True, exist_ok=True)
    identity, told = {"profile": "id"}, "the identifier `email`, by which shop.customers is to find customers"
    for identifiers, status in (({}, 1), ({"email": "mail"}, 0)):
        meta = {"key": ["id"], "identity": identity | {"identifiers": identifiers}}
        crm.write_text(yaml.safe_dump({"sources": [{"name": "crm", "tables": [{"name": "people", "meta": meta}]}]}))
        answer = desk.answer("shop.customers", "--dry-run", status=status)
        assert answer["tables"][0]["identity"] == {"identifiers": {"email": "email"}}
        assert [told in lack["message"] for lack in answer["lacking"]] == [True] * status


def test_a_source_is_what_its_file_says(desk: Desk) -> None:
    """Once it is written the option is not needed, and one that contradicts it is refused."""
    desk.answer("shop.customers")
    again = desk.discover("--json")
    assert (again.exit_code, [table["name"] for table in json.loads(again.stdout)["tables"]]) == (0, ["customers"])
    assert {"shop.orders", "shop.log"} <= set(json.loads(again.stdout)["excluded"])
    assert "tills.json does not include" in desk.discover().stdout
    error = desk.refused("--database", "postgres")
    assert "is a MariaDB database, and --database says postgres" in error.message
    assert (error.where or "").endswith("tills.json: config.connector.class")
    assert "leaves out shop.orders" in desk.refused("shop.orders").message
    assert desk.refused("shop.order").mend == "Did you mean `shop.orders`?"


def test_a_server_that_is_not_ready_is_told_with_the_sql(desk: Desk) -> None:
    """Settings of its log, what the login may not do, a type at which the connector stops; the statements mend it."""
    desk.mariadb.execute(
        "set global binlog_format = STATEMENT; create table shop.visits (id int primary key, ip inet6)"
    )
    login: dict[str, Any] = {"TILLS_USER": "reader", "TILLS_PASSWORD": "secret"}
    try:
        lacking = desk.answer("shop.*", status=1, **login)["lacking"]
        assert [lack["message"].partition(" ")[2] for lack in lacking] == [
            "has binlog_format=STATEMENT, so its log has statements in the place of rows",
            "user reader may not follow changes: it lacks REPLICATION SLAVE, REPLICATION CLIENT, RELOAD",
            "column shop.visits.ip is of the type inet6, at which the connector stops",
        ]
        assert desk.json.exists()
        for lack in lacking:
            statement = lack["mend"].removeprefix("as an administrator: ").partition(";")[0]
            desk.mariadb.execute(statement.replace("varchar(...)", "varchar(40)"))
        assert desk.answer(**login)["lacking"] == []
    finally:
        desk.mariadb.execute("set global binlog_format = ROW; drop table shop.visits")


def test_a_login_that_sees_no_table_is_told_the_grant(desk: Desk) -> None:
    """What a login may not read MariaDB does not show; all else that it lacks is said with it."""
    desk.mariadb.execute(f"create user nobody@'{desk.mariadb.host}' identified by 'secret'")
    error = desk.refused("--database", "mariadb", TILLS_USER="nobody", TILLS_PASSWORD="secret")
    assert "has no table that the source includes and the user nobody may see" in error.message
    assert "lacks REPLICATION SLAVE" in error.message
    assert "or grant select on them" in error.mend
    assert not desk.json.exists()


def test_without_kafka_it_says_what_the_project_needs(desk: Desk) -> None:
    """The files are right all the same, and the exit status says that something is left to do."""
    file = desk.folder / "ringup.yml"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("kafka:")))
    done = desk.discover("--database", "mariadb")
    assert done.exit_code == 1
    assert "The project needs: tills is a MariaDB database, which is captured by way of Kafka only." in done.stdout
    assert desk.json.exists()
