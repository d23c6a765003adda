"""From what a database says of its tables to the files that describe it."""

from __future__ import annotations

from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from connectors.catalog import CatalogColumn, CatalogTable
from connectors.databases import MARIADB, POSTGRES
from connectors.discovery import chosen, connector_json, sources_yaml
from connectors.proposals import freshness, identities, names_of, unanswered
from connectors.sources import load_sources
from transforms.dbt.tables import is_taken


def table(name: str, key: str, *columns: str, schema: str = "shop", **references: str) -> CatalogTable:
    """A table: its columns are `name` or `name type`, bigint unless said."""
    made = [CatalogColumn(n, t or "bigint", t or "bigint") for n, _, t in (c.partition(" ") for c in (key, *columns))]
    return CatalogTable(schema, name, (key,), tuple(made), references)


CUSTOMERS = table("customers", "id", "email varchar", "mobile_no varchar", "loyalty_card varchar")
ORDERS = table("orders", "order_id", "buyer", buyer="shop.customers")
STORES = table("stores", "store_id", "email varchar", "phone varchar")
VISITS = table("visits", "visit_id", "store_id", "order_id", store_id="shop.stores", order_id="shop.orders")


def test_rows_are_led_to_the_customer_by_the_shortest_way() -> None:
    """Over several tables if need be. A store has an e-mail address, too, and is no customer."""
    assert identities((VISITS, STORES, ORDERS, CUSTOMERS), profiles_elsewhere=False) == {
        "shop.customers": {
            "profile": "id",
            "identifiers": {"email": "email", "phone": "mobile_no", "card": "loyalty_card"},
        },
        "shop.orders": {"via": {"buyer": "customers"}},
        "shop.visits": {"via": {"order_id": "orders"}},
    }


def test_there_is_one_table_of_customers() -> None:
    """The one that others refer to; and none where another source has it."""
    guests = table("guests", "guest_id", "email varchar")
    both = identities((guests, CUSTOMERS, ORDERS), profiles_elsewhere=False)
    assert both["shop.customers"]["profile"] == "id"
    assert both["shop.guests"] == {"identifiers": {"email": "email"}}
    assert "profile" not in identities((CUSTOMERS,), profiles_elsewhere=True)["shop.customers"]


def test_an_identifier_is_one_that_the_customers_have() -> None:
    """Else the row is led another way. While nothing is known of the customers it is proposed, and told."""
    mine = table("customers", "id", "email varchar")
    bills = table("bills", "bill_id", "buyer", "loyalty_card varchar", buyer="shop.customers")
    assert identities((mine, bills), profiles_elsewhere=False)["shop.bills"] == {"via": {"buyer": "customers"}}
    card = {"identifiers": {"card": "loyalty_card"}}
    alone = identities((bills,), profiles_elsewhere=False)
    assert alone == {"shop.bills": card}
    assert unanswered(alone, frozenset()) == {"card": ["shop.bills"]}
    assert unanswered(alone, frozenset({"card"})) == {}
    there = identities((CUSTOMERS, bills), profiles_elsewhere=True, declared=frozenset({"card"}))
    assert there == {"shop.customers": card, "shop.bills": card}
    assert unanswered(identities((CUSTOMERS, ORDERS), profiles_elsewhere=False), frozenset()) == {}


def test_a_way_that_goes_round_in_circles_leads_nowhere() -> None:
    """Tables that refer to each other alone are the same for all."""
    left, right = table("a", "id", "b", b="shop.b"), table("b", "id", "a", a="shop.a")
    assert identities((left, right), profiles_elsewhere=False) == {}


def test_freshness_is_the_time_of_the_last_writing() -> None:
    """By name; else the only time that each row has; else nothing is said."""
    assert freshness(table("t", "id", "created_at timestamptz", "Updated_At timestamp")) == "Updated_At"
    assert freshness(table("t", "id", "created_at timestamptz", "due timestamptz")) == "created_at"
    sold = CatalogColumn("at", "timestamptz", "timestamptz", nullable=False)
    assert freshness(CatalogTable("s", "t", ("at",), (sold,), {})) == "at"
    assert freshness(table("t", "id", "due timestamptz")) is None


def test_two_tables_of_one_name_have_their_schemas_in_front() -> None:
    """So that each has a name of its own in SQL."""
    tables = (table("t", "id", schema="a"), table("t", "id", schema="b"), table("u", "id", schema="b"))
    assert names_of(tables) == {"a.t": "a_t", "b.t": "b_t", "b.u": "u"}


def test_what_cannot_be_declared_is_left_out_and_told() -> None:
    """A column of ringup's own name, a type that does not come; a table whose key is such a column."""
    odd = CatalogTable("s", "t", ("id",), (*table("t", "id", "_op").columns, CatalogColumn("at", "pair", None)), {})
    odd_too = (table("u", "_n"), table("v w", "id"), CatalogTable("s", "x", (), odd.columns, {}))
    taken, left = chosen((odd, *odd_too), is_taken)
    assert [str(table) for table in taken] == ["s.t"]
    assert [found.what for found in left] == ["s.t._op", "s.t.at", "shop.u._n", "shop.v w", "s.x"]
    (declared,) = yaml.safe_load(sources_yaml("s", "s", taken, {}))["sources"][0]["tables"]
    assert [column["name"] for column in declared["columns"]] == ["id"]


def test_of_tables_that_differ_in_capitals_one_is_taken_in() -> None:
    """The one that is declared already, else the first; also where their schemas are part of their names."""
    mixed = (table("Mixed", "id"), table("mixed", "id"), table("other", "id"))
    taken, left = chosen(mixed, is_taken)
    assert list(names_of(taken).values()) == ["Mixed", "other"]
    assert [(found.what, found.why) for found in left] == [
        ("shop.mixed", "its name is that of shop.Mixed, for capitals make no difference")
    ]
    taken, left = chosen(mixed, is_taken, frozenset({"mixed"}))
    assert [str(table) for table in taken] == ["shop.mixed", "shop.other"]
    taken, left = chosen((table("t", "id", schema="a"), table("T", "id", schema="b")), is_taken)
    assert (names_of(taken), left) == ({"a.t": "a_t", "b.T": "b_T"}, [])


def test_a_table_whose_columns_differ_in_capitals_is_left_out() -> None:
    """Debezium stops at it, whichever of them is declared."""
    taken, left = chosen((table("t", "id", "A", "a"), table("u", "id", "Ä", "ä"), table("v", "id", "b")), is_taken)
    assert [str(table) for table in taken] == ["shop.v"]
    assert [(found.what, found.mend) for found in left] == [
        ("shop.t", "rename one of them"),
        ("shop.u", "rename one of them"),
    ]


def test_nothing_is_found_by_a_column_that_is_left_out() -> None:
    """Such as one that is called as ringup's own, in any capitals."""
    orders = table("orders", "order_id", "Profile_ID", Profile_ID="shop.customers")
    taken, left = chosen((orders, CUSTOMERS), is_taken)
    assert [found.what for found in left] == ["shop.orders.Profile_ID"]
    assert list(identities(taken, profiles_elsewhere=False)) == ["shop.customers"]


def test_the_connector_is_one_that_ringup_takes(tmp_path: Path) -> None:
    """With its login by reference, and the tables named one by one."""
    (tmp_path / "till.json").write_text(connector_json("till", POSTGRES, ["a.b", "a.c"]))
    (source,) = load_sources(tmp_path)
    assert source.config["database.hostname"] == "${env:TILL_HOST}"
    assert source.config["database.dbname"] == "${env:TILL_DATABASE}"
    assert source.config["table.include.list"] == "a.b,a.c"
    assert "schema.include.list" not in source.config


def test_a_connector_for_mariadb_names_the_databases_too(tmp_path: Path) -> None:
    """It would read the definitions of all tables on the server otherwise; and it logs in to no database."""
    (tmp_path / "till.json").write_text(connector_json("till", MARIADB, ["a.b", "a.c", "d.e"]))
    (source,) = load_sources(tmp_path)
    assert source.config["database.include.list"] == "a,d"
    assert source.config["table.include.list"] == "a.b,a.c,d.e"
    assert "database.dbname" not in source.config


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)


@given(st.lists(names, min_size=1, max_size=5, unique_by=str.lower), st.text(max_size=40))
def test_the_yaml_says_what_the_database_said(columns: list[str], comment: str) -> None:
    """Whatever the names: `no`, `1`, `#x`, quotes, colons."""
    named = ["id", *(name for name in columns if name.lower() != "id")]
    made = tuple(CatalogColumn(name, "text", "varchar") for name in named)
    taken, _ = chosen((CatalogTable("s", "t", ("id",), made, {}, comment),), is_taken)
    (declared,) = yaml.safe_load(sources_yaml("s", "s", taken, {}))["sources"][0]["tables"]
    assert declared["config"]["meta"]["key"] == ["id"]
    assert [column["name"] for column in declared["columns"]] == [name for name in named if not is_taken(name)]
    assert declared.get("description", "") == " ".join(comment.split())
