"""The wheel has everything that a user needs, and works outside of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.house import ROOT

SCRIPT = """
import sys
from pathlib import Path
from ringup.config import load_config
from ringup.init import start_project
from ringup.reference import reference_folder
folder = reference_folder()
assert folder == Path(sys.argv[1]), folder
assert (folder / "dbt_project" / "dbt_project.yml").is_file()
sources = sorted(path.stem for path in (folder / "connectors" / "sources").glob("*.json"))
assert sources == ["crm", "pos", "west"], sources
start_project(Path(sys.argv[2]))
load_config(Path(sys.argv[2]), {}, channels=False)
"""


def test_the_wheel_works_on_its_own(tmp_path: Path) -> None:
    """Every package, SQL file, the reference project and the starter are in it, and no trace of a run."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("ringup-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    for package in ("activations", "connectors", "dbt_project", "ringup", "transforms"):
        for path in (ROOT / package).rglob("*"):
            if path.suffix in {".py", ".sql", ".yml", ".json", ".properties"} and "target" not in path.parts:
                assert str(path.relative_to(ROOT)) in names
    assert not [name for name in names if "__pycache__" in name or "/target/" in name or ".duckdb" in name]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "site"), str(tmp_path / "my-shop")],
        cwd=tmp_path / "site",
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
