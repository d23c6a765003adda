"""What a source captures, by the lists of its configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_KINDS = ("schema", "database", "table")
"""What `includes` looks at lists of. The columns' are Debezium's alone."""


def includes(config: Mapping[str, str], schema: str, table: str) -> bool:
    """Whether a source captures a table. Debezium's own rule: regular expressions for the whole name, in any case.

    What PostgreSQL calls a schema is a database of MariaDB.
    """
    names = {"schema": schema, "database": schema, "table": f"{schema}.{table}"}
    return all(_wanted(config, kind, name) for kind, name in names.items())


def patterns(config: Mapping[str, str], setting: str) -> list[str]:
    """The patterns of one list, without those that are empty."""
    return [pattern.strip() for pattern in config.get(setting, "").split(",") if pattern.strip()]


def mistakes(config: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The lists that `includes` cannot go by: field, what is wrong, mend."""
    for setting in (f"{kind}.{rule}.list" for kind in _KINDS for rule in ("include", "exclude")):
        for pattern in patterns(config, setting):
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                yield setting, f"{pattern!r} is no regular expression: {error}", "correct it, as in `shop[.]orders`"


def _wanted(config: Mapping[str, str], kind: str, name: str) -> bool:
    included, refused = (patterns(config, f"{kind}.{rule}.list") for rule in ("include", "exclude"))
    matches = [bool(re.fullmatch(pattern, name, re.IGNORECASE)) for pattern in included or refused]
    return any(matches) if included else not any(matches)
