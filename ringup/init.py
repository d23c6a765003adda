"""`ringup init`: a small project to start from."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from ringup.errors import ConfigError
from ringup.reference import reference_folder

_STARTER = Path(__file__).parent / "starter"


_EXAMPLE = ("connectors/sources", "dbt_project/models", "README.md")
"""What the starter says of one shop's tables."""


def start_project(folder: Path, *, empty: bool = False) -> None:
    """Write the project into `folder`, which is made when it is not there; its name becomes the project's.

    An `empty` one has no source and no model: `ringup connectors discover` and people write them.

    Raises ConfigError, and writes nothing, when something is there already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            "something is there already", where=str(folder), mend="Name a new or an empty folder, or empty this one."
        )
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:40]
    name = name if name[:1].isalpha() else "my-shop"
    for path, text in _files():
        if empty and path.as_posix().startswith(_EXAMPLE):
            continue
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.replace("my-shop", name).replace("my_shop", name.replace("-", "_")), encoding="utf-8")


def _files() -> Iterator[tuple[Path, str]]:
    """The starter's own files, and the macros of the reference project, which every project needs."""
    for path in sorted(_STARTER.rglob("*")):
        if path.is_file():
            relative = path.relative_to(_STARTER)
            # Kept without its dot, or it would hold for this folder here.
            yield Path(".gitignore") if relative.name == "gitignore" else relative, path.read_text(encoding="utf-8")
    for path in sorted((reference_folder() / "dbt_project" / "macros").glob("*.sql")):
        yield Path("dbt_project", "macros", path.name), path.read_text(encoding="utf-8")


def next_steps(folder: Path, *, empty: bool = False) -> str:
    """What to do with a project that was just written."""
    there = shlex.quote(str(folder))
    if empty:
        return (
            f"{folder} is a project now, without sources and models.\n"
            "Next, for a database that you call shop:\n"
            "  1. Set SHOP_HOST, SHOP_PORT, SHOP_USER, SHOP_PASSWORD, SHOP_DATABASE, WEBHOOK_URL, WEBHOOK_SECRET.\n"
            f"  2. cd {there} && ringup connectors discover shop\n"
            "  3. Check `identity` in dbt_project/models/sources/shop.yml, and write segments and triggers."
        )
    return (
        f"{folder} is a project now: one source, one segment, one trigger, two messages.\n"
        "Next:\n"
        f"  1. Name your database and tables in {folder}/connectors/sources/shop.json and\n"
        f"     {folder}/dbt_project/models/sources.yml, or make the tables that {folder}/README.md shows.\n"
        "  2. Set SHOP_HOST, SHOP_PORT, SHOP_USER, SHOP_PASSWORD, SHOP_DATABASE, WEBHOOK_URL, WEBHOOK_SECRET.\n"
        f"  3. cd {there} && ringup run"
    )
