"""`ringup connectors discover`: a database that nobody has described becomes files of the project."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from connectors.catalog import Catalog, CatalogTable, Needs
from connectors.databases import KINDS, POSTGRES, Database, database_of
from connectors.discovery import Left, check_name, chosen, connector, connector_json, sources_yaml
from connectors.included import includes
from connectors.lacking import together
from connectors.proposals import Identities, identities, names_of, unanswered
from connectors.sources import Source, load_sources, refuse_without_kafka, resolve, variables
from ringup.checked import ConfigFile, nearest
from ringup.config import Config, load_config
from ringup.errors import ConfigError, SourceError
from transforms.dbt.tables import is_taken


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found in a database, and the files (by path) that describe it.

    `excluded` are tables that the source's file does not include, `lacking` is what the project needs besides them.
    `there` are those of the files that exist and stay as they are; `undeclared` are tables that such a file lacks,
    `uncopied` the columns (with their types) that a table has and its declaration does not, which may be meant so.
    """

    source: Source
    tables: Catalog
    identities: Identities
    left: tuple[Left, ...]
    excluded: tuple[str, ...]
    needs: Needs
    lacking: tuple[ConfigError, ...]
    files: Mapping[Path, str]
    there: tuple[Path, ...]
    undeclared: tuple[str, ...]
    uncopied: Mapping[str, Mapping[str, str]]
    on_kafka: bool

    @property
    def complete(self) -> bool:
        """Whether a run can begin: nothing is left that a person has to do."""
        return not (self.needs.lacking or self.lacking or self.undeclared)


def discover(project: Path, name: str, tables: Sequence[str], kind: str | None = None) -> Discovery:
    """Look into the database of the source `name`, without changing anything, in it or here.

    Its login is that of the source's file, or in environment variables named after it; what kind of database it is
    (one of KINDS), its file says, or `kind`. Raises ConfigError for what is not set or not named rightly, SourceError
    for a database that cannot be asked.
    """
    config = load_config(project, os.environ, channels=False)
    check_name(name)
    described = _described(config, name)
    database = _kind(described, kind)
    source = described or _fresh(config, name, database, [])
    _need_variables(source)
    login = resolve(source, os.environ)
    everything = database.catalog(login)
    if tables and not everything:
        user = login["database.user"]
        raise SourceError(f"{name} has no table yet that {user} may see", mend="Create one first; then discover it.")
    declared, profiles, identifiers = _declared(config, name)
    wanted, excluded = _wanted(everything, source, tables)
    taken, left = chosen(wanted, is_taken, frozenset(declared))
    if not taken and left:
        raise SourceError(
            f"{name} has no table that can be captured; " + "; ".join(f"{found.what}: {found.why}" for found in left),
            mend=left[0].mend,
        )
    if not taken:
        raise together(database.examine(login).lacking)
    if described is None:
        source = _fresh(config, name, database, [str(table) for table in taken])
    needs = database.examine(resolve(source, os.environ))
    found = identities(taken, profiles_elsewhere=profiles, declared=identifiers)
    files: dict[Path, str] = {}
    if described is None:
        files[_json_path(config, name)] = connector_json(name, database, [str(table) for table in taken])
    names = names_of(taken)
    undeclared = [names[str(table)] for table in taken if names[str(table)] not in declared]
    yml = config.dbt_folder / "models" / "sources" / f"{name}.yml"
    if undeclared:
        files[yml] = sources_yaml(name, source.prefix, taken, found, frozenset(declared))
    there = tuple(path for path in files if path.exists())
    fresh = {
        str(table): found[str(table)] for table in taken if str(table) in found and names[str(table)] in undeclared
    }
    lacking = (*(() if config.kafka else _needs_kafka(source)), *_needs_identifiers(fresh, identifiers))
    missing = tuple(undeclared) if yml in there else ()
    uncopied = {str(table): _more(table, declared.get(names[str(table)])) for table in taken}
    uncopied = {table: columns for table, columns in uncopied.items() if columns}
    return Discovery(
        source,
        taken,
        found,
        tuple(left),
        excluded,
        needs,
        lacking,
        files,
        there,
        missing,
        uncopied,
        config.kafka is not None,
    )


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


def _fresh(config: Config, name: str, database: Database, tables: Sequence[str]) -> Source:
    """A source that the project does not have yet."""
    return Source(name, connector(name, database, tables)["config"], str(_json_path(config, name)))


def _kind(described: Source | None, kind: str | None) -> Database:
    """The kind of database that the source's file or, without one, the command line says."""
    if described is None:
        return POSTGRES if kind is None else KINDS[kind]
    if kind is not None and database_of(described.config) is not KINDS[kind]:
        raise ConfigError(
            f"this source is a {database_of(described.config).name} database, and --database says {kind}",
            where=f"{described.path}: config.connector.class",
            mend="Leave out --database, or choose another name for the new source.",
        )
    return database_of(described.config)


def _needs_kafka(source: Source) -> tuple[ConfigError, ...]:
    try:
        refuse_without_kafka([source])
    except ConfigError as error:
        return (error,)
    return ()


def _needs_identifiers(found: Identities, declared: frozenset[str]) -> Iterator[ConfigError]:
    for kind, tables in unanswered(found, declared).items():
        yield ConfigError(
            f"a table with a `profile` and the identifier `{kind}`, by which {', '.join(tables)} is to find customers",
            mend=f"Declare it there: `identity: {{profile: ..., identifiers: {{{kind}: ...}}}}`, "
            "or take it out where it was proposed.",
        )


def _json_path(config: Config, name: str) -> Path:
    return config.sources_folder / f"{name}.json"


def _need_variables(source: Source) -> None:
    """All that is missing at once, for one goes and sets them all."""
    if missing := [name for name in variables(source) if name not in os.environ]:
        raise ConfigError(
            f"the login of {source.name} is not known: {', '.join(missing)} not set",
            mend=f"export {' '.join(f'{name}=...' for name in missing)}",
        )


def _wanted(everything: Catalog, source: Source, tables: Sequence[str]) -> tuple[Catalog, tuple[str, ...]]:
    """The tables that were named (`shop.*` names all of `shop`), or all; and those of them that the source excludes."""
    included = [table for table in everything if includes(source.config, table.schema, table.name)]
    named: dict[str, CatalogTable] = {}
    matched = set[str]()
    for name in tables or ["*"]:
        if tables and not any(fnmatchcase(str(table), name) for table in everything):
            raise SourceError(f"the database has no table {name}", mend=nearest(name, list(map(str, everything))))
        found = {str(table): table for table in included if fnmatchcase(str(table), name)}
        if tables and not found:
            raise SourceError(f"{source.path} leaves out {name}", mend="Add it to table.include.list there.")
        named |= found
        matched |= {str(table) for table in everything if fnmatchcase(str(table), name)}
    return tuple(named.values()), tuple(sorted(matched - named.keys()))


def _more(table: CatalogTable, declared: frozenset[str] | None) -> dict[str, str]:
    """The columns of a declared table that its declaration lacks, with their types."""
    if declared is None:
        return {}
    return {column.name: column.data_type or "" for column in table.columns if column.name not in declared}


def _declared(config: Config, source: str) -> tuple[dict[str, frozenset[str]], bool, frozenset[str]]:
    """What the dbt project declares already: the source's tables with their columns, whether another has the customers,
    and how those are found: their identifiers.
    """
    tables, profiles, identifiers = dict[str, frozenset[str]](), False, set[str]()
    for path in sorted((config.dbt_folder / "models").rglob("*.y*ml")):
        for block in ConfigFile.read(path).data.get("sources") or ():
            for table in block.get("tables") or ():
                meta = (table.get("config") or {}).get("meta") or table.get("meta") or {}
                identity = meta.get("identity") or {}
                if block.get("name") == source:
                    columns = frozenset(column.get("name") for column in table.get("columns") or ())
                    tables[table.get("identifier") or table.get("name")] = columns
                if identity.get("profile"):
                    profiles = profiles or block.get("name") != source
                    identifiers |= set(identity.get("identifiers") or ())
    return tables, profiles, frozenset(identifiers)
