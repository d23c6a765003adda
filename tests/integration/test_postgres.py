"""Preparing a source database, and the local server that the demo and the tests use."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from connectors.lacking import SourceUnreachable
from connectors.postgres import prepare
from connectors.sources import resolve
from ringup.errors import SourceError
from ringup.local_postgres import LocalPostgres
from tests.captured import source


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    with LocalPostgres(tmp_path_factory.mktemp("prepare") / "postgres") as server:
        yield server


@pytest.fixture
def config(postgres: LocalPostgres) -> Iterator[dict[str, str]]:
    """The configuration of a source whose database has the tables shop.bills and other.secrets."""
    postgres.create_database("shop")
    with psycopg.connect(postgres.dsn("shop"), autocommit=True) as con:
        con.execute("create schema shop; create table shop.bills (id bigint primary key)")
        con.execute("create schema other; create table other.secrets (id bigint)")
    yield resolve(source(postgres, "shop"), {"PASSWORD": postgres.password})
    with psycopg.connect(postgres.dsn(), autocommit=True) as con:
        con.execute("drop database shop with (force)")
        con.execute("drop role if exists reader")


def ask(postgres: LocalPostgres, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(postgres.dsn("shop"), autocommit=True) as con:
        done = con.execute(query)
        return done.fetchall() if done.description else []


def test_it_prepares_what_is_included_once(postgres: LocalPostgres, config: dict[str, str]) -> None:
    """Before images and a publication for the included tables; the second time there is nothing to do."""
    assert prepare(config) == [
        "shop.bills: before images (replica identity full)",
        "shop.bills: added to the publication ringup_shop",
    ]
    assert prepare(config) == []
    assert ask(postgres, "select schemaname, tablename from pg_publication_tables") == [("shop", "bills")]
    assert ask(postgres, "select relreplident::text from pg_class where relname = 'bills'") == [("f",)]


def test_a_table_that_is_not_there_is_named(config: dict[str, str]) -> None:
    """A misspelt table would be followed for ever without a change; the name that was meant is said."""
    with pytest.raises(SourceError) as caught:
        prepare({**config, "table.include.list": "shop.bills,shop.bils"})
    assert caught.value.message == "shop has no table shop.bils"
    assert caught.value.where == "config.table.include.list"
    assert caught.value.mend == "did you mean shop.bills?"


def test_tables_that_may_not_be_read_are_named_with_the_grant(postgres: LocalPostgres, config: dict[str, str]) -> None:
    """Found at the start, and not by a snapshot that fails again and again."""
    ask(postgres, "create role reader login replication password 'secret'")
    prepare(config)
    with pytest.raises(SourceError) as caught:
        prepare({**config, "database.user": "reader", "database.password": "secret"})
    assert "may not read shop.bills" in caught.value.message
    assert 'grant select on shop.bills to "reader"' in caught.value.mend


def test_a_new_table_joins_the_publication(postgres: LocalPostgres, config: dict[str, str]) -> None:
    """A table that was created later is prepared at the next start."""
    prepare(config)
    ask(postgres, "create table shop.tills (id bigint primary key)")
    assert any("shop.tills: added" in done for done in prepare(config))


def test_lists_of_tables_are_regular_expressions(postgres: LocalPostgres, config: dict[str, str]) -> None:
    """Include and exclude lists mean what they mean to Debezium."""
    ask(postgres, "create table shop.bill_lines (id bigint primary key); create table shop.junk (id bigint)")
    ask(postgres, "create table shop.tills (id bigint primary key)")
    chosen = {**config, "table.include.list": r"shop\.bill.*, SHOP.tills"}
    named = {name for done in prepare(chosen) for name in done.split(":")[0].split(", ")}
    assert named == {"shop.bills", "shop.bill_lines", "shop.tills"}
    assert prepare({**config, "table.exclude.list": "shop.junk"}) == []


def test_a_table_without_a_key_is_refused(postgres: LocalPostgres, config: dict[str, str]) -> None:
    """Its rows could not be told apart; nothing is changed before that is said."""
    ask(postgres, "create table shop.junk (id bigint)")
    with pytest.raises(SourceError, match=r"shop\.junk has no primary key") as caught:
        prepare(config)
    assert "add primary key" in caught.value.mend
    assert ask(postgres, "select from pg_publication") == []


def test_a_source_without_tables_is_refused(config: dict[str, str]) -> None:
    """A typing error in the schema's name is not a quiet source."""
    with pytest.raises(SourceError, match="no table that the source includes"):
        prepare({**config, "schema.include.list": "shpo"})


def test_a_user_without_rights_is_told_the_statement(postgres: LocalPostgres, config: dict[str, str]) -> None:
    """First what the role lacks, all at once, then what the owner has to run: each error carries the statements."""
    ask(postgres, "create role reader login password 'reader'; grant usage on schema shop to reader")
    reader = {**config, "database.user": "reader", "database.password": "reader"}
    with pytest.raises(SourceError, match=r"may not follow changes; .* may not read") as caught:
        prepare(reader)
    ask(postgres, re.sub("as (an administrator|their owner): ", "", caught.value.mend))
    with pytest.raises(SourceError, match="must be owner") as caught:
        prepare(reader)
    statements = caught.value.mend.removeprefix("as the owner of the tables: ").split("; ")
    assert statements[0] == 'alter table "shop"."bills" replica identity full'
    assert statements[1].startswith('create publication "ringup_shop" for table "shop"."bills"')
    assert len(statements) == 2


def test_a_wrong_password_is_no_reason_to_wait(config: dict[str, str]) -> None:
    """The error names the field, not the secret."""
    with pytest.raises(SourceError, match="refuses the login of ringup") as caught:
        prepare({**config, "database.password": "hunter2"})
    assert not isinstance(caught.value, SourceUnreachable)
    assert "database.password" in caught.value.mend
    assert "hunter2" not in f"{caught.value} {caught.value.mend}"


def test_a_column_that_is_not_there_is_named(config: dict[str, str]) -> None:
    """It would only ever be null; the name that was meant is said."""
    assert prepare(config, {"shop.bills": ["id"]})
    with pytest.raises(SourceError, match=r"shop\.bills has no column ids") as caught:
        prepare(config, {"shop.bills": ["id", "ids"]})
    assert caught.value.mend == "did you mean id?"


@pytest.mark.parametrize("port", ["abc", "99999", "0", "-1"])
def test_a_port_that_is_none_is_no_reason_to_wait(config: dict[str, str], port: str) -> None:
    """It will not become one; the error names the field."""
    with pytest.raises(SourceError, match=f"'{port}' is no port") as caught:
        prepare({**config, "database.port": port})
    assert not isinstance(caught.value, SourceUnreachable)
    assert caught.value.where == "config.database.port"


def test_a_missing_database_is_no_reason_to_wait(config: dict[str, str]) -> None:
    """It will not come by itself."""
    with pytest.raises(SourceError, match='database "nowhere" does not exist') as caught:
        prepare({**config, "database.dbname": "nowhere"})
    assert not isinstance(caught.value, SourceUnreachable)


def test_a_locked_table_is_waited_for(postgres: LocalPostgres, config: dict[str, str]) -> None:
    """A long transaction in the shop is no error of the configuration."""
    with psycopg.connect(postgres.dsn("shop")) as holder:
        holder.execute("lock table shop.bills")
        with pytest.raises(SourceUnreachable, match="lock timeout"):
            prepare(config)


def test_a_server_without_logical_wal_is_refused(tmp_path: Path) -> None:
    """The error says what an administrator has to do."""
    with LocalPostgres(tmp_path / "postgres", settings={"wal_level": "replica"}) as server:
        server.create_database("shop")
        with pytest.raises(SourceError, match="wal_level=replica") as caught:
            prepare(resolve(source(server, "shop"), {"PASSWORD": server.password}))
    assert "alter system set wal_level = 'logical'" in caught.value.mend


def test_a_local_server_carries_on_after_a_crash(tmp_path: Path) -> None:
    """What was committed is there after kill -9, on the same port."""
    with LocalPostgres(tmp_path / "postgres") as server:
        port = server.port
        with psycopg.connect(server.dsn(), autocommit=True) as con:
            con.execute("create table kept as select 42 as answer")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.dsn())
        server.start()
        assert server.port == port
        with psycopg.connect(server.dsn()) as con:
            assert con.execute("select answer from kept").fetchone() == (42,)


def test_a_taken_port_is_refused(postgres: LocalPostgres, tmp_path: Path) -> None:
    """The error names the port, and nothing is started."""
    with pytest.raises(SourceError, match=f"port {postgres.port} is taken"):
        LocalPostgres(tmp_path / "postgres", port=postgres.port).start()


def test_a_local_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """kill -9 of the parent leaves no server behind, and another process can carry on with the folder."""
    words = f"""
import time
from pathlib import Path
from ringup.local_postgres import LocalPostgres
server = LocalPostgres(Path({str(tmp_path / "postgres")!r})).start()
print((server.folder / "data" / "postmaster.pid").read_text().splitlines()[0], flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    postmaster = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    postmaster.wait(60)
    with LocalPostgres(tmp_path / "postgres") as server, psycopg.connect(server.dsn()) as con:
        assert con.execute("select 1").fetchone() == (1,)
