"""Debezium's JSON becomes typed rows: one SQL statement a table, in DuckDB, for all changes of a batch.

A value that does not fit its declared type, or cannot be read at all, is named in `_bad`; nothing is guessed.
Positions rise with the changes of a row: `_seen` is what the change carries, `_position` what is stored with the row.
They differ for a snapshot's rows, stored with 0: a transaction that was open while the snapshot was taken may commit
later with a position below the snapshot's own.

PostgreSQL's positions are LSNs. MariaDB's are the number of the transaction in its GTID (`domain-server-number`): of
several changes of a row in one transaction, the one that stands later in the topic counts. Their numbers in the
transaction would not do: a connector that died within it counts from one again. MariaDB's snapshots carry no position,
and their rows are as new as their place in the topic says: newer than all that is stored.
"""

from __future__ import annotations

import json
import re

from ringup.errors import ProjectError
from transforms.project import Column, Table
from transforms.warehouse import quoted

UNAVAILABLE = "__debezium_unavailable_value"
"""What Debezium sends for a large value that did not change, when the table's replica identity is not FULL."""

NEWEST = (1 << 63) - 1
"""Later than all positions."""

_FIRST, _LAST = "timestamp '0001-01-01'", "timestamp '9999-12-31 23:59:59.999999'"
_FLOATS = ("DOUBLE", "FLOAT", "REAL")
_SEEN = f"""case
            when change.source.lsn is not null then change.source.lsn
            when change.op = 'r' then {NEWEST}
            else try_cast(split_part(change.source.gtid, '-', 3) as bigint)
        end"""

_MICROS = "coalesce(change.source.ts_us::hugeint, change.source.ts_ms::hugeint * 1000)"
_COMMITTED = f"""case
            when {_MICROS} between epoch_us({_FIRST}) and epoch_us({_LAST}) then make_timestamptz({_MICROS}::bigint)
        end"""

TRUNCATED = "TRUNCATE is not applied"


def literal(text: str) -> str:
    """A SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _value(column: Column) -> str:
    """A value of the column's type, or null: Debezium's ISO strings of dates and times of day end in a Z.

    A list is read strictly, for a cast would make nulls of members that do not fit.
    """
    raw, kind = quoted("raw " + column.name), column.data_type
    if _is_list(column):
        return f"try(json_transform_strict({raw}, {literal(json.dumps([kind.removesuffix('[]')]))}))"
    plain = f"rtrim({raw}, 'Z')" if kind.lower() in ("date", "time") else raw
    return f"try_cast({plain} as {kind})"


def _is_list(column: Column) -> bool:
    return column.data_type.endswith("[]")


def _unfit(column: Column) -> str:
    """Whether a value did not become one of the column's type.

    Infinity is no point in time, and NaN no number; before the year 1 and after 9999 nobody can write a message. DuckDB
    would round digits that a type has no room for.
    """
    name, kind = quoted(column.name), column.data_type.upper()
    if _is_list(column):
        return f"{name} is null"
    if (digits := _scale(kind)) is not None:
        raw = quoted("raw " + column.name)
        point = f"strpos({raw}, '.')"
        perhaps = f"{point} between 1 and strlen({raw}) - {digits + 1}"  # cheap, and mostly not so
        return f"({name} is null or ({perhaps} and length(rtrim({raw}, '0')) - {point} > {digits}))"
    if kind.startswith(("DATE", "TIMESTAMP")):
        return f"({name} is null or not isfinite({name}) or not {name}::timestamp between {_FIRST} and {_LAST})"
    return f"({name} is null or not isfinite({name}))" if kind in _FLOATS else f"{name} is null"


def _scale(kind: str) -> int | None:
    """Digits after the point that a type of exact numbers has; None for others."""
    if found := re.fullmatch(r"DECIMAL\(\d+,\s*(\d+)\)", kind):
        return int(found[1])
    return 0 if kind.endswith("INT") or kind == "INTEGER" or kind == "UINTEGER" else None


def _kept(table: Table, column: Column) -> str:
    """Nothing but its key is kept of a deleted row, so nothing else of it can be wrong."""
    return "" if column.name in table.key else "_op <> 'd' and "


def decode_sql(table: Table) -> str:
    """The batch's changes of one table, typed, from the view `raw`; `_bad` says what is wrong with one.

    It looks at nothing but the change itself: whether the row is stored already is for `with_fresh` to say.
    """
    if not table.key:
        raise ProjectError(
            f"table {table.relation} has no key, so its changes cannot be told apart",
            where=table.path,
            mend="Give the table a primary key in the source, and name its columns in `config.meta.key`.",
        )
    names = [column.name for column in table.columns]
    fields = dict.fromkeys(names, "VARCHAR")
    shape = json.dumps(
        {
            "op": "VARCHAR",
            "unreadable": "VARCHAR",
            "before": fields,
            "after": fields,
            "source": {"lsn": "BIGINT", "gtid": "VARCHAR", "ts_us": "BIGINT", "ts_ms": "BIGINT"},
        }
    )
    image = ", ".join(f"row_image.{quoted(name)} as {quoted('raw ' + name)}" for name in names)
    typed = ", ".join(f"{_value(column)} as {quoted(column.name)}" for column in table.columns)
    checks = "\n".join(
        f"when {_kept(table, c)}{quoted('raw ' + c.name)} is not null and {_unfit(c)} then concat("
        f"{literal('column ' + c.name + ' cannot be ' + c.data_type + ': ')}, left({quoted('raw ' + c.name)}, 60))"
        if c.data_type.lower() not in ("varchar", "text")
        else f"when {_kept(table, c)}{quoted(c.name)} = '{UNAVAILABLE}' then "
        f"{literal('column ' + c.name + ' was left out by the source: set REPLICA IDENTITY FULL')}"
        for c in table.columns
    )
    no_key = " or ".join(f"{quoted(name)} is null" for name in table.key)
    columns = ", ".join(quoted(name) for name in names)
    return f"""
with parsed as (
    select n as _n, try(json_transform(value, {literal(shape)})) as change
    from raw
    where topic = {literal(table.topic)} and value is not null
),
imaged as (
    select
        _n,
        change.op as _op,
        change.unreadable as _unreadable,
        {_SEEN} as _seen,
        case when change.op = 'r' then 0 else _seen end as _position,
        {_COMMITTED} as _committed_at,
        case when change.op = 'd' then change.before else change.after end as row_image
    from parsed
),
raws as (select _n, _op, _unreadable, _seen, _position, _committed_at, {image} from imaged),
typed as (select *, {typed} from raws),
checked as (
    select
        *,
        case
            when _op is null then coalesce(_unreadable, 'not a change event that can be read')
            when _op = 't' then '{TRUNCATED}: delete the rows instead'
            when _op not in ('c', 'r', 'u', 'd') then concat('unknown operation ', _op)
            when _committed_at is null then 'no commit time'
            when _seen is null then 'no position in the log of the source'
            {checks}
            when {no_key} then 'the key is missing'
        end as _bad
    from typed
)
select
    _n,
    _seen,
    _position,
    _committed_at,
    _op,
    _op = 'd' as _deleted,
    _bad,
    {columns}
from checked
"""
