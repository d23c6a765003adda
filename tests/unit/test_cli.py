"""The command line: help that teaches, errors that say what to do, exit statuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import typer

from ringup import __version__, service
from ringup.cli import FAULT, MISTAKE, app, main
from ringup.options import DIFFERS
from tests.house import ROOT

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def ringup(monkeypatch: pytest.MonkeyPatch, *args: str | Path) -> int:
    """The exit status of a command line."""
    monkeypatch.setattr(sys, "argv", ["ringup", *map(str, args)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"version"}))
def test_help_teaches_by_example(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The help of each command says what it does and shows it in use."""
    assert ringup(monkeypatch, name, "--help") == 0
    said = capsys.readouterr().out
    assert said.count(f"ringup {name}") >= 2


def test_no_command_shows_the_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`ringup` alone lists its commands."""
    ringup(monkeypatch)
    said = capsys.readouterr()
    assert all(f" {name} " in said.out + said.err for name in COMMANDS)


def test_a_mistake_says_what_where_and_how_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A RingupError is three lines on standard error, no traceback, and exit status 3."""
    (tmp_path / "ringup.yml").write_text("project: a\nstat: x")
    assert ringup(monkeypatch, "run", "--project", tmp_path) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == ("Error: this field is not known\nWhere: ringup.yml: stat\nMend:  Did you mean `state`?\n")


def test_a_mistake_is_json_for_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json the error is one object on standard output, with the same exit status."""
    assert ringup(monkeypatch, "status", "--project", tmp_path, "--json") == 3
    said = json.loads(capsys.readouterr().out)
    assert said["error"] == "ConfigError"
    assert "ringup.yml" in said["message"]
    assert "ringup init" in said["mend"]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_fault_of_ringup_itself_is_exit_status_4(
    form: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told apart from "rows differ" and from a mistake, and its traceback is on standard error."""

    def unlucky(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("nobody thought of that")

    (tmp_path / "ringup.yml").write_text("project: a")
    monkeypatch.setattr(service, "answer", unlucky)
    assert ringup(monkeypatch, "prove", "--project", tmp_path, *form) == 4
    said = capsys.readouterr()
    assert "Traceback" in said.err
    told = json.loads(said.out)["message"] if form else said.err
    assert "an unexpected ZeroDivisionError: nobody thought of that" in told


def test_every_exit_status_is_documented() -> None:
    """docs/cli.md has a row for each."""
    text = (ROOT / "docs" / "cli.md").read_text().partition("## Exit statuses")[2]
    assert re.findall(r"^\| (\d+) \|", text, re.MULTILINE) == ["0", str(DIFFERS), "2", str(MISTAKE), str(FAULT), "130"]


@pytest.mark.parametrize(
    "args", [["prov"], ["profile"], ["profile", "Ann"], ["demo", "--bills", "-1"], ["run", "--fast"]]
)
def test_a_wrong_command_line_is_exit_status_2(
    args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command, an argument or an option that is not known or wrong is told apart from other errors."""
    assert ringup(monkeypatch, *args) == 2
    assert "Usage" in capsys.readouterr().err


def test_a_mend_names_the_project_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its commands can be typed as they stand, whatever the folder is called."""
    folder = tmp_path / "my shop"
    folder.mkdir()
    (folder / "ringup.yml").write_text("project: corner-shop")
    assert ringup(monkeypatch, "status", "-p", folder) == MISTAKE
    assert capsys.readouterr().err.splitlines()[-1] == f"Mend:  Start it: ringup run --project '{folder}'"


def test_version_names_what_it_stands_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The versions are those that are installed."""
    assert ringup(monkeypatch, "version", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["ringup"], said["duckdb"]) == (__version__, metadata.version("duckdb"))


def test_schema_prints_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The schema goes to a file as it is."""
    assert ringup(monkeypatch, "schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "ringup.yml"


def test_init_says_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After `ringup init` one knows how to run the project."""
    assert ringup(monkeypatch, "init", tmp_path / "shop") == 0
    assert re.search(r"cd .*shop && ringup run", capsys.readouterr().out)


def test_the_module_is_the_program() -> None:
    """`python -m ringup` is the same command line."""
    done = subprocess.run([sys.executable, "-m", "ringup", "version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ringup")
