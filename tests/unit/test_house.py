"""Rules of the house that no other tool checks."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.house import ROOT

PACKAGES = ("connectors", "transforms", "activations", "ringup")
LONGEST = 260


def files(*patterns: str) -> list[Path]:
    """The project's own files: those that git knows or would take, without what is ignored."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


@pytest.mark.parametrize("path", files(*(f"{package}/*.py" for package in PACKAGES)), ids=lambda path: path.name)
def test_modules_are_short(path: Path) -> None:
    """A module fits into a head."""
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", files("tests/*/test_*.py"), ids=lambda path: path.name)
def test_each_test_says_what_it_shows(path: Path) -> None:
    """Every test has a docstring of one sentence or so, and its module has one too."""
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert (ast.get_docstring(node) or "").endswith("."), f"{node.name}, line {node.lineno}"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_locks_pin_by_hash_and_name_no_registry(name: str) -> None:
    """Each package has a version and a hash, and where it comes from is left to the installing machine."""
    text = (ROOT / name).read_text()
    assert not re.search(r"https?://|^--|find-links|index-url| @ ", text, re.MULTILINE)
    packages = re.findall(r"^[A-Za-z0-9_.-]+==.*", text, re.MULTILINE)
    assert len(packages) > 50
    assert all(line.endswith("\\") for line in packages)


def test_the_tools_lock_agrees_with_the_other() -> None:
    """What tests run with is what users run with."""
    pins = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)
    running = dict(pins.findall((ROOT / "requirements.lock").read_text()))
    testing = dict(pins.findall((ROOT / "requirements-dev.lock").read_text()))
    assert running.items() <= testing.items()


def test_the_locks_have_what_the_project_asks_for() -> None:
    """Nobody added a dependency without `make lock`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for lock, wanted in (
        ("requirements.lock", project["dependencies"]),
        ("requirements-dev.lock", project["dependencies"] + project["optional-dependencies"]["dev"]),
    ):
        pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / lock).read_text().replace("_", "-"), re.MULTILINE))
        names = {re.split(r"[\[<>=~! ]", name, maxsplit=1)[0].lower().replace("_", "-") for name in wanted}
        assert names <= pinned


def test_the_wheel_is_not_for_uploading() -> None:
    """Its import names are general ones, so a registry must refuse it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "Private :: Do Not Upload" in project["classifiers"]
