"""A database becomes a source: the connector's JSON and the tables' YAML that an engineer would write for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from connectors.catalog import Catalog, CatalogColumn, CatalogTable, folded
from connectors.databases import Database
from connectors.proposals import Identities, freshness, names_of
from ringup.errors import ConfigError

PROFILE = "profile_id"
"""The column that ringup adds."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_LOGIN = ("hostname", "port", "user", "password")
_HEAD = """\
# The tables of {name}, as `ringup connectors discover` found them. What is not declared is not copied: take out what
# nobody needs. `identity`, how a row finds its customer, is a proposal made from names and foreign keys: check it. An
# identifier finds a customer where the table with the `profile` declares one of the same name.
# `profile_id` is not in the source: ringup adds it to every table with an identity.
sources:
  - name: {name}
    tables:
"""


@dataclass(frozen=True, slots=True)
class Left:
    """A table or a column that is not taken in, why, and what to do about it."""

    what: str
    why: str
    mend: str


def check_name(name: str) -> None:
    """Raise ConfigError where a source cannot have this name."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be a source's name",
            mend="Write small letters, digits and _, a letter first: the name is the schema of its tables in SQL.",
        )


def variable(name: str, setting: str) -> str:
    """The environment variable that holds a setting of a source's login: `SHOP_HOST` for its hostname."""
    end = {"hostname": "HOST", "dbname": "DATABASE"}.get(setting, setting.upper())
    return re.sub(r"\W", "_", name).upper() + "_" + end


def connector(name: str, database: Database, tables: Sequence[str]) -> dict[str, Any]:
    """The connector that captures these tables: what ringup sets by itself is left out, the login are references."""
    needed = [setting.removeprefix("database.") for setting in database.needed if setting.startswith("database.")]
    login = dict.fromkeys((*_LOGIN, *needed))
    lists = {"table": tables}
    if "database" in database.listed:  # the connector reads the definitions of all tables of those it is to look at
        lists = {"database": list(dict.fromkeys(table.partition(".")[0] for table in tables)), **lists}
    config = {
        "connector.class": database.connector,
        "topic.prefix": name,
        **{f"database.{setting}": f"${{env:{variable(name, setting)}}}" for setting in login},
        **{f"{kind}.include.list": ",".join(names) for kind, names in lists.items()},
    }
    return {"name": name, "config": config}


def connector_json(name: str, database: Database, tables: Sequence[str]) -> str:
    """The same as a file."""
    return json.dumps(connector(name, database, tables), indent=2) + "\n"


def chosen(
    catalog: Catalog, is_taken: Callable[[str], bool], known: frozenset[str] = frozenset()
) -> tuple[Catalog, list[Left]]:
    """The tables that can be captured, with the columns that can be declared, and what is left out.

    `is_taken` says of a name that a column cannot have it. `known` are tables that are declared already.
    """
    taken, left = list[CatalogTable](), list[Left]()
    for table in catalog:
        if not table.key:
            mend = f"alter table {table} add primary key (...)"
            left.append(Left(str(table), "it has no primary key, so its rows cannot be told apart", mend))
        elif not (_PLAIN.fullmatch(table.schema) and _PLAIN.fullmatch(table.name)):
            why = "its name has other characters than letters, digits, _ and -, and topics have no others"
            left.append(Left(str(table), why, "rename it"))
        elif alike := _columns_alike(table):
            why = f"its columns {alike} differ in capitals only, at which Debezium stops"
            left.append(Left(str(table), why, "rename one of them"))
        else:
            lost = {c.name: found for c in table.columns if (found := _column_left(table, c, is_taken))}
            if in_key := [found for name, found in lost.items() if name in table.key]:
                left.extend(in_key)
                continue
            columns = tuple(c for c in table.columns if c.name not in lost)
            references = {name: there for name, there in table.references.items() if name not in lost}
            taken.append(replace(table, columns=columns, references=references))
            left.extend(lost.values())
    twins = _tables_alike(taken, known)
    return tuple(table for table in taken if str(table) not in twins), [*left, *twins.values()]


def _tables_alike(tables: Sequence[CatalogTable], known: frozenset[str]) -> dict[str, Left]:
    """Tables whose names differ in capitals only from another one's, which is taken in."""
    names, first, left = names_of(tuple(tables)), dict[str, CatalogTable](), dict[str, Left]()
    for table in sorted(tables, key=lambda table: table.name not in known):
        if (other := first.setdefault(folded(names[str(table)]), table)) is not table:
            why = f"its name is that of {other}, for capitals make no difference"
            left[str(table)] = Left(str(table), why, "declare it by hand under another name, with its `topic`")
    return left


def _columns_alike(table: CatalogTable) -> str | None:
    """Two columns whose names differ in capitals only; Debezium stops at them, declared or not."""
    first = dict[str, str]()
    for name in (column.name for column in table.columns):
        if (other := first.setdefault(name.lower(), name)) != name:
            return f"{other} and {name}"
    return None


def _column_left(table: CatalogTable, column: CatalogColumn, is_taken: Callable[[str], bool]) -> Left | None:
    if column.data_type is None:
        why = f"Debezium sends nothing of a {column.told}"
        return Left(f"{table}.{column.name}", why, "add a column of another type that holds the same")
    if folded(column.name) == PROFILE or is_taken(column.name):
        return Left(f"{table}.{column.name}", "its name is one of ringup's own", "rename it")
    return None


def sources_yaml(
    name: str, prefix: str, catalog: Catalog, identities: Identities, known: frozenset[str] = frozenset()
) -> str:
    """`sources.yml` of these tables, but those that are declared elsewhere (`known`, by their names in the project)."""
    names = names_of(catalog)
    blocks = [
        _table(name, prefix, table, names[str(table)], identities.get(str(table)))
        for table in catalog
        if names[str(table)] not in known
    ]
    return _HEAD.format(name=name) + "\n".join(blocks)


def _table(source: str, prefix: str, table: CatalogTable, name: str, identity: Mapping[str, Any] | None) -> str:
    lines = [f"- name: {_flow(name)}"]
    if table.comment:
        lines.append(f"  description: {_flow(' '.join(table.comment.split()))}")
    lines.append("  config:")
    if (written := freshness(table)) is not None:
        lines.append(f"    loaded_at_field: {_flow(written)}")
    lines.append("    meta:")
    if (topic := f"{prefix}.{table}") != f"{source}.{source}.{name}":
        lines.append(f"      topic: {_flow(topic)}")
    lines.append(f"      key: {_flow(list(table.key))}")
    if identity is not None:
        lines.append(f"      identity: {_flow(identity)}")
    lines.append("  columns:")
    columns = {column.name: column.data_type for column in table.columns}
    if identity is not None:
        columns[PROFILE] = "bigint"
    lines.extend(f"    - {_flow({'name': name, 'data_type': data_type})}" for name, data_type in columns.items())
    return "".join(f"      {line}\n" for line in lines)


def _flow(value: object) -> str:
    """A value in one line of YAML."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("...").strip()
