"""A small shop for tests of the engine: its tables and models, and Debezium's JSON for changes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from connectors.log import RECORDS, Batch
from transforms.project import Column, Model, Project, Table

COMMITTED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def table(relation: str, columns: Mapping[str, str], key: Sequence[str], **identity: Any) -> Table:
    """A source table as sources.yml would declare it."""
    source, name = relation.split(".")
    return Table(
        source=source,
        name=name,
        topic=f"{source}.{relation}",
        columns=tuple(Column(*column) for column in columns.items()),
        key=tuple(key),
        profile=identity.get("profile"),
        identifiers=identity.get("identifiers", {}),
        via=identity.get("via"),
        path="sources.yml",
    )


TABLES = (
    table(
        "crm.members",
        {"member_id": "bigint", "loyalty_card": "varchar", "first_name": "varchar"},
        ["member_id"],
        profile="member_id",
        identifiers={"card": "loyalty_card"},
    ),
    table(
        "pos.bill_lines",
        {"bill_id": "bigint", "line_no": "integer", "amount": "decimal(12,2)"},
        ["bill_id", "line_no"],
        via=("bill_id", "bills"),
    ),
    table(
        "pos.bills",
        {"bill_id": "bigint", "loyalty_card": "varchar", "sold_at": "timestamptz", "total": "decimal(12,2)"},
        ["bill_id"],
        identifiers={"card": "loyalty_card"},
    ),
    table("pos.rates", {"rate_id": "integer", "factor": "integer"}, ["rate_id"]),
)


def model(name: str, sql: str, depends_on: Sequence[str], kind: Any = "mart", view: bool = False) -> Model:
    """A model as dbt would have compiled it."""
    schema = {"staging": "staging", "mart": "marts", "segment": "segments", "trigger": "triggers"}[kind]
    return Model(
        name=name,
        schema=schema,
        sql=sql,
        materialized="view" if view else "table",
        kind=kind,
        depends_on=tuple(depends_on),
        sweep=None,
        clocks=frozenset(),
        path=f"models/{name}.sql",
    )


MODELS = (
    model(
        "stg_bills",
        'select * from "scope"."pos"."bills" where profile_id is not null',
        ["pos.bills"],
        kind="staging",
        view=True,
    ),
    model(
        "customers",
        """
        with bills as (
            select profile_id, count(*) as visits, sum(total) as spend, max(sold_at) as last_visit_at
            from "scope"."staging"."stg_bills" group by profile_id
        ),
        lines as (
            select profile_id, sum(amount) as amount from "scope"."pos"."bill_lines"
            where profile_id is not null group by profile_id
        )
        select m.profile_id, m.first_name, coalesce(bills.visits, 0) as visits, bills.spend, lines.amount,
            (select sum(factor) from "scope"."pos"."rates") as factor
        from "scope"."crm"."members" m
        left join bills on m.profile_id = bills.profile_id
        left join lines on m.profile_id = lines.profile_id
        """,
        ["staging.stg_bills", "crm.members", "pos.bill_lines", "pos.rates"],
    ),
    model(
        "running",
        """
        select profile_id, bill_id, sum(total) over (partition by profile_id order by sold_at, bill_id) as so_far
        from "scope"."staging"."stg_bills"
        """,
        ["staging.stg_bills"],
    ),
    model(
        "spenders",
        'select profile_id, spend from "scope"."marts"."customers" where spend > 50',
        ["marts.customers"],
        kind="segment",
    ),
    model(
        "bill_printed",
        """
        select b.profile_id, cast(b.bill_id as varchar) as event_id, b.sold_at as event_at, b.total, c.visits
        from "scope"."staging"."stg_bills" b join "scope"."marts"."customers" c on b.profile_id = c.profile_id
        """,
        ["staging.stg_bills", "marts.customers"],
        kind="trigger",
    ),
)

SHOP = Project(TABLES, MODELS, (), "shop")


def change(
    op: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, lsn: int, at: datetime = COMMITTED
) -> str:
    """One change event as Debezium's JSON converter writes it without schemas."""
    micros = int(at.timestamp() * 1_000_000)
    source = {"lsn": lsn, "ts_us": micros, "ts_ms": micros // 1000}
    return json.dumps({"before": before, "after": after, "source": source, "op": op, "ts_ms": micros // 1000})


def batch(records: Sequence[tuple[str, str | None]], *, start: int = 0, snapshot: bool = False) -> Batch:
    """A batch of (topic, value); offsets count from `start`."""
    rows = [
        {"topic": topic, "partition": 0, "offset": start + n, "key": None, "value": value}
        for n, (topic, value) in enumerate(records)
    ]
    positions = {(topic, 0): start + n for n, (topic, _) in enumerate(records)}
    return Batch(pa.Table.from_pylist(rows, schema=RECORDS), positions, snapshot)
