"""What the integration tests share: a project made by `ringup init`, compiled once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ringup.config import load_config
from ringup.init import start_project
from transforms.project import load_project


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the project; what dbt made of it lies in its state folder."""
    folder = tmp_path_factory.mktemp("compiled") / "my-shop"
    start_project(folder)
    config = load_config(folder, {}, channels=False)
    load_project(config.dbt_folder, config.state_folder / "dbt")
    return folder


@pytest.fixture
def folder(compiled: Path, tmp_path: Path) -> Path:
    """A project of one's own, for which dbt need not run until it changes."""
    return Path(shutil.copytree(compiled, tmp_path / "my-shop"))
