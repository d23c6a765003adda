"""Whether the sources capture what the dbt project declares: a table that nobody follows would only stay empty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from connectors import topics
from connectors.included import includes
from connectors.sources import Source
from ringup.errors import ProjectError
from transforms.project import Table


def source_of(table: Table, sources: Sequence[Source]) -> Source:
    """The source that writes a table's topic; `check_captured` has seen that there is one."""
    by_prefix = {source.prefix: source for source in sources}
    return by_prefix[topics.source_of(table.topic, by_prefix)]


def declared_columns(tables: Iterable[Table], sources: Sequence[Source]) -> dict[str, dict[str, list[str]]]:
    """For each source the columns of its tables (`schema.table`) that the project declares."""
    found: dict[str, dict[str, list[str]]] = {source.name: {} for source in sources}
    for table in tables:
        source = source_of(table, sources)
        name = table.topic.removeprefix(f"{source.prefix}.")
        found[source.name][name] = [column.name for column in table.columns]
    return found


def check_captured(tables: Iterable[Table], sources: Sequence[Source]) -> None:
    """Raise ProjectError for the first table whose topic no source writes."""
    by_prefix = {source.prefix: source for source in sources}
    for table in tables:
        prefix, schema, name = ("." * (2 - table.topic.count(".")) + table.topic).rsplit(".", 2)
        source = by_prefix.get(prefix)
        if source is None:
            known = ", ".join(get_close_matches(prefix, by_prefix, n=1) or by_prefix)
            raise ProjectError(
                f"{table.relation} comes by the topic {table.topic}, and no source has the topic.prefix {prefix!r}",
                where=table.path,
                mend=f"Name the topic in `config.meta.topic`; the sources have {known}.",
            )
        if not includes(source.config, schema, name):
            raise ProjectError(
                f"{table.relation} comes by the topic {table.topic}, and its source leaves out {schema}.{name}",
                where=table.path,
                mend=f"Include it in {source.path}, or correct `config.meta.topic`.",
            )
