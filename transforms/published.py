"""What scheduled runs published: for each scheduled model its last good version, in one DuckDB file.

A file is never changed. The next one has what is new and, of the models that did not pass, what the one before had; and
`published.json`, which names the file, is exchanged at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import duckdb
import orjson

from ringup.errors import WarehouseError
from transforms.decode import literal
from transforms.lake_files import put, sync
from transforms.project import Model
from transforms.warehouse import quoted

_NAME = "published.json"


@dataclass(frozen=True, slots=True)
class Version:
    """A model as it was published: by which run, as of when, of what SQL (a checksum), and how many rows."""

    run: str
    as_of: str
    built_of: str
    rows: int


@dataclass(frozen=True, slots=True)
class Published:
    """The file, and the version that it has of each model, by `schema.name`."""

    path: Path
    models: Mapping[str, Version]


def published(folder: Path) -> Published | None:
    """What is published now; None before anything was. Raises WarehouseError where that cannot be read."""
    path = folder / _NAME
    try:
        said = orjson.loads(path.read_bytes())
        models = {name: Version(**version) for name, version in said["models"].items()}
        return Published(folder / str(said["file"]), models)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise WarehouseError(
            f"it cannot be read: {error}", where=str(path), mend="Remove it: the next scheduled run publishes anew."
        ) from error


def misfits(computed: Path, models: Iterable[Model]) -> dict[str, tuple[str, ...]]:
    """What keeps models from being published: declared columns that are not there, or of another type."""
    found = {}
    with duckdb.connect(computed, read_only=True) as con:
        for model in models:
            rows = con.execute(
                "select column_name, data_type from duckdb_columns() where schema_name = ? and table_name = ?",
                [model.schema, model.name],
            ).fetchall()
            has = dict(rows)
            wrong = {
                column: has.get(column.name) for column in model.columns if has.get(column.name) != column.data_type
            }
            if has and wrong:
                found[model.name] = tuple(
                    f"column {column.name} is declared as {column.data_type}, and is {kind or 'not there'}"
                    for column, kind in wrong.items()
                )
    return found


def publish(folder: Path, run: str, computed: Path, good: Mapping[str, Version], known: set[str]) -> Published:
    """Publish the `good` models of a run, which are in the DuckDB file `computed`, beside what the others had.

    `known` are the models that the project still has: of others nothing is kept. Raises WarehouseError.
    """
    before = published(folder)
    kept = {name: version for name, version in (before.models if before else {}).items() if name in known - good.keys()}
    path = folder / f"{run}.duckdb"
    temporary = path.with_suffix(".tmp")
    folder.mkdir(parents=True, exist_ok=True)
    temporary.unlink(missing_ok=True)
    rows: dict[str, int] = {}
    try:
        with duckdb.connect(":memory:") as con:
            con.execute("set timezone = 'UTC'")
            con.execute(f"attach {literal(str(computed))} as computed (read_only)")
            if before is not None and kept:
                con.execute(f"attach {literal(str(before.path))} as before (read_only)")
            con.execute(f"attach {literal(str(temporary))} as made")
            con.execute("begin")
            for name in sorted(good.keys() | kept.keys()):
                schema, model = name.split(".", 1)
                source = quoted("computed" if name in good else "before", schema, model)
                con.execute(f"create schema if not exists {quoted('made', schema)}")
                con.execute(f"create table {quoted('made', schema, model)} as from {source}")
                [(rows[name],)] = con.execute(f"select count(*) from {quoted('made', schema, model)}").fetchall()
            con.execute("commit")
            con.execute("detach made")
    except duckdb.Error as error:
        temporary.unlink(missing_ok=True)
        raise WarehouseError(
            f"what was computed cannot be published: {error}",
            where=str(folder),
            mend="What was published before stays. Mend what is said there, and run it again: ringup batch",
        ) from error
    temporary.replace(path)
    sync(folder)
    versions = {**kept, **{name: replace(version, rows=rows[name]) for name, version in good.items()}}
    said = {"file": path.name, "models": {name: asdict(versions[name]) for name in sorted(versions)}}
    put(folder / _NAME, lambda out: out.write(orjson.dumps(said, option=orjson.OPT_INDENT_2)))
    _forget(folder, {path, *([before.path] if before else [])})
    return Published(path, versions)


def _forget(folder: Path, needed: set[Path]) -> None:
    """Remove the files of earlier runs; the one before stays, as somebody may read it."""
    for path in folder.glob("*.duckdb"):
        if path not in needed:
            path.unlink(missing_ok=True)
