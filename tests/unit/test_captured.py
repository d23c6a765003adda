"""What the models need and what the sources capture have to agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.sources import Source
from ringup.captured import check_captured
from ringup.errors import ProjectError
from tests.shop import TABLES

CRM = Source("crm", {"topic.prefix": "crm"}, "connectors/sources/crm.json")
POS = Source("pos", {"topic.prefix": "pos", "table.include.list": "pos.bills, pos.bill_.*,pos.rates"}, "pos.json")


def test_tables_that_are_captured_pass() -> None:
    """Lists of tables are regular expressions, and a source without one captures all."""
    check_captured(TABLES, [CRM, POS])


@pytest.mark.parametrize(
    ("topic", "message", "mend"),
    [
        ("poss.pos.bills", "no source has the topic.prefix 'poss'", "the sources have pos."),
        ("pos.pos.bils", "leaves out pos.bils", "Include it in pos.json"),
        ("bills", "no source has the topic.prefix ''", "the sources have crm, pos."),
    ],
)
def test_a_topic_that_nobody_writes_is_refused(topic: str, message: str, mend: str) -> None:
    """Its table would stay empty without a word."""
    tables = [replace(table, topic=topic) if table.name == "bills" else table for table in TABLES]
    with pytest.raises(ProjectError) as caught:
        check_captured(tables, [CRM, POS])
    assert message in caught.value.message
    assert mend in caught.value.mend
    assert caught.value.where == "sources.yml"
