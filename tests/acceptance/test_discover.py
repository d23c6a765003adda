"""`ringup connectors discover` on a database that nobody has described, and a run of what it wrote."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from ringup.demo.receiver import Receiver, make_secret
from ringup.local_postgres import LocalPostgres
from tests.starter import Shop, database_of, eventually

TYPES = {
    "small": ("smallint", "-7"),
    "whole": ("bigint", "9007199254740993"),
    "exact": ("numeric(20,6)", "12345678901234.500001"),
    "coarse": ("numeric(5,-2)", "12300"),
    "any_number": ("numeric", "1.50"),
    "price": ("money", "12.30"),
    "near": ("double precision", "0.1"),
    "yes": ("boolean", "true"),
    "day": ("date", "2026-02-28"),
    "moment": ("timestamp", "2026-02-28 23:59:59.999999"),
    "instant": ("timestamptz", "2026-02-28 23:59:59.999999+00"),
    "clock": ("time", "23:59:59.999999"),
    "span": ("interval", "P1Y2M3DT4H5M6S"),
    "mood": ("mood", "so so"),
    "name": ("varchar(20)", "Zoë"),
    "code": ("char(4)", "ab  "),
    "who": ("uuid", "6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b"),
    "more": ("jsonb", '{"a": [1, "é"]}'),
    "tags": ("text[]", '{"new\nline", "quote\\""}'),
    "days": ("date[]", "{2026-02-28}"),
    "raw": ("bytea", "\\x00ff"),
    "flag": ("bit(1)", "1"),
    "host": ("inet", "10.0.0.1"),
    "period": ("daterange", "[2026-01-01,2026-02-01)"),
    "amount": ("amount", "7.25"),
}
"""Columns of each kind, with a value as PostgreSQL reads it."""

SAME = {
    "coarse": "12300",
    "price": "12.30",
    "span": "P1Y2M3DT4H5M6S",
    "raw": "AP8=",
    "days": '["2026-02-28Z"]',
    "tags": '["new\\nline","quote\\""]',
}
"""What the mirror has where that is not PostgreSQL's own text."""

TABLES = (
    "create type mood as enum ('so so'); create domain amount as numeric(9, 2) check (value > 0);"
    "create type pair as (a int, b int);"
    "create table customers (customer_id bigint primary key, email text, code text unique, updated_at timestamptz);"
    "comment on table customers is 'People: all of them.';"
    "create table orders (order_id bigint primary key, code text references customers (code),"
    " customer_id bigint not null references customers, twin pair, ordered_at timestamptz not null default now());"
    "create table order_lines (order_id bigint references orders, line int, sku text, primary key (order_id, line));"
    "create table cards (loyalty_card text primary key, shop_id int); create table log (said text);"
    "create table kinds (id int primary key, " + ", ".join(f"{n} {kind}" for n, (kind, _) in TYPES.items()) + ");"
)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    with LocalPostgres(tmp_path_factory.mktemp("discover") / "postgres") as server:
        server.create_database("shop")
        with psycopg.connect(server.dsn("shop")) as connection:
            connection.execute(TABLES.encode())
            fill(connection, 1)
        yield server


def fill(connection: psycopg.Connection, number: int) -> None:
    """A row with a value of each kind."""
    marks = ", ".join(f"%s::{kind}" for kind, _ in TYPES.values())
    connection.execute(f"insert into kinds values (%s, {marks})".encode(), [number, *(v for _, v in TYPES.values())])


@pytest.fixture
def shop(postgres: LocalPostgres, tmp_path: Path) -> Iterator[Shop]:
    """A project with nothing in it, and the variables that name its database."""
    folder = tmp_path / "my-shop"
    subprocess.run([sys.executable, "-m", "ringup", "init", "--empty", str(folder)], check=True)
    secret, came = make_secret(), queue.SimpleQueue[Any]()
    receiver = Receiver(tmp_path / "inbox.db", secret, came.put).start()
    environ = {
        **os.environ,
        **database_of(postgres),
        "WEBHOOK_URL": receiver.url,
        "WEBHOOK_SECRET": secret,
    }
    found = Shop(folder, environ, postgres, receiver, came)
    yield found
    found.kill()
    receiver.stop()


def test_it_proposes_what_names_and_keys_say(shop: Shop) -> None:
    """Customers, the way to them by their key, when a row was written; and what is left out, with the mend."""
    answer = shop.answer("connectors", "discover", "shop")
    tables = {table["name"]: table for table in answer["tables"]}
    assert tables["customers"]["identity"] == {"profile": "customer_id", "identifiers": {"email": "email"}}
    assert tables["orders"]["identity"] == {"via": {"customer_id": "customers"}}
    assert tables["order_lines"]["identity"] == {"via": {"order_id": "orders"}}
    assert tables["kinds"]["identity"] is None
    assert (tables["customers"]["freshness"], tables["orders"]["freshness"]) == ("updated_at", "ordered_at")
    left = {left["what"]: left["mend"] for left in answer["left_out"]}
    assert left["public.log"] == "alter table public.log add primary key (...)"
    assert "public.orders.twin" in left
    assert any("create publication" in statement for statement in answer["statements"])


def test_a_second_time_nothing_is_overwritten(shop: Shop) -> None:
    """An edited file stays; the tables that it lacks are printed for a person to add, with exit status 1."""
    assert shop.ringup("connectors", "discover", "shop", "public.customers").returncode == 0
    source = shop.folder / "connectors" / "sources" / "shop.json"
    tables = shop.folder / "dbt_project" / "models" / "sources" / "shop.yml"
    source.write_text(source.read_text().replace("public.customers", "public.customers,public.orders"))
    tables.write_text("# mine\n" + tables.read_text())
    before = source.read_text(), tables.read_text()
    done = shop.ringup("connectors", "discover", "shop")
    assert done.returncode == 1, done.stdout + done.stderr
    assert (source.read_text(), tables.read_text()) == before
    assert "- name: orders" in done.stdout
    assert "- name: customers" not in done.stdout


def test_columns_that_came_later_are_told(shop: Shop) -> None:
    """Of a table that is declared already; leaving them out may be meant, so nothing is left to do."""
    assert shop.ringup("connectors", "discover", "shop", "public.customers").returncode == 0
    shop.execute("alter table customers add column note text")
    try:
        done = shop.ringup("connectors", "discover", "shop")
        answer = shop.answer("connectors", "discover", "shop")
    finally:
        shop.execute("alter table customers drop column note")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not copied: of public.customers note (varchar)." in done.stdout
    assert answer["uncopied"] == {"public.customers": {"note": "varchar"}}


def test_a_dry_run_prints_and_writes_nothing(shop: Shop) -> None:
    """The files are shown as they would be."""
    done = shop.ringup("connectors", "discover", "shop", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert '"topic.prefix": "shop"' in done.stdout
    assert "loaded_at_field: updated_at" in done.stdout
    assert not (shop.folder / "connectors").exists()


@pytest.mark.parametrize(
    ("words", "environ", "message", "mend"),
    [
        (["shop"], {"SHOP_PORT": None, "SHOP_HOST": None}, "SHOP_HOST, SHOP_PORT", "export SHOP_HOST=... SHOP_PORT="),
        (["shop", "public.order"], {}, "no table public.order", "public.orders"),
        (["My-Shop"], {}, "cannot be a source's name", "small letters"),
        (["shop"], {"SHOP_PASSWORD": "wrong"}, "refuses the login", "database.password"),
        (["shop", "public.log"], {}, "no primary key", "add primary key"),
        (["shop", "public.*"], {"SHOP_DATABASE": "postgres"}, "no table yet that", "Create one first"),
    ],
)
def test_what_is_wrong_is_told_with_the_mend(
    shop: Shop, words: list[str], environ: dict[str, str | None], message: str, mend: str
) -> None:
    """And nothing is written."""
    done = shop.ringup("connectors", "discover", *words, **environ)
    assert done.returncode == 3, done.stdout + done.stderr
    assert message in done.stderr
    assert mend in done.stderr
    assert not (shop.folder / "connectors").exists()


def test_what_the_database_lacks_is_told_with_its_sql(shop: Shop) -> None:
    """All of it, beside what was found; the files are written, and exit status 1 says that something is to be done."""
    shop.execute("create role reader login password 'secret'")
    done = shop.ringup("connectors", "discover", "shop", SHOP_USER="reader", SHOP_PASSWORD="secret")
    shop.execute("drop role reader")
    assert done.returncode == 1, done.stdout + done.stderr
    assert 'alter role "reader" replication' in done.stdout
    assert "grant select on public.cards, public.customers" in done.stdout
    assert (shop.folder / "connectors" / "sources" / "shop.json").exists()


def test_what_it_writes_runs_and_holds_every_value(shop: Shop) -> None:
    """A value of each type is in the mirror as it is in the database, from the snapshot and from a change."""
    done = shop.ringup("connectors", "discover", "shop")
    assert done.returncode == 0, done.stdout + done.stderr
    shop.start()
    with psycopg.connect(shop.postgres.dsn("shop")) as connection:
        fill(connection, 2)
    eventually(lambda: shop.status()["changes"] + shop.status()["quarantined"] == 2)
    shop.stop()
    tables = {table["table"]: table for table in shop.answer("connectors", "discover", "shop")["tables"]}
    assert tables["public.kinds"]["columns"].keys() == {"id", *TYPES}
    with duckdb.connect(str(shop.state / "live.duckdb"), read_only=True) as con:
        con.execute("set time zone 'UTC'")
        assert con.execute("select reason from ringup.quarantine").fetchall() == []
        columns = ", ".join(f'"{name}"::varchar' for name in TYPES)
        rows = con.execute(
            f'select {columns} from (select * from shop.kinds union all by name select * from shop."kinds tail")'
        ).fetchall()
    expected = [SAME.get(name, value) for name, (_, value) in TYPES.items()]
    assert len(rows) == 2
    for row in rows:
        found = dict(zip(TYPES, row, strict=True))
        assert json.loads(found.pop("more")) == {"a": [1, "é"]}
        assert found == {n: e for n, e in zip(TYPES, expected, strict=True) if n != "more"} | {"flag": "true"}
