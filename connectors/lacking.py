"""What stands in the way of capturing a database, whatever its kind, told all at once with its mend."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches

from connectors.included import patterns
from ringup.errors import SourceError

_NAME = re.compile(r"\w+\.\w+")


class SourceUnreachable(SourceError):
    """The database does not answer, or not yet: worth waiting for."""


def check_port(config: Mapping[str, str], mostly: str) -> None:
    """Raise SourceError where `database.port` is none; `mostly` says which one it is as a rule."""
    port = config["database.port"]
    if not (port.isdecimal() and 0 < int(port) < 65_536):
        raise SourceError(
            f"{port!r} is no port",
            where="config.database.port",
            mend=f"correct it, or the variable that it refers to: {mostly}",
        )


def login_refused(config: Mapping[str, str], place: str, words: str) -> SourceError:
    """The error for a user or a password that the database at `place` does not take."""
    return SourceError(
        f"{place} refuses the login of {config['database.user']}: {words}",
        where="config.database.password",
        mend="correct database.user and database.password, or the variables that they refer to",
    )


def together(lacking: Sequence[SourceError]) -> SourceError:
    """All that stands in the way as one error, so that whoever mends it goes to the database once.

    What mends several is said once.
    """
    mends = list(dict.fromkeys(error.mend for error in lacking))
    return SourceError(
        "; ".join(error.message for error in lacking),
        where=next((error.where for error in lacking if error.where), None),
        mend="; ".join(mend for mend in mends if not any(mend in other for other in mends if other != mend)),
    )


def names_lack(config: Mapping[str, str], database: str, there: Collection[str]) -> Iterator[SourceError]:
    """Tables that the source names and that are not among those of the database (`schema.table`)."""
    for named in filter(_NAME.fullmatch, patterns(config, "table.include.list")):
        if named.lower() not in (name.lower() for name in there):
            near = get_close_matches(named, there, n=1)
            yield SourceError(
                f"{database} has no table {named}",
                where="config.table.include.list",
                mend=f"did you mean {near[0]}?" if near else "correct it, or create the table first",
            )


def columns_lack(declared: Mapping[str, Sequence[str]], there: Mapping[str, Collection[str]]) -> Iterator[SourceError]:
    """Columns that the project declares and that a captured table does not have: they would only ever be null."""
    for table, columns in there.items():
        for column in declared.get(table, ()):
            if column not in columns:
                near = get_close_matches(column, columns, n=1)
                yield SourceError(
                    f"{table} has no column {column}, which sources.yml declares",
                    mend=f"did you mean {near[0]}?" if near else "take it out of sources.yml, or add it to the table",
                )
