"""What an engineer would conclude from the names and keys of a database: proposals, for a person to check."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeAlias

from connectors.catalog import Catalog, CatalogColumn, CatalogTable, folded

Identities: TypeAlias = dict[str, dict[str, Any]]
"""For a table (`schema.table`) how its rows find their customer: `identity` of sources.yml."""

_IDENTIFIERS: Mapping[str, re.Pattern[str]] = {
    "email": re.compile(r"(e_?mail|mail)(_?address)?"),
    "phone": re.compile(r"(mobile|cell|tele)?_?(phone|mobile|msisdn|tel)(_?(no|number))?"),
    "card": re.compile(r"(loyalty|member|membership|club|bonus)_?(card|no|number)(_?(no|number|id|code))?|card_?no"),
}
_OF_CUSTOMERS = ("email", "phone", "card")
_CUSTOMERS = re.compile(r"(.*_)?(customer|member|client|contact|person|guest|subscriber|household|patron)s?")
_PEOPLE = re.compile(r"(.*_)?people")
_CHANGED = re.compile(r"(last_)?(updated?|modified|changed?)(_?(at|on|ts|time|date|timestamp))?")
_MADE = re.compile(r"(created?|inserted|added|registered|joined|booked|printed|sold|ordered|placed)_?(at|on|ts|time)")
_WHOLE = ("smallint", "integer", "bigint")
_TIMES = ("timestamptz", "timestamp")


def freshness(table: CatalogTable) -> str | None:
    """The column that says when a row was last written: by its name, or as the only time that every row has."""
    times = [column for column in table.columns if column.data_type in _TIMES]
    for pattern in (_CHANGED, _MADE):
        if found := [column.name for column in times if pattern.fullmatch(column.name.lower())]:
            return found[0]
    always = [column.name for column in times if not column.nullable]
    return always[0] if len(always) == 1 else None


def names_of(catalog: Catalog) -> dict[str, str]:
    """What each table (`schema.table`) is called in the project: with its schema where two have one name."""
    often = Counter(folded(table.name) for table in catalog)
    return {str(t): t.name if often[folded(t.name)] == 1 else f"{t.schema}_{t.name}" for t in catalog}


def identities(catalog: Catalog, *, profiles_elsewhere: bool, declared: frozenset[str] = frozenset()) -> Identities:
    """Which table has the customers, and how the rows of others lead to them.

    A project has one table of customers; `profiles_elsewhere` says that it is not in this database, and `declared` are
    its identifiers. An e-mail address or a number may be a shop's, too: they are taken for a customer's in a table of
    customers alone. Where nobody could be found by an identifier, another way is looked for; only while nothing is
    known of the customers it stays (see `unanswered`).
    """
    customers = _customers(catalog)
    profile = next((t for t in customers[:1] if not profiles_elsewhere and _whole_key(t)), None)
    known = declared | (_identifiers(profile, _OF_CUSTOMERS).keys() if profile is not None else set())
    found: Identities = {}
    for table in catalog:
        mine = _identifiers(table, _OF_CUSTOMERS if table in customers else ("card",))
        if table is profile:
            found[str(table)] = {"profile": table.key[0]} | ({"identifiers": mine} if mine else {})
            continue
        led = {kind: column for kind, column in mine.items() if kind in known}
        if led or (mine and profile is None):
            found[str(table)] = {"identifiers": led or mine}
    tables, names = {str(table): table for table in catalog}, names_of(catalog)
    ahead = list(found)
    for parent in ahead:  # from a customer outwards: those nearer to one come first
        for child in catalog:
            ways = [column for column, there in child.references.items() if there == parent]
            if str(child) not in found and ways and len(tables[parent].key) == 1:
                found[str(child)] = {"via": {ways[0]: names[parent]}}
                ahead.append(str(child))
    return found


def unanswered(found: Identities, declared: frozenset[str]) -> dict[str, list[str]]:
    """Identifiers by which nobody can be found, for no table with a `profile` has them: the tables that have each."""
    known = declared.union(*(identity.get("identifiers", ()) for identity in found.values() if "profile" in identity))
    asked: dict[str, list[str]] = {}
    for table, identity in found.items():
        for kind in identity.get("identifiers", ()):
            if kind not in known:
                asked.setdefault(kind, []).append(table)
    return asked


def _customers(catalog: Catalog) -> list[CatalogTable]:
    """Tables of customers, the one that most others refer to first."""
    named = [t for t in catalog if _CUSTOMERS.fullmatch(t.name.lower()) or _PEOPLE.fullmatch(t.name.lower())]
    referred = Counter(there for table in catalog for there in table.references.values())
    return sorted(named, key=lambda table: -referred[str(table)])


def _identifiers(table: CatalogTable, kinds: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind in kinds:
        for column in table.columns:
            if kind not in found and _IDENTIFIERS[kind].fullmatch(column.name.lower()) and not _refers(table, column):
                found[kind] = column.name
    return found


def _refers(table: CatalogTable, column: CatalogColumn) -> bool:
    """Keys of tables, its own or another's, are numbers of the database and not of a customer's."""
    return column.name in table.references or table.key == (column.name,) or column.data_type is None


def _whole_key(table: CatalogTable) -> bool:
    kinds = {column.name: column.data_type for column in table.columns}
    return len(table.key) == 1 and kinds[table.key[0]] in _WHOLE
