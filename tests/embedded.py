"""What an embedded log gives when it is read."""

from __future__ import annotations

from connectors.embedded import EmbeddedLog
from connectors.log import Batch

BILLS, MEMBERS = "pos.pos.bills", "crm.crm.members"


def drain(log: EmbeddedLog, limit: int = 100) -> list[Batch]:
    """Everything that can be read now."""
    batches = []
    while (batch := log.read(limit, 0.0)) is not None:
        batches.append(batch)
    return batches


def rows_of(batches: list[Batch]) -> list[tuple[str, int]]:
    """Topic and offset of every record, in order."""
    return [(row["topic"], row["offset"]) for batch in batches for row in batch.records.to_pylist()]
