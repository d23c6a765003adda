"""A MariaDB database by way of Kafka: server, broker, Connect, Debezium's connector and the mirror are real.

Source and tables are declared by `ringup connectors discover`, and nothing that it wrote was changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from connectors.connect import Connect
from connectors.drift import desired
from connectors.kafka_signals import KafkaSignals
from connectors.registry import Registry
from connectors.sources import load_sources
from ringup.local_connect import LocalConnect
from ringup.local_kafka import LocalKafka
from ringup.local_mariadb import LocalMariaDB
from ringup.local_registry import LocalRegistry
from tests.fetched import fetch
from tests.mariadb_shop import TYPES, Shop, discovered, mirror_of, read_until, values
from tests.starter import eventually

AVRO = "io.apicurio.registry.utils.converter.AvroConverter"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, kafka_jars: None) -> Iterator[Shop]:
    """Everything runs, and the snapshot is in: a row with values, and one without."""
    fetch("mariadb", "debezium-mariadb", "avro-converter")
    home = tmp_path_factory.mktemp("tills")
    with ExitStack() as stack:
        mariadb = stack.enter_context(LocalMariaDB(home / "mariadb"))
        columns = ", ".join(f"`{name}` {kind}" for name, (kind, _, _, _) in TYPES.items())
        mariadb.execute(
            "create database shop; use shop;"
            "create table parts (id bigint unsigned auto_increment primary key, state varchar(20));"
            f"create table things (id bigint primary key, {columns});"
            f"insert into things values (1, {values(0)}), (2{', null' * len(TYPES)});"
            "insert into parts values (1, 'old')"
        )
        kafka = stack.enter_context(LocalKafka(home / "kafka"))
        environ = {
            "TILLS_HOST": mariadb.host,
            "TILLS_PORT": str(mariadb.port),
            "TILLS_USER": mariadb.user,
            "TILLS_PASSWORD": mariadb.password,
        }
        plugins = ("debezium-mariadb", "avro-converter")
        worker = stack.enter_context(LocalConnect(home / "connect", kafka.bootstrap, environ, plugins))
        tills, declared = discovered(home / "my-shop", {"bootstrap": kafka.bootstrap, "connect": worker.url}, environ)
        mirrored = stack.enter_context(mirror_of(tills, declared, kafka, home))
        yield Shop(mariadb, kafka, worker, Connect(worker.url), mirrored)


def test_every_type_is_found(shop: Shop) -> None:
    """As the mirror needs it to hold what comes."""
    (things,) = [table for table in shop.mirrored.tables if table.name == "things"]
    assert things.key == ("id",)
    found = {column.name: column.data_type for column in things.columns}
    assert found == {"id": "BIGINT"} | {name: str(duckdb.sqltype(kind)) for name, (_, kind, _, _) in TYPES.items()}


def test_every_type_is_exact(shop: Shop) -> None:
    """From the snapshot and from the log, at both ends of their ranges; as the server itself writes them."""
    shop.execute(f"insert into things values (3, {values(1)})", f"insert into things values (4, {values(0)})")
    shop.until_row(4)
    said = ", ".join(f"hex(concat({words.format(f'`{name}`')}, ''))" for name, (_, _, _, words) in TYPES.items())
    lines = [line.split("\t") for line in shop.mariadb.execute(f"select id, {said} from things", "shop").splitlines()]
    rows = shop.mirrored.rows()
    assert rows.keys() == {int(number) for number, *_ in lines} == {1, 2, 3, 4}
    for number, *written in lines:
        texts = [None if word == "NULL" else bytes.fromhex(word).decode() for word in written]
        assert rows[int(number)] == {"id": number, **dict(zip(TYPES, texts, strict=True))}
    assert shop.mirrored.quarantined == 0


def test_avro_gives_the_same_rows(shop: Shop, tmp_path: Path) -> None:
    """Numbers above what a long holds are bytes in Avro: in the key and elsewhere, one record by itself and many."""
    shop.execute("insert into parts select seq, 'many' from seq_100_to_500")
    shop.until_row(500, "parts")
    with ExitStack() as stack:
        served = stack.enter_context(LocalRegistry(tmp_path / "registry"))
        registry = stack.enter_context(closing(Registry(served.url, {})))
        config = dict(shop.mirrored.source.config)
        for side in ("key.converter", "value.converter"):
            config |= {side: AVRO, f"{side}.apicurio.registry.url": served.converter_url}
        (tmp_path / "avro.json").write_text(json.dumps({"name": "avro", "config": config | {"topic.prefix": "avro"}}))
        (source,) = load_sources(tmp_path)
        shop.connect.put(source.name, desired(source, shop.kafka.bootstrap))
        stack.callback(shop.connect.delete, source.name)
        declared = tuple(replace(table, topic=f"avro.shop.{table.name}") for table in shop.mirrored.tables)
        in_avro = stack.enter_context(mirror_of(source, declared, shop.kafka, tmp_path, registry))
        shop.execute(f"insert into things values (5, {values(1)})", "insert into parts values (501, 'one')")
        shop.until_row(501, "parts")
        read_until(in_avro, lambda: 501 in in_avro.rows("parts"))
        for table in ("things", "parts"):
            assert in_avro.rows(table) == shop.mirrored.rows(table)
        assert in_avro.quarantined == 0
    shop.execute("delete from parts where id >= 100", "delete from things where id = 5")
    shop.until(lambda: shop.mirrored_parts() == shop.parts())


def test_transactions_stay_whole(shop: Shop) -> None:
    """Several statements, several tables, several changes of a row: in one batch, and the last change counts."""
    shop.execute(
        "start transaction",
        "insert into parts values (10, 'new'), (11, 'new'), (12, 'new')",
        "update things set tiny = 7 where id = 1",
        "update parts set state = 'sold' where id in (10, 11)",
        "delete from parts where id = 12",
        "update parts set state = 'paid' where id = 10",
        "commit",
    )
    shop.until_row(10, "parts")
    topics = shop.mirrored.batches[-1].records.column("topic").to_pylist()
    assert (topics.count("tills.shop.parts"), topics.count("tills.shop.things")) == (8, 1)  # and a tombstone
    assert shop.mirrored_parts() == shop.parts()
    assert shop.torn() == 0


def test_a_key_that_changes_is_another_row(shop: Shop) -> None:
    """The row with the old key goes; a rolled back transaction leaves nothing."""
    shop.execute("start transaction", "delete from parts", "rollback")
    shop.execute("update parts set id = 20 where id = 11", "insert into parts values (11, 'again')")
    shop.until_row(11, "parts")
    shop.until(lambda: shop.mirrored_parts() == shop.parts())
    assert shop.mirrored_parts()[20] == "sold"


def test_a_truncate_is_set_aside_and_holds_nothing_up(shop: Shop) -> None:
    """Its transaction has no end; what comes after it does not wait, and nothing is torn."""
    before = shop.mirrored.quarantined
    shop.execute("truncate parts", "insert into parts values (30, 'new')")
    shop.until_row(30, "parts")
    assert shop.mirrored.quarantined == before + 1
    assert shop.mirrored.reasons()[-1] == "TRUNCATE is not applied: delete the rows instead"
    assert shop.torn() == 0
    shop.execute(
        "replace into parts values (1, 'x'), (10, 'x'), (11, 'x'), (20, 'x')", "delete from parts where state = 'x'"
    )
    shop.until(lambda: shop.mirrored_parts() == shop.parts())


def test_a_table_can_be_read_again(shop: Shop) -> None:
    """Rows that came past the log are found by a snapshot, which counts for newer than what is stored."""
    shop.execute(
        "insert into parts values (40, 'right')",
        "set sql_log_bin = 0",
        "update parts set state = 'wrong' where id = 40",
        "insert into parts values (41, 'unseen')",
    )
    shop.until_row(40, "parts")
    KafkaSignals({"bootstrap.servers": shop.kafka.bootstrap}, shop.connect).ask_for_snapshot(
        shop.mirrored.source, ["shop.parts"]
    )
    shop.until_row(41, "parts")
    assert shop.mirrored_parts() == shop.parts() == {30: "new", 40: "wrong", 41: "unseen"}
    shop.execute("update parts set state = 'later' where id = 40")
    shop.until(lambda: shop.mirrored_parts()[40] == "later")


def test_a_connector_that_is_restarted_loses_nothing(shop: Shop) -> None:
    """It goes on where it was."""
    eventually(lambda: shop.connect.placed("tills"))
    shop.connect.restart("tills", only_failed=False)
    shop.execute("insert into parts values (45, 'meanwhile')")
    shop.until_row(45, "parts")
    assert shop.mirrored_parts() == shop.parts()


@pytest.mark.slow
def test_a_worker_that_dies_within_a_transaction_loses_nothing(shop: Shop) -> None:
    """Debezium goes on in the middle, and counts the changes from one again: the last change of each row counts."""
    eventually(lambda: shop.connect.placed("tills"))
    shop.execute("insert into parts select seq, 'first' from seq_1000_to_1100", "delete from parts where id >= 1000")
    rows = "insert into parts select seq, 'first' from seq_1000_to_20000"
    shop.execute("start transaction", rows, "update parts set state = 'last' where id >= 1000", "commit")
    eventually(lambda: shop.written("tills.shop.parts") > 25_000)
    shop.worker.kill()
    shop.execute("insert into parts values (50, 'while it was away')")
    shop.worker.start()
    shop.until_row(50, "parts")
    assert shop.mirrored_parts() == shop.parts()
