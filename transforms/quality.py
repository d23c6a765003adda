"""Whether models are good enough to be published: suites of expectations, checked by Great Expectations.

It knows nothing of how the models were made. A process of its own checks, as Great Expectations takes seconds and some
300 MB; what it leaves for the time being goes into a folder that is removed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from ringup.errors import ProjectError, WarehouseError
from transforms.quality_report import ModelStats, Report
from transforms.quality_suites import Suite


def check(
    database: Path, suites: Sequence[Suite], history: Sequence[ModelStats], now: datetime, docs: Path | None = None
) -> Report:
    """Check the models in the DuckDB file `database`, which is only read.

    `history` are the figures of earlier good runs, the newest last; `now` is what freshness goes by. Data Docs are
    written into `docs`. Raises WarehouseError where the file cannot be read, ProjectError where checking fails.
    """
    if not suites:
        return Report(())
    asked = {
        "database": str(database),
        "suites": [asdict(suite) for suite in suites],
        "history": [asdict(one) for one in history],
        "now": now.isoformat(),
        "docs": str(docs) if docs else None,
    }
    with TemporaryDirectory(prefix="ringup-quality-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "transforms.quality_worker"],
            input=orjson.dumps(asked),
            capture_output=True,
            env={**os.environ, "GX_ANALYTICS_ENABLED": "false", "TMPDIR": folder},
            check=False,
        )
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise ProjectError(
            f"the models could not be checked: {last}",
            where=str(database),
            mend="Look at the expectations of the dbt project that were edited last.",
        )
    answer = orjson.loads(done.stdout)
    if "unreadable" in answer:
        raise WarehouseError(
            f"the models cannot be read: {answer['unreadable']}",
            where=str(database),
            mend="Wait until nobody writes to the file, and run it again.",
        )
    return Report.read(answer["report"])
