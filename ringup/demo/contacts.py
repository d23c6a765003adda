"""Contact data, which the data set lacks: invented with faker from a fixed seed, so it is the same every time.

Names, birthdays (within the age band that the household gave), e-mail addresses below example.com, telephone
numbers of the range that is kept for fiction, and consents are invented. All else about a member is real.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from faker import Faker

SEED = 20170101
CONSENTS = ("email", "sms", "push")

_CONSENTING = 80  # of a hundred
_EASTERN = ("201", "212", "305", "404", "513", "614", "617", "703")
_CENTRAL = ("214", "312", "314", "405", "504", "512", "615", "713", "816")
_MOUNTAIN = ("303", "505", "602", "801")
_PACIFIC = ("206", "213", "408", "415", "503")
_AREAS = [
    (code, zone)
    for zone, codes in (
        ("America/New_York", _EASTERN),
        ("America/Chicago", _CENTRAL),
        ("America/Denver", _MOUNTAIN),
        ("America/Los_Angeles", _PACIFIC),
    )
    for code in codes
]


def contacts(members: Iterable[Mapping[str, Any]], today: date) -> Iterator[dict[str, Any]]:
    """For each member: names, e-mail, mobile, time zone, birthday, and consents by channel. `today` fixes the ages."""
    fake = Faker("en_US")
    fake.seed_instance(SEED)
    for member in members:
        number = int(member["member_id"])
        first, last = fake.first_name(), fake.last_name()
        code, zone = _AREAS[number // 100 % len(_AREAS)]
        youngest, oldest = _ages(member["age_band"])
        age = timedelta(days=fake.random_int(youngest * 366, (oldest + 1) * 365 - 1))
        yield {
            "first_name": first,
            "last_name": last,
            "email": f"{_plain(first)}.{_plain(last)}.{number}@example.com",
            "mobile": f"+1{code}55501{number % 100:02d}",
            "time_zone": zone,
            "birthday": today - age,
            "consents": {channel: fake.random_int(1, 100) <= _CONSENTING for channel in CONSENTS},
        }


def _ages(band: str | None) -> tuple[int, int]:
    """The youngest and the oldest of an age band such as `25-34` or `65+`."""
    bounds = [int(bound) for bound in re.findall(r"\d+", band or "19-80")]
    return (bounds[0], bounds[1]) if len(bounds) == 2 else (bounds[0], bounds[0] + 20)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())
