"""What several commands have: options, how a group of them behaves, and the exit status of a no."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DIFFERS = 1
"""Exit status: the answer is no. Rows differ, nobody has this id, a message is missing, a connector does not run."""

Project = Annotated[Path, typer.Option("--project", "-p", help="The folder that ringup.yml stands in, or that file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def group(name: str, says: str, epilog: str) -> typer.Typer:
    """A group of commands: `says` is what it is for, `epilog` what to begin with."""
    return typer.Typer(
        name=name,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
        help=says,
        epilog=epilog,
    )
