"""`ringup init` writes a project that is right from the start, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sources import load_sources, resolve
from ringup.config import load_config
from ringup.errors import ConfigError
from ringup.init import next_steps, start_project
from tests.house import variables

ENVIRON = {"WEBHOOK_URL": "https://example.com", "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}


def test_the_project_is_valid(tmp_path: Path) -> None:
    """Its settings load, and its connector lacks nothing but the variables that the README names."""
    start_project(tmp_path / "my-shop")
    config = load_config(tmp_path / "my-shop", ENVIRON)
    assert config.dbt_folder.joinpath("dbt_project.yml").is_file()
    (source,) = load_sources(config.sources_folder)
    readme = (tmp_path / "my-shop" / "README.md").read_text()
    asked = variables(tmp_path / "my-shop")
    assert asked == {name for name in asked if f"{name}=" in readme}
    assert resolve(source, dict.fromkeys(asked, "x"))["database.hostname"] == "x"


@pytest.mark.parametrize(
    ("folder", "name"), [("Corner Shop & Sons", "corner-shop-sons"), ("42", "my-shop"), ("x" * 60, "x" * 40)]
)
def test_the_folder_names_the_project(tmp_path: Path, folder: str, name: str) -> None:
    """Whatever the folder is called, the project has a name that is allowed, in all its files."""
    start_project(tmp_path / folder)
    assert load_config(tmp_path / folder, ENVIRON).project == name
    dbt = (tmp_path / folder / "dbt_project" / "dbt_project.yml").read_text()
    assert f"name: {name.replace('-', '_')}\n" in dbt


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    """A folder that is there already may be used while it is empty."""
    start_project(tmp_path)
    assert (tmp_path / ".gitignore").read_text().startswith(".ringup/")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder with anything in it is refused and left as it is; so is a file."""
    (tmp_path / "notes.txt").write_text("mine")
    for target in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ConfigError) as caught:
            start_project(target)
        assert caught.value.where == str(target)
        assert "Name a new or an empty folder" in caught.value.mend
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_next_steps_name_what_is_there(tmp_path: Path) -> None:
    """Every file and variable of the next steps exists."""
    folder = tmp_path / "my-shop"
    start_project(folder)
    steps = next_steps(folder)
    assert all(name in steps for name in variables(folder))
    for path in ("connectors/sources/shop.json", "dbt_project/models/sources.yml", "README.md"):
        assert str(folder / path) in steps
        assert (folder / path).is_file()
