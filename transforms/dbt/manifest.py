"""dbt as a child process: a project folder becomes a manifest with compiled SQL, once for each state of the folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from difflib import get_close_matches
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ringup.errors import ProjectError
from transforms.dbt.declared import Place

PROFILES = "ringup: {target: live, outputs: {live: {type: duckdb, schema: main, path: %s}}}\n"
"""dbt names a DuckDB catalog after its file: all relations of the live target are `"scope"."schema"."name"`."""

DBT = (sys.executable, "-c", "from dbt.cli.main import cli; cli()", "--no-use-colors")
"""dbt's command, whatever is in the path."""

PRODUCED = {"target", "logs"}
UNREAD = {*PRODUCED, "expectations"}
"""Folders of the project that dbt does not read."""

NOISE = re.compile(r"(\w+ )?Error|-+")
QUIET = {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}


def manifest(folder: Path, state: Path) -> tuple[dict[str, Any], str]:
    """The project's manifest and a fingerprint of what it was made of; dbt runs only when that changed.

    Nothing in the databases is read or written. Raises ProjectError in dbt's words.
    """
    if not (folder / "dbt_project.yml").is_file():
        raise ProjectError(
            "there is no dbt_project.yml here",
            where=str(folder),
            mend="Name the folder of the dbt project in `ringup.yml: dbt_project`, or make one with `ringup init`.",
        )
    work = state.resolve()
    made, noted = work / "target" / "manifest.json", work / "fingerprint"
    current = fingerprint(folder)
    try:
        if noted.read_text(encoding="utf-8") == current:
            return json.loads(made.read_bytes()), current
    except (OSError, ValueError):  # not there, or damaged: it is made again
        pass
    if not work.is_dir():
        work.unlink(missing_ok=True)
    noted.unlink(missing_ok=True)
    _compile(folder, work)
    noted.write_text(current, encoding="utf-8")
    return json.loads(made.read_bytes()), current


def fingerprint(folder: Path) -> str:
    """A hash of every file that dbt may read, and of dbt's own versions."""
    digest = sha256(f"{PROFILES} {version('dbt-core')} {version('dbt-duckdb')}".encode())
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if hidden or parts[0] in UNREAD or ".duckdb" in path.suffixes or not path.is_file():
            continue
        content = path.read_bytes()
        digest.update(f"\0{'/'.join(parts)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _compile(folder: Path, work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    (work / "profiles.yml").write_text(PROFILES % json.dumps(str(work / "scope.duckdb")), encoding="utf-8")
    options = {
        "--project-dir": folder.resolve(),
        "--profiles-dir": work,
        "--profile": "ringup",
        "--target": "live",
        "--target-path": work / "target",
        "--log-path": work / "logs",
    }
    command = [*DBT, "--log-format", "json", "--log-level", "error", "compile"]
    command += ["--select", "resource_type:model", "--no-introspect", "--no-populate-cache"]
    command += [str(part) for option in options.items() for part in option]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **QUIET}, check=False)
    if done.returncode:
        raise _explained(folder, done.stdout, done.stderr)


def _explained(folder: Path, output: str, errors: str) -> ProjectError:
    """dbt's own words, with the file and line that they speak of."""
    said = [json.loads(line)["data"].get("exc") for line in output.splitlines() if line.startswith("{")]
    words = next(filter(None, said), None) or errors.strip() or "dbt failed and did not say why"
    lines = [line.strip() for line in str(words).splitlines()]
    message = " ".join([line for line in lines if line and not NOISE.fullmatch(line)][:3])
    named = re.search(r"[\w./-]+\.(?:sql|ya?ml)\b", message)
    file = next((p for p in sorted(folder.rglob(named[0].lstrip("/"))) if p.is_file()), None) if named else None
    if file is None:
        mend = f"Correct the project; {_again(folder)} shows the same error."
        return ProjectError(message, where=str(folder), mend=mend)
    place = Place(folder, str(file.relative_to(folder)))
    line = re.search(r"\bline (\d+)", str(words))
    quoted = re.findall(r"'([\w ]+)'", message)
    where = f"{place.path}:{line[1]}" if line else str(place.within(*quoted[-1:]))
    mend = _meant(folder, message) or f"Correct the file; {_again(folder)} shows the same error."
    return ProjectError(message, where=where, mend=mend)


def _meant(folder: Path, message: str) -> str | None:
    """The mend for a `ref` to a model that is not there but for a slip of the pen."""
    wrong = re.search(r"depends on a node named '(\w+)' which was not found", message)
    models = {p.stem for p in folder.rglob("*.sql") if p.relative_to(folder).parts[0] not in PRODUCED}
    near = get_close_matches(wrong[1], models, n=1) if wrong else None
    return f"Did you mean `{near[0]}`?" if near else None


def _again(folder: Path) -> str:
    return f"`cd {folder.resolve().name} && dbt parse`"
