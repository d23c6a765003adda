"""Questions to the committed state, asked beside the loop or when nothing runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import duckdb

from activations.messages import instant
from activations.outbox import counts, messages
from connectors.log import nested
from ringup.errors import WarehouseError
from transforms.audit import copy_kept
from transforms.project import Project
from transforms.prove import ProofReport, prove
from transforms.scope import kept_name

REASONS = 10
"""Reasons that are told of why changes were set aside: the newest."""


class Questions:
    """Answers from a connection of its own; one question at a time.

    `outdated` names the models whose SQL changed since their rows were computed, which happens when nothing runs;
    the other models of the project are all in the state.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, project: Project, outdated: Sequence[str] = ()) -> None:
        self._con, self._project, self._outdated = con, project, list(outdated)
        self._lock = threading.Lock()

    def counts(self) -> dict[str, Any]:
        """How many messages there are, by fate, how many changes are quarantined, and the rows of each model."""
        with self._lock:
            quarantined = self._con.execute("select count(*) from live.ringup.quarantine").fetchall()[0][0]
            profiles = {
                model.name: self._con.execute(f"select count(*) from {kept_name(model)}").fetchall()[0][0]
                for model in self._project.models
                if model.materialized != "view"
            }
            aside = self._con.execute(
                "select topic, reason, count(*), max(quarantined_at) as last_at, arg_max(key, quarantined_at) "
                f"from live.ringup.quarantine group by topic, reason order by last_at desc limit {REASONS}"
            ).fetchall()
            return {
                "quarantine": quarantined,
                "reasons": [
                    {"topic": topic, "reason": reason, "changes": count, "last_at": instant(last_at), "key": key}
                    for topic, reason, count, last_at, key in aside
                ],
                "outdated": self._outdated,
                "outbox": counts(self._con),
                "rows": profiles,
            }

    def profile(self, profile_id: int) -> dict[str, Any] | None:
        """The profile's rows in marts and segments and its last messages.

        None when nothing knows it: no model, triggers included, and no message.
        """
        with self._lock:
            models: dict[str, Any] = {"marts": {}, "segments": {}}
            for model in self._project.models:
                if model.kind not in ("mart", "segment") or model.materialized == "view" or not model.of_customers:
                    continue
                result = self._con.execute(f"from {kept_name(model)} where profile_id = ? limit 100", [profile_id])
                names = [column[0] for column in result.description]
                rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
                if rows:
                    models[f"{model.kind}s"][model.name] = rows[0] if len(rows) == 1 else rows
            sent = messages(self._con, profile_id)
            if not (models["marts"] or models["segments"] or sent or self._fired(profile_id)):
                return None
            return {"profile_id": profile_id, **models, "outdated": self._outdated, "messages": sent}

    def _fired(self, profile_id: int) -> bool:
        """Whether a trigger knows the profile."""
        triggers = (kept_name(model) for model in self._project.models if model.kind == "trigger")
        return any(
            self._con.execute(f"from {name} where profile_id = ? limit 1", [profile_id]).fetchall() for name in triggers
        )

    def prove(self) -> ProofReport:
        """Compare both clocks at the last committed batch. Raises WarehouseError before the models were computed."""
        with self._lock:
            self._check_ready()
            return prove(self._con, self._project)

    def copy(self, path: str) -> dict[str, Any]:
        """Copy the rows of all models into a new DuckDB file, as they are in one commit, and say which.

        Raises WarehouseError before the models were computed.
        """
        with self._lock:
            self._check_ready()
            copied = copy_kept(self._con, self._project, Path(path))
        return {
            "batch": copied.batch,
            "as_of": copied.as_of.astimezone(UTC).isoformat(),
            "positions": nested(copied.cut.positions),
            "topics": dict(copied.cut.topics),
            "project": self._project.fingerprint,
        }

    def _check_ready(self) -> None:
        ready = self._con.execute("select count(*) from live.ringup.facts where name = 'ready'").fetchall()
        if ready == [(0,)]:
            raise WarehouseError(
                "the first snapshots are not in yet, so no model has been computed",
                mend="Ask again when `ringup status` says `live`.",
            )
