"""What stands in the way of capturing a MariaDB database: all of it is told at once, with what mends it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.databases import MARIADB
from connectors.lacking import SourceUnreachable
from connectors.mariadb import captured, prepare
from ringup.errors import SourceError
from ringup.local_mariadb import LocalMariaDB
from tests.fetched import fetch

RIGHTS = "reload, replication slave, binlog monitor"


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMariaDB]:
    fetch("mariadb")
    with LocalMariaDB(tmp_path_factory.mktemp("prepare") / "mariadb") as server:
        yield server


@pytest.fixture
def config(mariadb: LocalMariaDB) -> Iterator[dict[str, str]]:
    """A source whose server has the tables shop.bills and other.secrets, and a login `reader` without rights."""
    mariadb.execute(
        "create database shop; create table shop.bills (id bigint primary key, total decimal(9, 2));"
        "create database other; create table other.secrets (id bigint);"
        f"create user reader@'{mariadb.host}' identified by 'secret'"
    )
    login = {"database.hostname": mariadb.host, "database.user": mariadb.user, "database.password": mariadb.password}
    own = {"database.port": str(mariadb.port), "topic.prefix": "tills", "database.include.list": "shop"}
    yield {**MARIADB.defaults, **MARIADB.relied_on, **login, **own}
    mariadb.execute(f"drop database shop; drop database other; drop user reader@'{mariadb.host}'")
    for name, value in {"binlog_format": "ROW", "binlog_row_image": "FULL", "log_bin_compress": "OFF"}.items():
        mariadb.execute(f"set global {name} = {value}")


def reader(config: dict[str, str]) -> dict[str, str]:
    """The source with that login."""
    return {**config, "database.user": "reader", "database.password": "secret"}


def refusal(config: dict[str, str], **declared: list[str]) -> SourceError:
    """What is said of a source that is not ready."""
    with pytest.raises(SourceError) as caught:
        prepare(config, {f"shop.{table}": columns for table, columns in declared.items()})
    assert not isinstance(caught.value, SourceUnreachable)
    return caught.value


def test_a_database_that_is_ready_needs_nothing(config: dict[str, str]) -> None:
    """Nothing is ever done to it; what is captured is known."""
    assert prepare(config, {"shop.bills": ["id", "total"]}) == []
    assert captured(config) == ["shop.bills"]
    assert captured({**config, "database.include.list": "", "table.exclude.list": r"shop\..*"}) == ["other.secrets"]


def test_a_log_that_cannot_be_followed_is_told_setting_by_setting(
    mariadb: LocalMariaDB, config: dict[str, str]
) -> None:
    """At once, each with its statement, which mends it."""
    mariadb.execute(
        "set global binlog_format = 'MIXED'; set global binlog_row_image = 'MINIMAL'; set global log_bin_compress = 1"
    )
    error = refusal(config)
    for setting in ("binlog_format=MIXED", "binlog_row_image=MINIMAL", "log_bin_compress=ON"):
        assert setting in error.message
    assert error.mend.count("as an administrator: set global ") == 3
    for statement in error.mend.split("; "):
        if "set global" in statement:
            mariadb.execute(statement.removeprefix("as an administrator: "))
    assert prepare(config) == []


def test_a_login_without_rights_is_told_the_statement(mariadb: LocalMariaDB, config: dict[str, str]) -> None:
    """The statement mends it; rights that come by a role count, too."""
    mariadb.execute(f"grant select on shop.* to reader@'{mariadb.host}'")
    error = refusal(reader(config))
    assert "lacks REPLICATION SLAVE, REPLICATION CLIENT, RELOAD" in error.message
    mariadb.execute(error.mend.removeprefix("as an administrator: "))
    assert prepare(reader(config)) == []
    mariadb.execute(
        f"revoke {RIGHTS} on *.* from reader@'{mariadb.host}'; create role follower; grant {RIGHTS} on *.* to follower;"
        f"grant follower to reader@'{mariadb.host}'; set default role follower for reader@'{mariadb.host}'"
    )
    assert prepare(reader(config)) == []
    mariadb.execute("drop role follower")


def test_a_table_that_may_not_be_read_is_told_with_the_grant(mariadb: LocalMariaDB, config: dict[str, str]) -> None:
    """One that the login may see, and one that it does not even see."""
    mariadb.execute(f"grant {RIGHTS} on *.* to reader@'{mariadb.host}'")
    assert "has no table that the source includes" in refusal(reader(config)).message
    mariadb.execute(f"grant insert on shop.bills to reader@'{mariadb.host}'")
    error = refusal(reader(config))
    assert error.message == "the user reader may not read shop.bills"
    mariadb.execute(error.mend)
    assert prepare(reader(config)) == []


def test_tables_that_cannot_be_captured_are_told_at_once(mariadb: LocalMariaDB, config: dict[str, str]) -> None:
    """One without a key, one that is not there, a type at which the connector stops, a column that is not there."""
    mariadb.execute("create table junk (id bigint); create table visits (id bigint primary key, a inet6)", "shop")
    error = refusal({**config, "table.include.list": "shop.bills,shop.junk,shop.visits,shop.bils"}, bills=["totl"])
    for words in (
        "has no table shop.bils",
        "shop.junk has no primary key",
        "the column shop.visits.a is of the type inet6",
        "shop.bills has no column totl",
    ):
        assert words in error.message
    assert error.message.count(";") == error.mend.count(";") == 3
    assert error.where == "config.table.include.list"


def test_a_type_at_which_the_connector_stops_is_told_also_where_it_captures_nothing(
    mariadb: LocalMariaDB, config: dict[str, str]
) -> None:
    """It reads the definitions of all tables of a database, unless it is told to skip what it cannot read."""
    mariadb.execute("create table visits (id bigint primary key, a inet6)", "shop")
    skipping = {**config, "schema.history.internal.skip.unparseable.ddl": "true"}
    others = {"table.exclude.list": "shop.visits"}
    assert refusal({**config, **others}).message.startswith("the column shop.visits.a is of the type inet6")
    assert "skip.unparseable.ddl to true" in refusal({**config, **others}).mend
    assert prepare({**skipping, **others}) == []
    assert "modify `a` varchar" in refusal(skipping).mend


def test_a_wrong_password_is_told_and_a_server_that_is_away_is_waited_for(config: dict[str, str]) -> None:
    """Only a person can mend the one, and the other may come back."""
    error = refusal({**config, "database.password": "wrong"})
    assert error.where == "config.database.password"
    assert "wrong" not in error.message
    assert refusal({**config, "database.port": "x"}).where == "config.database.port"
    with pytest.raises(SourceUnreachable, match="does not answer"):
        prepare({**config, "database.port": "1"})
