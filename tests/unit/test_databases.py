"""The kinds of databases, and what is common to their preparation."""

from __future__ import annotations

from typing import get_args

import pytest

from connectors.databases import DATABASES, KINDS, POSTGRES, Database, database_of
from connectors.lacking import columns_lack, names_lack, together
from ringup.connectors_cli import Kind


@pytest.mark.parametrize("kind", DATABASES.values())
def test_a_kind_is_found_by_its_connector(kind: Database) -> None:
    """By the setting that it insists on itself; and what is insisted on has no other default."""
    assert database_of(kind.relied_on) is kind
    assert not kind.relied_on.keys() & {*kind.defaults, *kind.needed, *kind.own("shop")}


def test_a_source_that_does_not_say_is_postgresql() -> None:
    """As the sources are that were written before there was a choice."""
    assert database_of({}) is POSTGRES


def test_each_kind_can_be_discovered() -> None:
    """`ringup connectors discover --database` takes the name of each, and no other."""
    assert get_args(Kind) == tuple(KINDS)


def test_all_that_lacks_is_told_at_once() -> None:
    """A table and a column that were misspelt come as one error, each with its mend."""
    lacking = [
        *names_lack({"table.include.list": "shop.bils, shop.bill_.*"}, "pos", ["shop.bills"]),
        *columns_lack({"shop.bills": ["id", "totl"]}, {"shop.bills": ["id", "total"]}),
    ]
    error = together(lacking)
    assert error.message == "pos has no table shop.bils; shop.bills has no column totl, which sources.yml declares"
    assert error.mend == "did you mean shop.bills?; did you mean total?"
    assert error.where == "config.table.include.list"


def test_what_mends_several_is_said_once() -> None:
    """Tables that are all still to be made have one mend."""
    lacking = list(names_lack({"table.include.list": "shop.bills, shop.stores"}, "pos", []))
    error = together(lacking)
    assert error.message == "pos has no table shop.bills; pos has no table shop.stores"
    assert error.mend == "correct it, or create the table first"
