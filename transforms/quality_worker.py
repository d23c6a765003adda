"""The process that checks: `python -m transforms.quality_worker`, JSON in and JSON out. See transforms/quality.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson

from ringup.checked import nearest
from transforms.quality_gx import Asker
from transforms.quality_report import Failure, ModelReport, ModelStats, Report
from transforms.quality_rules import OWN, Asked
from transforms.quality_stats import columns_of, find, frame, stats
from transforms.quality_suites import Expectation, Suite


def main() -> None:
    """Check what standard input says; the report goes to standard output, and nothing else does."""
    said = orjson.loads(sys.stdin.buffer.read())
    with redirect_stdout(sys.stderr):
        try:
            answer: dict[str, object] = {"report": asdict(_checked(said))}
        except duckdb.Error as error:
            answer = {"unreadable": str(error)}
    sys.stdout.buffer.write(orjson.dumps(answer))


def _checked(said: Mapping[str, Any]) -> Report:
    now = datetime.fromisoformat(said["now"])
    history = [ModelStats.read(one) for one in said["history"]]
    asker = Asker(now, Path(said["docs"]) if said["docs"] else None)
    with duckdb.connect(said["database"], read_only=True) as con:
        con.execute("set timezone = 'UTC'")
        suites = [Suite.read(one) for one in said["suites"]]
        reports = tuple(
            _model(con, asker, suite, [one for one in history if one.model == suite.model], now) for suite in suites
        )
    asker.write_docs()
    return Report(reports)


def _model(
    con: duckdb.DuckDBPyConnection, asker: Asker, suite: Suite, history: Sequence[ModelStats], now: datetime
) -> ModelReport:
    relation = find(con, suite.model)
    if relation is None:
        seen = "there is none of that name, or more than one"
        return ModelReport(suite.model, (Failure("", "critical", f"a model {suite.model}", seen),), None)
    kinds = columns_of(con, relation)
    failures, asked, names = [], [], set(kinds) & {"profile_id"}
    for one in suite.expectations:
        what = _asked(one, history, now)
        if what is None:
            continue
        needed = _columns(what.kwargs)
        if missing := sorted(needed - kinds.keys()) if what.type != "expect_column_to_exist" else []:
            seen = f"there is no column `{missing[0]}`. {nearest(missing[0], kinds)}"
            failures.append(Failure(one.type, one.severity, what.expected, seen))
            continue
        names |= set(kinds) if "table_column" in what.type or "row_condition" in what.kwargs else needed & kinds.keys()
        asked.append((one, what))
    if asked:
        failures += asker.ask(suite.model, frame(con, relation, names or list(kinds)[:1]), asked)
    return ModelReport(suite.model, tuple(failures), stats(con, suite.model, relation, now))


def _asked(one: Expectation, history: Sequence[ModelStats], now: datetime) -> Asked | None:
    if own := OWN.get(one.type):
        what = own.model_validate(one.kwargs).asked(history, now)
        return what and Asked(what.type, what.kwargs, one.description or what.expected)
    about = ", ".join(f"{name} {value}" for name, value in one.kwargs.items())
    said = one.type.removeprefix("expect_").replace("_", " ")
    return Asked(one.type, one.kwargs, one.description or (f"{said} ({about})" if about else said))


def _columns(kwargs: Mapping[str, Any]) -> set[str]:
    named = {str(kwargs[name]) for name in ("column", "column_A", "column_B") if name in kwargs}
    return named | set(map(str, kwargs.get("column_list") or ()))


if __name__ == "__main__":
    main()
