"""What tests of the project's own files share."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def variables(folder: Path) -> set[str]:
    """The environment variables that the files of a folder refer to."""
    texts = [path.read_text() for path in folder.rglob("*") if path.is_file()]
    return {name for text in texts for name in re.findall(r"\$\{env:(\w+)\}", text)}
