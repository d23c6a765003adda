"""Both clocks compared: the whole of each continuous model against the rows that were kept change by change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from transforms.project import Project
from transforms.scope import kept_name
from transforms.warehouse import quoted

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class ModelProof:
    """One model's comparison. `examples` are differing rows: `kept` or `computed`, with their values."""

    model: str
    rows: int
    differ: int
    examples: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ProofReport:
    """The comparison of all continuous models at one position."""

    batch: int
    models: tuple[ModelProof, ...]

    @property
    def differ(self) -> int:
        """How many rows differ, over all models."""
        return sum(model.differ for model in self.models)


def prove(con: duckdb.DuckDBPyConnection, project: Project) -> ProofReport:
    """Compute the whole of each continuous model and compare it with what is kept, in one snapshot.

    `con` is a connection of its own: what is committed meanwhile is not seen, and nothing waits.
    """
    con.execute("begin")
    try:
        batch = con.execute("select coalesce(max(batch), 0) from live.ringup.commits").fetchall()[0][0]
        models = []
        for model in project.computed:
            if not model.kept:
                continue
            computed = f"(from {quoted('whole', model.schema, model.name)} where profile_id is not null)"
            models.append(compare(con, model.name, kept_name(model), computed))
        return ProofReport(int(batch), tuple(models))
    finally:
        con.execute("rollback")


def compare(con: duckdb.DuckDBPyConnection, model: str, kept: str, computed: str) -> ModelProof:
    """Hold two relations with the same columns against each other, row by row, each as often as it is there."""
    con.execute(
        "create or replace temp table differing as "
        f"(select 'computed' as side, * from (from {computed} except all from {kept})) union all "
        f"(select 'kept', * from (from {kept} except all from {computed}))"
    )
    [(rows, differ)] = con.execute(f"select (select count(*) from {kept}), (select count(*) from differing)").fetchall()
    shown = con.execute(f"from differing order by profile_id, side limit {EXAMPLES}")
    names = [column[0] for column in shown.description]
    examples = tuple(dict(zip(names, row, strict=True)) for row in shown.fetchall())
    return ModelProof(model, int(rows), int(differ), examples)
