"""Sources of a dbt project as tables to mirror, and each thing that can be wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from ringup.errors import ProjectError
from tests.reference import REFERENCE, Reference, refused
from transforms.dbt.tables import read_tables


def tables_refused(made: dict[str, Any]) -> ProjectError:
    """The error that the sources of a manifest give."""
    return refused(lambda: list(read_tables(REFERENCE, made, set())))


def test_tables_have_topic_key_types_and_the_way_to_the_customer(reference: Reference) -> None:
    """What capture, mirror and identity need is in sources.yml."""
    tables = {table.relation: table for table in reference.project.tables}
    assert len(tables) == 14
    assert {name for name in tables if name.startswith("west.")} == {"west.branch", "west.receipt", "west.receipt_item"}
    assert tables["crm.members"].profile == "member_id"
    assert tables["pos.bills"].identifiers == {"card": "loyalty_card"}
    lines = tables["pos.bill_lines"]
    assert (lines.topic, lines.key, lines.via) == ("pos.pos.bill_lines", ("bill_id", "line_no"), ("bill_id", "bills"))
    assert {column.name: column.data_type for column in lines.columns}["amount"] == "DECIMAL(12,2)"
    assert "profile_id" not in {column.name for column in lines.columns}
    assert [name for name, table in tables.items() if not table.of_customers] == [
        "pos.stores", "pos.tills", "pos.products", "west.branch", "crm.tiers", "crm.rewards",
    ]  # fmt: skip


def test_a_source_column_without_a_type_is_refused(reference: Reference) -> None:
    """The mirror cannot guess a type."""
    made = reference.made
    made["sources"]["source.corner_shop.pos.bills"]["columns"]["total"]["data_type"] = None
    error = tables_refused(made)
    assert error.message == "column total has no data_type"
    assert "data_type: bigint" in error.mend
    line = (error.where or "").split(":")[1]
    assert "name: total" in (REFERENCE / "models" / "sources.yml").read_text().splitlines()[int(line) - 1]


def test_names_that_differ_in_capitals_only_are_refused(reference: Reference) -> None:
    """Tables and columns; SQL does not tell them apart, so the run would end at the first statement."""
    made = reference.made
    bills = made["sources"]["source.corner_shop.pos.bills"]
    bills["columns"]["Total"] = {**bills["columns"]["total"], "name": "Total"}
    error = tables_refused(made)
    assert error.message.startswith("the columns total and Total of pos.bills are the same")
    assert "sources.yml:" in (error.where or "")
    del bills["columns"]["Total"]
    made["sources"]["source.corner_shop.pos.BILLS"] = {**bills, "identifier": "BILLS"}
    error = tables_refused(made)
    assert error.message.startswith("the names pos.BILLS and pos.bills are the same")
    assert "`config.meta.topic`" in error.mend


def test_a_type_that_duckdb_does_not_know_is_refused(reference: Reference) -> None:
    """Found at the start, not when the first row comes."""
    made = reference.made
    made["sources"]["source.corner_shop.pos.bills"]["columns"]["total"]["data_type"] = "money"
    assert "money" in tables_refused(made).message


@pytest.mark.parametrize(
    ("column", "data_type", "reason"),
    [
        ("total", "timetz", "cannot keep"),
        ("total", "bignum", "cannot keep"),
        ("bill_id", "bigint[]", "cannot tell rows apart"),
        ("bill_id", "enum('a', 'b')", "cannot tell rows apart"),
    ],
)
def test_a_type_that_ringup_cannot_carry_is_refused(
    reference: Reference, column: str, data_type: str, reason: str
) -> None:
    """Nothing is rounded, and no key is taken for another."""
    made = reference.made
    made["sources"]["source.corner_shop.pos.bills"]["columns"][column]["data_type"] = data_type
    error = tables_refused(made)
    assert reason in error.message
    assert error.mend == "Declare it as varchar."


@pytest.mark.parametrize(
    "meta",
    [
        {"key": ["bill_no"]},
        {"key": ["bill_id"], "identity": {"profile": "who"}},
        {"key": ["bill_id"], "identity": {"identifiers": {"card": "card"}}},
        {"key": ["bill_id"], "identity": {"via": {"basket": "members"}}},
    ],
)
def test_meta_that_speaks_of_a_column_that_is_not_there_is_refused(reference: Reference, meta: dict[str, Any]) -> None:
    """Keys, identifiers and the way to the customer are columns of the table."""
    made = reference.made
    made["sources"]["source.corner_shop.pos.bills"]["config"]["meta"] = meta
    assert "does not have" in tables_refused(made).message


def test_a_profile_that_is_not_the_tables_key_is_refused(reference: Reference) -> None:
    """A profile that could change under its row would leave its identifiers behind."""
    made = reference.made
    meta = {"key": ["bill_id"], "identity": {"profile": "store_id"}}
    made["sources"]["source.corner_shop.pos.bills"]["config"]["meta"] = meta
    assert "its key is bill_id" in tables_refused(made).message


def test_a_column_with_a_name_of_ringups_own_is_refused(reference: Reference) -> None:
    """It would stand in the place of what the mirror notes beside each row."""
    made = reference.made
    columns = made["sources"]["source.corner_shop.pos.bills"]["columns"]
    columns["_position"] = {**columns["total"], "name": "_position"}
    assert "a name of ringup's own" in tables_refused(made).message


@pytest.mark.parametrize("other", ["baskets", "bill_lines", "stores", "coupon_redemptions"])
def test_a_way_that_leads_to_no_customer_is_refused(reference: Reference, other: str) -> None:
    """An unknown table, a key of two columns, a table that is the same for all, and a way in a circle."""
    made = reference.made
    redemptions = made["sources"]["source.corner_shop.pos.coupon_redemptions"]["config"]["meta"]
    redemptions["identity"] = {"via": {"bill_id": other}}
    error = tables_refused(made)
    assert error.message == f"pos.coupon_redemptions does not find a customer by way of {other}"
    assert "identity" in (error.where or "")


def test_an_identifier_that_no_customer_has_is_refused(reference: Reference) -> None:
    """Nobody would ever be found by it, and nothing would say so."""
    made = reference.made
    bills, members = (
        made["sources"][f"source.corner_shop.{name}"]["config"]["meta"] for name in ("pos.bills", "crm.members")
    )
    bills["identity"] = {"identifiers": {"email": "loyalty_card"}}
    error = tables_refused(made)
    assert error.message == "pos.bills finds customers by `email`, which no table with a `profile` has"
    assert (error.where or "").endswith(": pos.bills.identity.identifiers.email")
    assert error.mend.startswith("Add `email`, with its column, to the `identifiers` of crm.members, or name one")
    assert error.mend.endswith("that is there (card, west_card).")
    members["identity"] = {"profile": "member_id"}
    assert tables_refused(made).mend.endswith("crm.members, or remove it here.")
    members["identity"] = {"identifiers": {"email": "loyalty_card"}}
    assert tables_refused(made).mend.startswith("Declare the table with the customers: `identity: {profile: ...")


def test_a_source_has_the_schema_of_its_name(reference: Reference) -> None:
    """The copy of a table is where the source's name says; the topic may be another."""
    made = reference.made
    made["sources"]["source.corner_shop.pos.bills"]["schema"] = "public"
    assert "config.meta.topic" in tables_refused(made).mend


def test_a_table_that_a_model_needs_must_be_declared(reference: Reference) -> None:
    """A source without `meta` is left alone until a model that is kept up to date reads it."""
    made = reference.made
    made["sources"]["source.corner_shop.pos.bills"]["config"]["meta"] = {}
    made["sources"]["source.corner_shop.pos.bill_lines"]["config"]["meta"] = {}
    assert "pos.bills" not in {table.relation for table in read_tables(REFERENCE, made, set())}
    assert refused(lambda: list(read_tables(REFERENCE, made, {"pos.bills"}))).mend == "Add `key`."


def test_there_is_one_table_of_customers(reference: Reference) -> None:
    """Of two, each would take the other's identifiers."""
    made = reference.made
    made["sources"]["source.corner_shop.pos.stores"]["config"]["meta"]["identity"] = {"profile": "store_id"}
    error = tables_refused(made)
    assert "declares a profile, and so does" in error.message


def test_a_profile_is_a_whole_number(reference: Reference) -> None:
    """Every value of its type has to be one that profile_id can hold."""
    made = reference.made
    made["sources"]["source.corner_shop.crm.members"]["columns"]["member_id"]["data_type"] = "varchar"
    error = tables_refused(made)
    assert error.message == "the profile of crm.members is a VARCHAR, and has to be a whole number"


def test_a_table_leads_to_another_by_the_type_of_its_key(reference: Reference) -> None:
    """A text is never the number that it looks like."""
    made = reference.made
    made["sources"]["source.corner_shop.pos.bill_lines"]["columns"]["bill_id"]["data_type"] = "varchar"
    error = tables_refused(made)
    assert error.message == "pos.bill_lines leads to pos.bills by a VARCHAR, and the key there is a BIGINT"
