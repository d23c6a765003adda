"""`ringup connectors` against a real Kafka Connect worker with Debezium, as an engineer uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from connectors.connect import Connect
from ringup.cli import app
from ringup.errors import RingupError
from ringup.init import start_project
from ringup.local_connect import LocalConnect
from ringup.local_kafka import LocalKafka
from ringup.local_postgres import LocalPostgres
from tests.kafka_topics import values
from tests.starter import database_of, eventually


@dataclass(frozen=True, slots=True)
class Estate:
    """A project made by `ringup init` whose ringup.yml names a Kafka cluster and its Kafka Connect."""

    folder: Path
    environ: dict[str, str]
    connect: Connect
    bootstrap: str
    dsn: str

    @property
    def source(self) -> Path:
        """The connector's file."""
        return self.folder / "connectors" / "sources" / "shop.json"

    def ringup(self, *words: str) -> Result:
        """A command of `ringup connectors`."""
        return CliRunner().invoke(app, ["connectors", *words, "--project", str(self.folder)], env=self.environ)

    def refused(self, *words: str) -> RingupError:
        """The error that a command ends with."""
        error = self.ringup(*words).exception
        assert isinstance(error, RingupError), error
        return error


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory, kafka_jars: None) -> Iterator[Estate]:
    """Everything runs, and no connector is there yet."""
    home = tmp_path_factory.mktemp("connectors")
    folder = home / "my-shop"
    start_project(folder)
    with ExitStack() as stack:
        postgres = stack.enter_context(LocalPostgres(home / "postgres"))
        postgres.create_database("shop")
        tables = re.search(r"```sql\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
        assert tables is not None
        with psycopg.connect(postgres.dsn("shop")) as connection:
            connection.execute(tables[1].encode())
        environ = database_of(postgres)
        kafka = stack.enter_context(LocalKafka(home / "kafka"))
        worker = stack.enter_context(LocalConnect(home / "connect", kafka.bootstrap, environ))
        settings = json.dumps({"bootstrap": kafka.bootstrap, "connect": worker.url})
        with (folder / "ringup.yml").open("a") as file:
            file.write(f"kafka: {settings}\n")
        yield Estate(folder, environ, Connect(worker.url), kafka.bootstrap, postgres.dsn("shop"))


@pytest.fixture
def applied(estate: Estate) -> Estate:
    """The connector is there and runs."""
    done = estate.ringup("apply")
    assert done.exit_code == 0, (done.output, done.exception)
    eventually(lambda: estate.ringup("status").exit_code == 0)
    return estate


def test_what_is_planned_is_applied_once(estate: Estate) -> None:
    """The plan is empty right after it was applied; secrets stay references all the way."""
    planned = estate.ringup("plan")
    assert planned.exit_code == 1
    assert "shop: to be created" in planned.stdout
    assert "+ database.password = ${env:SHOP_PASSWORD}" in planned.stdout
    done = estate.ringup("apply")
    assert done.exit_code == 0, (done.output, done.exception)
    assert "shop: created" in done.stdout
    assert "replica identity full" in done.stderr
    assert estate.ringup("plan").exit_code == 0
    assert estate.ringup("apply").stdout == "shop: as it should be\n"
    stored = estate.connect.config("shop")
    assert stored is not None
    assert stored["database.password"] == "${env:SHOP_PASSWORD}"
    assert estate.environ["SHOP_PASSWORD"] not in planned.output + done.output


def test_a_change_by_hand_shows_as_drift(applied: Estate) -> None:
    """Setting by setting, and `apply` puts it right."""
    stored = applied.connect.config("shop")
    assert stored is not None
    applied.connect.put("shop", {**stored, "poll.interval.ms": "777", "heartbeat.topics.prefix": "x"})
    planned = applied.ringup("plan", "--json")
    assert planned.exit_code == 1
    assert planned.stdout, planned.output
    assert json.loads(planned.stdout) == [
        {
            "connector": "shop",
            "step": "change",
            "changes": {
                "heartbeat.topics.prefix": {"is": "x", "becomes": None},
                "poll.interval.ms": {"is": "777", "becomes": "5"},
            },
        }
    ]
    assert applied.ringup("apply").exit_code == 0
    assert applied.ringup("plan").exit_code == 0


def test_what_connect_refuses_is_told_with_file_and_field(applied: Estate) -> None:
    """Before anything is changed."""
    text = applied.source.read_text()
    before = applied.connect.config("shop")
    applied.source.write_text(text.replace('"config": {', '"config": {\n    "poll.interval.ms": "soon",'))
    try:
        error = applied.refused("apply")
    finally:
        applied.source.write_text(text)
    assert "poll.interval.ms" in error.message
    assert (error.where or "").endswith("shop.json: config.poll.interval.ms")
    assert applied.connect.config("shop") == before


def test_connectors_pause_and_go_on(applied: Estate) -> None:
    """`status` says so, by its exit status, too."""
    assert applied.ringup("pause").stdout == "shop: paused\n"
    eventually(lambda: "PAUSED" in applied.ringup("status").stdout)
    assert applied.ringup("status").exit_code == 1
    assert applied.ringup("resume", "shop").stdout == "shop: resumed\n"
    eventually(lambda: applied.ringup("status").exit_code == 0)
    assert "task 0 RUNNING" in applied.ringup("status").stdout
    assert applied.ringup("restart", "--only-failed").stdout == "shop: nothing had failed\n"
    assert applied.ringup("restart").stdout == "shop: restarted\n"


def test_a_connector_that_is_not_there_is_told(applied: Estate) -> None:
    """After `delete` it is missing; a name that no source has is refused with those that they have."""
    assert applied.ringup("delete", "shop").stdout == "shop: deleted\n"
    eventually(lambda: "MISSING" in applied.ringup("status").stdout)
    assert "nothing to delete" in applied.refused("delete", "shop").mend
    assert "connectors apply" in applied.refused("pause").mend
    assert applied.refused("status", "shopp").mend == "Did you mean `shop`?"


def test_a_table_is_read_again(applied: Estate) -> None:
    """The connector hears it by a topic, and the table's rows come as a snapshot; the database is idle meanwhile."""
    with psycopg.connect(applied.dsn) as connection:
        connection.execute("insert into customers values (7, 'Ann', null)")
    asked = applied.ringup("snapshot", "shop", "public.customers")
    assert asked.exit_code == 0, (asked.output, asked.exception)
    assert asked.stdout.startswith("shop: asked to read public.customers again.")
    assert "COMPLETED of the topic shop.notifications" in asked.stdout
    topic = "shop.public.customers"
    eventually(lambda: [json.loads(row)["op"] for row in values(applied.bootstrap, topic)] == ["c", "r"])
    assert applied.ringup("plan").exit_code == 0, "what connectors listen by is part of what they should be"


def test_what_cannot_be_read_again_is_told(applied: Estate) -> None:
    """A table that is misspelt, a source that is, a connector that does not listen, and one that is not there."""
    error = applied.refused("snapshot", "shop", "public.customer")
    assert (error.message, error.mend) == (
        "shop captures no table public.customer",
        "Did you mean `public.customers`?",
    )
    assert applied.refused("snapshot", "shopp", "public.orders").mend == "Did you mean `shop`?"
    stored = applied.connect.config("shop")
    assert stored is not None
    applied.connect.put("shop", {**stored, "signal.enabled.channels": "source"})
    error = applied.refused("snapshot", "shop", "public.orders")
    assert (error.message, error.mend) == (
        "the connector shop does not listen to the topic shop.signals",
        "ringup connectors apply",
    )
    applied.connect.delete("shop")
    assert "no connector shop" in applied.refused("snapshot", "shop", "public.orders").message


def test_without_kafka_connect_there_is_nothing_to_apply(tmp_path: Path) -> None:
    """The mend names the block of ringup.yml."""
    (tmp_path / "ringup.yml").write_text("project: corner-shop")
    error = CliRunner().invoke(app, ["connectors", "plan", "--project", str(tmp_path)]).exception
    assert isinstance(error, RingupError)
    assert error.where == "ringup.yml: kafka.connect"
