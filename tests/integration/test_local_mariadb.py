"""The MariaDB server of one's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ringup.errors import SourceError
from ringup.kafka_jars import kafka_jars
from ringup.local_mariadb import LocalMariaDB
from tests.fetched import fetch


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMariaDB]:
    fetch("mariadb", "debezium-mariadb")
    with LocalMariaDB(tmp_path_factory.mktemp("server") / "mariadb") as server:
        yield server


def test_it_writes_a_log_that_can_be_followed(mariadb: LocalMariaDB) -> None:
    """Whole rows, each transaction with its GTID, compressed never."""
    settings = "@@log_bin, @@binlog_format, @@binlog_row_image, @@log_bin_compress, @@server_id, @@gtid_strict_mode"
    assert mariadb.execute(f"select {settings}") == "1\tROW\tFULL\t0\t1\t1\n"


def test_it_lets_nobody_else_in(mariadb: LocalMariaDB) -> None:
    """The accounts that come with a fresh server, without passwords, are gone."""
    assert mariadb.execute("select user, host from mysql.user where user <> 'mariadb.sys'") == "ringup\t127.0.0.1\n"
    assert mariadb.execute("select @@bind_address") == "127.0.0.1\n"


def test_it_carries_on_after_a_kill(mariadb: LocalMariaDB) -> None:
    """What was committed is there, every character of it, on the same port with the same password."""
    mariadb.execute("create database shop; create table shop.bills (id bigint primary key, said text)")
    mariadb.execute("insert into bills values (1, 'zwölf 🧾')", "shop")
    before = mariadb.port, mariadb.password
    mariadb.kill()
    assert mariadb.pid is None
    mariadb.start()
    assert (mariadb.port, mariadb.password) == before
    assert mariadb.execute("select id, said from bills", "shop") == "1\tzwölf 🧾\n"


def test_a_statement_that_fails_says_why(mariadb: LocalMariaDB) -> None:
    """In the server's own words."""
    with pytest.raises(SourceError, match=r"nowhere"):
        mariadb.execute("select * from nowhere", "mysql")


def test_the_connector_stands_alone_in_its_folder(mariadb: LocalMariaDB) -> None:
    """As Kafka Connect wants its plugins."""
    jars = kafka_jars("debezium-mariadb")
    assert list(jars.parent.iterdir()) == [jars]
    assert list(jars.glob("debezium-connector-mariadb-3.5.0.Final.jar"))
