"""Whether the sources capture what the dbt project declares: a table that nobody follows would only stay empty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from connectors.postgres import includes
from connectors.sources import Source
from ringup.errors import ProjectError
from transforms.project import Table


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
