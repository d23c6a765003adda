"""Sources of a dbt project as tables to mirror."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import duckdb

from connectors.catalog import folded
from ringup.errors import ProjectError
from transforms.dbt.declared import Node, Place, TableMeta, place_of, read
from transforms.dbt.nodes import Column, Table

TAKEN = {
    *("_n", "_seen", "_position", "_committed_at", "_deleted", "_fresh", "_was", "_bad", "_op"),
    *("_partition", "_offset", "_key", "_value"),
}
"""Names that stand beside a source table's own columns on their way into the mirror, and in the lake."""


def is_taken(name: str) -> bool:
    """Whether a source table's column cannot be declared, for it has a name of ringup's own."""
    return name.lower() in TAKEN or name.lower().startswith("raw ")


WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
"""Types of a profile: all their values are a bigint's."""

UNCARRIED = ("BIT", "BIGNUM", "UHUGEINT", "TIME WITH TIME ZONE")
"""Types whose values do not come through Arrow as they were."""


def read_tables(folder: Path, made: Node, needed: set[str], catalog: str = "scope") -> Iterator[Table]:
    """The source tables to mirror: those that models need (`schema.name`), and those that declare a key or identity.

    `catalog` is where dbt puts sources that do not say it.
    """
    found: dict[str, tuple[Table, Place]] = {}
    first: dict[str, Table] = {}
    for node in made["sources"].values():
        meta, source, name = node["config"]["meta"], node["source_name"], node["identifier"]
        if f"{node['schema']}.{name}" not in needed and not meta.keys() & TableMeta.model_fields:
            continue
        place = place_of(folder, node, source, node["name"])
        if (node["database"], node["schema"]) != (catalog, source):
            raise ProjectError(
                f"source {source} is said to be in {node['database']}.{node['schema']}, but its copy has its own name",
                where=str(place),
                mend="Remove `database` and `schema`; name the topic of a table in `config.meta.topic`.",
            )
        declared = read(TableMeta, meta, place)
        identity = declared.identity
        table = Table(
            source,
            name,
            declared.topic or f"{source}.{source}.{name}",
            tuple(_columns(node["columns"].values(), place)),
            tuple(declared.key),
            identity.profile if identity else None,
            identity.identifiers if identity else {},
            next(iter(identity.via.items()), None) if identity else None,
            place.path,
        )
        if (other := first.setdefault(folded(table.relation), table)) is not table:
            raise ProjectError(
                f"the names {table.relation} and {other.relation} are the same in SQL, where capitals do not count",
                where=str(place),
                mend="Give one of them another `name`, and say in `config.meta.topic` whose changes it has.",
            )
        _check_columns(table, place)
        found[table.relation] = (table, place)
    _check_profiles(found.values())
    _check_identifiers(found.values())
    for table, place in found.values():
        if table.via is not None:
            _check_way({name: other for name, (other, _) in found.items()}, table, place)
        yield table


def _check_profiles(found: Iterable[tuple[Table, Place]]) -> None:
    """One table has the customers; the others lead to it."""
    profiles = [(table, place) for table, place in found if table.profile is not None]
    for table, place in profiles[1:]:
        raise ProjectError(
            f"{table.relation} declares a profile, and so does {profiles[0][0].relation}",
            where=str(place.within("identity", "profile")),
            mend="One table has the customers. Let the other one find them by `identifiers` or `via`.",
        )


def _check_identifiers(found: Iterable[tuple[Table, Place]]) -> None:
    """A customer is found by what the table with the customers says of them, and by nothing else."""
    customers = next((table for table, _ in found if table.profile is not None), None)
    known = customers.identifiers if customers is not None else {}
    for table, place in found:
        for kind, column in table.identifiers.items():
            if kind not in known:
                raise ProjectError(
                    f"{table.relation} finds customers by `{kind}`, which no table with a `profile` has",
                    where=str(place.within("identity", "identifiers", kind)),
                    mend=_mend_identifier(kind, column, customers),
                )


def _mend_identifier(kind: str, column: str, customers: Table | None) -> str:
    if customers is None:
        return f"Declare the table with the customers: `identity: {{profile: ..., identifiers: {{{kind}: {column}}}}}`."
    known = (
        f"name one that is there ({', '.join(customers.identifiers)})" if customers.identifiers else "remove it here"
    )
    return f"Add `{kind}`, with its column, to the `identifiers` of {customers.relation}, or {known}."


def _columns(declared: Iterable[Node], place: Place) -> Iterator[Column]:
    yield from (column_of(column, place) for column in declared if column["name"] != "profile_id")


def column_of(declared: Node, place: Place) -> Column:
    """A column as it is declared, with its type as DuckDB writes it. Raises ProjectError."""
    name, data_type = declared["name"], declared["data_type"]
    if not data_type:
        raise ProjectError(
            f"column {name} has no data_type",
            where=str(place.within(name)),
            mend="Add the DuckDB type that holds its values, for example `data_type: bigint`.",
        )
    try:
        kind = str(duckdb.sqltype(data_type))
    except duckdb.Error:
        raise ProjectError(
            f"column {name} has the data_type {data_type}, which DuckDB does not know",
            where=str(place.within(name)),
            mend="Write a DuckDB type, for example `bigint`, `varchar`, `decimal(12,2)` or `timestamptz`.",
        ) from None
    if kind in UNCARRIED:
        raise ProjectError(
            f"column {name} has the data_type {data_type}, whose values ringup cannot keep as they are",
            where=str(place.within(name)),
            mend="Declare it as varchar.",
        )
    return Column(name, kind)


def _is_made_of_others(kind: str) -> bool:
    """Lists, structs, maps, unions, and enums, which are made of their names."""
    return kind.endswith("]") or (kind.endswith(")") and not kind.startswith("DECIMAL"))


def _check_columns(table: Table, place: Place) -> None:
    first: dict[str, str] = {}
    for column in table.columns:
        if (other := first.setdefault(folded(column.name), column.name)) != column.name:
            raise ProjectError(
                f"the columns {other} and {column.name} of {table.relation} are the same in SQL, "
                "where capitals do not count",
                where=str(place.within(column.name)),
                mend="Leave one of them out of `columns`: what is not declared is not copied.",
            )
        if is_taken(column.name) or folded(column.name) == "profile_id":
            raise ProjectError(
                f"{table.relation} has a column {column.name}, which is a name of ringup's own",
                where=str(place.within(column.name)),
                mend="Leave the column out of `columns`: what is not declared is not copied.",
            )
    names = {column.name for column in table.columns}
    way = (table.via[0],) if table.via else ()
    for column in (*table.key, *filter(None, [table.profile]), *table.identifiers.values(), *way):
        if column not in names:
            raise ProjectError(
                f"`meta` speaks of a column {column}, which {table.relation} does not have",
                where=str(place.within("meta", column)),
                mend=f"Declare the column under `columns`, or name one of {', '.join(sorted(names))}.",
            )
    for column in table.columns:
        if column.name in table.key and _is_made_of_others(column.data_type):
            raise ProjectError(
                f"the key column {column.name} of {table.relation} is {column.data_type}, which cannot tell rows apart",
                where=str(place.within(column.name)),
                mend="Declare it as varchar.",
            )
    kinds = {column.name: column.data_type for column in table.columns}
    if table.profile is not None and kinds[table.profile] not in WHOLE:
        raise ProjectError(
            f"the profile of {table.relation} is a {kinds[table.profile]}, and has to be a whole number",
            where=str(place.within(table.profile)),
            mend=f"Declare it as one of {', '.join(WHOLE).lower()}; a number made for it in the source will do.",
        )
    if table.profile is not None and table.key != (table.profile,):
        raise ProjectError(
            f"the profile of {table.relation} is {table.profile}, but its key is {', '.join(table.key)}",
            where=str(place.within("meta", "profile")),
            mend="A profile is known by its table's key: name the same one column in both.",
        )


def _check_same_type(table: Table, parent: Table, place: Place) -> None:
    """A table that leads to another holds that one's key."""
    column = (table.via or ("", ""))[0]
    mine = next(c.data_type for c in table.columns if c.name == column)
    theirs = next(c.data_type for c in parent.columns if c.name == parent.key[0])
    if _family(mine) != _family(theirs):
        raise ProjectError(
            f"{table.relation} leads to {parent.relation} by a {mine}, and the key there is a {theirs}",
            where=str(place.within(column)),
            mend="Declare both with the same type.",
        )


def _family(kind: str) -> str:
    """Types whose values can be compared as they are."""
    return "number" if kind in WHOLE or (kind.startswith(("U", "HUGEINT", "DECIMAL")) and kind != "UUID") else kind


def _check_way(tables: Mapping[str, Table], table: Table, place: Place) -> None:
    """A table that finds its customer by way of another must arrive at one."""
    passed, here = {table.relation}, table
    while here.via is not None:
        there = tables.get(f"{here.source}.{here.via[1]}")
        if there is None or len(there.key) != 1 or there.relation in passed:
            break
        passed.add(there.relation)
        here = there
    if here is not table:
        _check_same_type(table, tables[f"{table.source}.{(table.via or ('', ''))[1]}"], place)
    if here.profile is None and not here.identifiers:
        name = here.via[1] if here.via else here.name
        raise ProjectError(
            f"{table.relation} does not find a customer by way of {name}",
            where=str(place.within("identity", "via")),
            mend="Name a table of the same source whose key is one column and which has an identity of its own.",
        )
