"""The demo's folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ringup.demo.folder import owned_folder
from ringup.errors import ConfigError, OwnedError
from ringup.service import Ownership


def test_a_second_demo_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    """Two demos in one folder would stop each other's database, so the second is told who is there."""
    first, second = owned_folder(tmp_path / "demo"), owned_folder(tmp_path / "demo")
    with first, pytest.raises(OwnedError, match=str(os.getpid())), second:
        pass


def test_the_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    """A demo that ended leaves the folder and what is in it to the next one."""
    with owned_folder(tmp_path / "demo") as folder:
        (folder / "kept").write_text("kept")
    with owned_folder(tmp_path / "demo") as folder:
        assert (folder / "kept").read_text() == "kept"


def test_fresh_empties_a_demos_folder(tmp_path: Path) -> None:
    """Starting over removes what an earlier demo left, files and folders."""
    with owned_folder(tmp_path / "demo") as folder:
        (folder / "logs").mkdir()
        (folder / "logs" / "run.log").write_text("old")
        (folder / "log.db").write_text("old")
    with owned_folder(tmp_path / "demo", fresh=True) as folder:
        assert [path.name for path in folder.iterdir()] == ["demo"]


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path, fresh: bool) -> None:
    """A wrong --project never costs anybody a file."""
    (tmp_path / "ringup.yml").write_text("project: mine")
    with pytest.raises(ConfigError, match="not the demo's"), owned_folder(tmp_path, fresh=fresh):
        pass
    assert (tmp_path / "ringup.yml").read_text() == "project: mine"


def test_a_run_that_is_still_ending_is_waited_for(tmp_path: Path) -> None:
    """What a killed demo left has some seconds to end; a run that stays is named."""
    with Ownership(tmp_path / "demo" / "demo"):
        pass
    run, demo = Ownership(tmp_path / "demo"), owned_folder(tmp_path / "demo", patience=0.2)
    with run, pytest.raises(OwnedError, match=str(os.getpid())), demo:
        pass
    with owned_folder(tmp_path / "demo"):
        pass


def test_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    """It names the file and says what to do."""
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(ConfigError, match="demo is a file"), owned_folder(tmp_path / "demo"):
        pass
    assert (tmp_path / "demo").read_text() == "mine"
