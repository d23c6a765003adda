"""What several commands have: options, and the exit status of a no."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DIFFERS = 1
"""Exit status: the answer is no. Rows differ, nobody has this id, a message is missing, a connector does not run."""

Project = Annotated[Path, typer.Option("--project", "-p", help="The folder that ringup.yml stands in, or that file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
