"""Message texts, and what is refused before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activations.templates import check_messages, render
from ringup.errors import ProjectError
from tests.outgoing import POINTS
from transforms.project import Column, Model

COLUMNS = {
    "first_name": "VARCHAR",
    "points": "HUGEINT",
    "total": "DECIMAL(12,2)",
    "sold_at": "TIMESTAMP WITH TIME ZONE",
}


def check(message: str) -> None:
    """Check one message against the model `bill_printed`."""
    model = Model(
        name="bill_printed",
        schema="triggers",
        sql="",
        materialized="table",
        kind="trigger",
        depends_on=(),
        sweep=None,
        clocks=frozenset(),
        path="models/triggers/bill_printed.sql",
        columns=tuple(Column(*column) for column in COLUMNS.items()),
    )
    check_messages([replace(POINTS, message=message)], [model])


@pytest.mark.parametrize(
    ("message", "row", "text"),
    [
        ("{first_name}, {points} points", {"first_name": "Ada", "points": 5}, "Ada, 5 points"),
        ("{total:.1f} of {total}", {"total": Decimal("12.50")}, "12.5 of 12.50"),
        ("{points:,}", {"points": 12000}, "12,000"),
        ("{day:%d.%m.%Y}", {"day": date(2026, 3, 1)}, "01.03.2026"),
        ("a {{brace}} and {x}", {"x": "{y}"}, "a {brace} and {y}"),
        ("Dear {first_name}!", {"first_name": None}, "Dear !"),
        ("{points:d}", {"points": Decimal("1.5")}, "1.5"),
        ("{points:d} {name}", {"points": Decimal("1.5"), "name": "Ada"}, "1.5 Ada"),
        ("nothing to fill in", {}, "nothing to fill in"),
    ],
)
def test_a_message_is_written_from_its_row(message: str, row: dict[str, Any], text: str) -> None:
    """Placeholders take the row's values, with their formats; a null is empty."""
    assert render(message, row) == text


@given(st.text())
def test_a_value_is_never_read_as_a_template(value: str) -> None:
    """What a customer wrote into a field is shown as it is."""
    assert render("{name}", {"name": value}) == value


@pytest.mark.parametrize("message", ["{first_name}", "{points:,} {total:.2f}", "{sold_at:%H:%M}", "{{}}", ""])
def test_a_message_that_fits_its_model_is_accepted(message: str) -> None:
    """Columns with formats that suit their types pass."""
    check(message)


@pytest.mark.parametrize(
    ("message", "problem", "mend"),
    [
        ("{frist_name}", "`{frist_name}` is not a column of bill_printed", "Did you mean `{first_name}`?"),
        ("{zzz}", "`{zzz}` is not a column", "Its columns are: first_name, points, total, sold_at."),
        ("{first_name.__class__}", "is not the name of a column", "Write {column}"),
        ("{0}", "is not the name of a column", "Write {column}"),
        ("{}", "is not the name of a column", "Write {column}"),
        ("{first_name!r}", "may have a format after a colon, and nothing else", "Write {column}"),
        ("{total:{points}}", "may have a format after a colon, and nothing else", "Write {column}"),
        ("{first_name", "the message cannot be read", "Write {column}"),
        ("{first_name:.2f}", "does not fit a column of type VARCHAR", "Use a format for that type, or none."),
    ],
)
def test_a_message_that_cannot_be_written_is_refused_at_the_start(message: str, problem: str, mend: str) -> None:
    """The error names the file, the activation, the problem and the mend."""
    with pytest.raises(ProjectError) as caught:
        check(message)
    assert caught.value.where == "models/activations.yml: points_at_the_till.message"
    assert problem in caught.value.message
    assert mend in caught.value.mend
