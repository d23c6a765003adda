"""The invented contact data of the demo."""

from __future__ import annotations

from datetime import date
from typing import Any

import phonenumbers
import pytest

from ringup.demo.contacts import contacts

TODAY = date(2026, 5, 1)


def members(band: str | None = None) -> list[dict[str, Any]]:
    """More members than the data has households."""
    return [{"member_id": number, "age_band": band} for number in range(1, 2_501)]


def test_the_same_every_time() -> None:
    """The seed is fixed, so a second demo invents the same people."""
    assert list(contacts(members(), TODAY)) == list(contacts(members(), TODAY))


def test_no_two_members_share_an_address_or_a_number() -> None:
    """E-mail addresses and mobile numbers identify members, so each has its own."""
    people = list(contacts(members(), TODAY))
    assert len({person["email"] for person in people}) == len(people)
    assert len({person["mobile"] for person in people}) == len(people)


def test_no_real_person_can_be_reached() -> None:
    """Addresses are below example.com, numbers are valid ones of the range that is kept for fiction."""
    for person in contacts(members(), TODAY):
        assert person["email"].endswith("@example.com")
        assert person["mobile"][5:10] == "55501"
        assert phonenumbers.is_valid_number(phonenumbers.parse(person["mobile"]))


@pytest.mark.parametrize(("band", "youngest", "oldest"), [("25-34", 25, 34), ("65+", 65, 85), (None, 19, 80)])
def test_birthdays_fit_the_age_band(band: str | None, youngest: int, oldest: int) -> None:
    """A household's real age band holds for the invented birthday."""
    for person in contacts(members(band), TODAY):
        born = person["birthday"]
        age = TODAY.year - born.year - ((TODAY.month, TODAY.day) < (born.month, born.day))
        assert youngest <= age <= oldest
