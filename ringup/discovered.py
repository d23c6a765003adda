"""What `ringup connectors discover` prints: what it found, what it wrote, and what is left to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table
from rich.text import Text

from connectors.proposals import freshness, names_of
from ringup.discovering import Discovery
from ringup.show import console

_NAMES = 10
"""So many tables that the source's file excludes are named."""


def shown_as_json(found: Discovery, written: Sequence[Path]) -> str:
    """All of it, for programs."""
    names = names_of(found.tables)
    tables = [
        {
            "table": str(table),
            "name": names[str(table)],
            "key": list(table.key),
            "columns": {column.name: column.data_type for column in table.columns},
            "freshness": freshness(table),
            "identity": found.identities.get(str(table)),
        }
        for table in found.tables
    ]
    answer: dict[str, Any] = {
        "source": found.source.name,
        "tables": tables,
        "left_out": [asdict(left) for left in found.left],
        "excluded": list(found.excluded),
        "lacking": [{"message": error.message, "mend": error.mend} for error in (*found.needs.lacking, *found.lacking)],
        "statements": list(found.needs.statements),
        "written": [str(path) for path in written],
        "undeclared": list(found.undeclared),
        "uncopied": {table: dict(columns) for table, columns in found.uncopied.items()},
    }
    return json.dumps(answer, indent=2, ensure_ascii=False)


def show(found: Discovery, written: Sequence[Path], *, dry: bool) -> None:
    """What was found, what was written, what is to be done next."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Table", "Key", "Columns", "Freshness", "Customer (a proposal)"):
        table.add_column(title, overflow="fold")
    for each in found.tables:
        identity = found.identities.get(str(each))
        told = yaml.safe_dump(identity, default_flow_style=True, width=10_000).strip()[1:-1] if identity else ""
        table.add_row(str(each), ", ".join(each.key), str(len(each.columns)), freshness(each) or "", Text(told))
    console.print(table)
    for left in found.left:
        _say(f"Left out: {left.what}: {left.why} ({left.mend}).")
    if found.excluded:
        more = f" and {len(found.excluded) - _NAMES} more" if len(found.excluded) > _NAMES else ""
        _say(f"{found.source.path} does not include {', '.join(found.excluded[:_NAMES])}{more}.")
    if dry:
        for path, text in found.files.items():
            _say(f"\n# {path}" + (" is there, and would be left as it is" if path in found.there else ""))
            _say(text.rstrip())
    for path in written:
        _say(f"Wrote {path}")
    if found.undeclared:
        _say(f"{_yml(found)} is there, and lacks {', '.join(found.undeclared)}. Add these lines to its `tables`:\n")
        _say(_blocks(found))
    for name, columns in found.uncopied.items():
        told = ", ".join(f"{column} ({kind})" for column, kind in columns.items())
        _say(f"Not declared in sources.yml, and so not copied: of {name} {told}.")
    for error in found.needs.lacking:
        _say(f"The database needs: {error.message}.\n  {error.mend}", style="yellow")
    for lack in found.lacking:
        _say(f"The project needs: {lack.message}.\n  {lack.mend}", style="yellow")
    if found.needs.statements:
        when = (
            "`ringup connectors apply` prepares the database"
            if found.on_kafka
            else "ringup prepares the database when it runs"
        )
        _say(f"{when}. Where its login may not, as the tables' owner:")
        _say("".join(f"  {statement};\n" for statement in found.needs.statements).rstrip())
    if found.on_kafka and found.complete and not dry:
        _say("Next: ringup connectors apply")


def _yml(found: Discovery) -> Path:
    return next(path for path in found.files if path.suffix == ".yml")


def _blocks(found: Discovery) -> str:
    """The lines of the tables that are not declared yet."""
    text: str = found.files[_yml(found)]
    return text.partition("    tables:\n")[2].rstrip()


def _say(text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
