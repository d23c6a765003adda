"""`ringup connectors discover`: a database that nobody has described becomes files of the project."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table
from rich.text import Text

from connectors.catalog import Catalog, Needs
from connectors.databases import POSTGRES, database_of
from connectors.discovery import Left, chosen, connector, connector_json, sources_yaml, variable
from connectors.included import includes
from connectors.proposals import Identities, freshness, identities, names_of
from connectors.sources import Source, load_sources, resolve, variables
from ringup.checked import ConfigFile, nearest
from ringup.config import Config, load_config
from ringup.errors import ConfigError, SourceError
from ringup.show import console
from transforms.dbt.tables import is_taken

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found in a database, and the files (by path) that describe it.

    `there` are those of the files that exist and stay as they are; `undeclared` are tables that such a file lacks.
    """

    source: Source
    tables: Catalog
    identities: Identities
    left: tuple[Left, ...]
    needs: Needs
    files: Mapping[Path, str]
    there: tuple[Path, ...]
    undeclared: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether a run can begin: nothing is left that a person has to do."""
        return not self.needs.lacking and not self.undeclared


def discover(project: Path, name: str, tables: Sequence[str]) -> Discovery:
    """Look into the database of the source `name`, without changing anything, in it or here.

    Its login is that of the source's file, or in environment variables named after it. Raises ConfigError for what
    is not set or not named rightly, SourceError for a database that cannot be asked.
    """
    config = load_config(project, os.environ, channels=False)
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be a source's name",
            mend="Write small letters, digits and _, a letter first: the name is the schema of its tables in SQL.",
        )
    source = _described(config, name)
    fresh = source is None
    source = source or Source(name, connector(name, POSTGRES, [])["config"], str(_json_path(config, name)))
    _need_variables(source)
    database, login = database_of(source.config), resolve(source, os.environ)
    if database.catalog is None or database.examine is None:
        raise ConfigError(
            f"what a {database.name} database holds cannot be discovered yet",
            where=source.path,
            mend="Describe its tables in sources.yml by hand.",
        )
    taken, left = chosen(_wanted(database.catalog(login), source, tables), is_taken)
    if not taken:
        raise SourceError(
            f"{variable(name, 'dbname')} has no table that can be captured"
            + "".join(f"; {found.what}: {found.why}" for found in left),
            mend="create the tables first, or name another database" if not left else left[0].mend,
        )
    listed = ",".join(map(str, taken))
    needs = database.examine({**login, "table.include.list": listed} if fresh else login)
    declared, profiles = _declared(config, name)
    found = identities(taken, profiles_elsewhere=profiles)
    files: dict[Path, str] = {}
    if fresh:
        files[_json_path(config, name)] = connector_json(name, database, [str(table) for table in taken])
    names = names_of(taken)
    undeclared = [names[str(table)] for table in taken if names[str(table)] not in declared]
    yml = config.dbt_folder / "models" / "sources" / f"{name}.yml"
    if undeclared:
        files[yml] = sources_yaml(name, source.prefix, taken, found, declared)
    there = tuple(path for path in files if path.exists())
    return Discovery(source, taken, found, tuple(left), needs, files, there, tuple(undeclared) if yml in there else ())


def write(found: Discovery) -> list[Path]:
    """Write the files that are not there yet, each whole or not at all; which they were."""
    written = []
    for path, text in found.files.items():
        if path not in found.there:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as fresh:
                fresh.write(text)
            Path(fresh.name).chmod(0o644)
            Path(fresh.name).replace(path)
            written.append(path)
    return written


def _described(config: Config, name: str) -> Source | None:
    """The source of that name, where the project has one already."""
    if not any(config.sources_folder.glob("*.json")):
        return None
    sources = {source.name: source for source in load_sources(config.sources_folder)}
    if name not in sources and _json_path(config, name).exists():
        raise ConfigError(
            f"this file has a source of another name than {name}",
            where=str(_json_path(config, name)),
            mend=nearest(name, sources),
        )
    return sources.get(name)


def _json_path(config: Config, name: str) -> Path:
    return config.sources_folder / f"{name}.json"


def _need_variables(source: Source) -> None:
    """All that is missing at once, for one goes and sets them all."""
    if missing := [name for name in variables(source) if name not in os.environ]:
        raise ConfigError(
            f"the login of {source.name} is not known: {', '.join(missing)} not set",
            mend=f"export {' '.join(f'{name}=...' for name in missing)}",
        )


def _wanted(everything: Catalog, source: Source, tables: Sequence[str]) -> Catalog:
    """The tables that were named, or all that the source includes."""
    by_name = {str(table): table for table in everything}
    for name in tables:
        if name not in by_name:
            raise SourceError(f"the database has no table {name}", mend=nearest(name, by_name))
        if not includes(source.config, by_name[name].schema, by_name[name].name):
            raise SourceError(f"{source.path} leaves out {name}", mend="Add it to table.include.list there.")
    if tables:
        return tuple(by_name[name] for name in dict.fromkeys(tables))
    return tuple(table for table in everything if includes(source.config, table.schema, table.name))


def _declared(config: Config, source: str) -> tuple[frozenset[str], bool]:
    """The tables of a source that the dbt project declares already, and whether another source has the customers."""
    names, profiles = set(), False
    for path in sorted((config.dbt_folder / "models").rglob("*.y*ml")):
        for block in ConfigFile.read(path).data.get("sources") or ():
            for table in block.get("tables") or ():
                meta = (table.get("config") or {}).get("meta") or table.get("meta") or {}
                if block.get("name") == source:
                    names.add(table.get("identifier") or table.get("name"))
                else:
                    profiles = profiles or bool((meta.get("identity") or {}).get("profile"))
    return frozenset(names), profiles


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
        "lacking": [{"message": error.message, "mend": error.mend} for error in found.needs.lacking],
        "statements": list(found.needs.statements),
        "written": [str(path) for path in written],
        "undeclared": list(found.undeclared),
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
    if dry:
        for path, text in found.files.items():
            _say(f"\n# {path}" + (" is there, and would be left as it is" if path in found.there else ""))
            _say(text.rstrip())
    for path in written:
        _say(f"Wrote {path}")
    if found.undeclared:
        _say(f"{_yml(found)} is there, and lacks {', '.join(found.undeclared)}. Add these lines to its `tables`:\n")
        _say(_blocks(found))
    for error in found.needs.lacking:
        _say(f"The database needs: {error.message}.\n  {error.mend}", style="yellow")
    if found.needs.statements:
        _say("ringup prepares the database when it runs. Where its login may not, as the tables' owner:")
        _say("".join(f"  {statement};\n" for statement in found.needs.statements).rstrip())


def _yml(found: Discovery) -> Path:
    return next(path for path in found.files if path.suffix == ".yml")


def _blocks(found: Discovery) -> str:
    """The lines of the tables that are not declared yet."""
    text: str = found.files[_yml(found)]
    return text.partition("    tables:\n")[2].rstrip()


def _say(text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
