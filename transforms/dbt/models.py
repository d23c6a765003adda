"""Models of a dbt project that are kept up to date, and the scheduled ones that the live run has to do with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

from ringup.errors import ProjectError
from transforms.dbt.declared import ModelMeta, Node, Place, place_of, read
from transforms.dbt.nodes import CLOCK, SWEPT, Model
from transforms.dbt.tables import column_of

CLOCK_SQL, SWEPT_SQL = '"ringup"."clock"', '"ringup"."swept"'


class Models:
    """The continuous models of a manifest and what they need; and the scheduled segments and triggers."""

    def __init__(self, folder: Path, made: Node) -> None:
        self._folder = folder
        self._nodes: dict[str, Node] = {**made["nodes"], **made["sources"]}
        self._metas = {
            name: read(ModelMeta, node["config"]["meta"], place_of(folder, node))
            for name, node in made["nodes"].items()
            if node["resource_type"] == "model"
        }

    def all(self) -> tuple[Model, ...]:
        """The models, each after what it reads."""
        wanted = [
            name
            for name, meta in sorted(self._metas.items())
            if (meta.continuous and self._nodes[name]["config"]["materialized"] != "ephemeral")
            or (self._is_scheduled(name) and meta.kind in ("segment", "trigger"))
        ]
        graph: dict[str, tuple[str, ...]] = {}
        while wanted:
            name = wanted.pop()
            if name not in graph:
                graph[name] = () if self._is_scheduled(name) else tuple(self._below(self._nodes[name]))
                wanted += [below for below in graph[name] if self._nodes[below]["resource_type"] == "model"]
        models: dict[str, Model] = {}
        for name in TopologicalSorter(graph).static_order():
            if name in graph:
                scheduled = self._is_scheduled(name)
                models[name] = self._published(name) if scheduled else self._model(name, graph[name], models)
                self._check_name(models[name], models)
        return tuple(models.values())

    def _check_name(self, model: Model, models: Mapping[str, Model]) -> None:
        """Messages speak of a model by its name alone."""
        for other in models.values():
            if other.name == model.name and other is not model:
                raise ProjectError(
                    f"{model.relation} and {other.relation} have the same name",
                    where=model.path,
                    mend="Give one of them another `alias`.",
                )

    def _below(self, node: Node) -> Iterator[str]:
        """What a model reads, with ephemeral models replaced by what those read."""
        for name in sorted(node["depends_on"]["nodes"]):
            below = self._nodes[name]
            how = below["config"].get("materialized")
            if how == "ephemeral":
                yield from self._below(below)
            elif below["resource_type"] in ("source", "model"):
                yield name
            else:
                raise ProjectError(
                    f"{node['name']} is kept up to date but reads {below['name']}, a {below['resource_type']}",
                    where=str(place_of(self._folder, node).within(below["name"])),
                    mend=f"Make a scheduled model of {below['name']} (`select * from ...`), and read that.",
                )

    def _is_scheduled(self, name: str) -> bool:
        """Whether its rows come from what scheduled runs publish."""
        how = self._nodes[name]["config"].get("materialized")
        return name in self._metas and not self._metas[name].continuous and how in ("table", "incremental")

    def _published(self, name: str) -> Model:
        """A scheduled model: what it says is known when it was published, so its columns have to be declared."""
        node, meta, place = self._nodes[name], self._metas[name], place_of(self._folder, self._nodes[name])
        declared = Place(self._folder, node["patch_path"].partition("://")[2]) if node["patch_path"] else place
        columns = tuple(column_of(column, declared.within(node["name"])) for column in node["columns"].values())
        if not columns:
            raise ProjectError(
                f"the live run needs the columns of {node['name']}, a scheduled model, and they are not declared",
                where=str(place),
                mend="Declare them in a .yml file: `columns: [{name: profile_id, data_type: bigint}, ...]`.",
            )
        kind = meta.kind or "mart"
        return Model(
            node["alias"], node["schema"], "", "table", kind, (), None, frozenset(), place.path, columns, scheduled=True
        )

    def _model(self, name: str, below: Iterable[str], models: Mapping[str, Model]) -> Model:
        node, meta, place = self._nodes[name], self._metas[name], place_of(self._folder, self._nodes[name])
        how = node["config"]["materialized"]
        if how not in ("view", "table", "incremental") or node["language"] != "sql" or node["database"] != "scope":
            raise ProjectError(
                f"{name} ({node['language']}, {how}) cannot be kept up to date",
                where=str(place),
                mend="Make it a SQL model that is a view or a table, without `database`.",
            )
        kind = meta.kind or ("staging" if how == "view" else "mart")
        table = how != "view" or kind in ("segment", "trigger")
        views = [models[b] for b in below if b in models and models[b].materialized == "view"]
        sql = node["compiled_code"].strip().rstrip(";")
        if meta.sweep:
            sql = sql.replace(CLOCK_SQL, SWEPT_SQL)
        clocks = frozenset(name for name, read in ((CLOCK, CLOCK_SQL), (SWEPT, SWEPT_SQL)) if read in sql)
        clocks = clocks.union(*(view.clocks for view in views))
        sweep = min(filter(None, [meta.sweep, *(view.sweep for view in views)]), default=None)
        return Model(
            node["alias"],
            node["schema"],
            sql,
            "table" if table else "view",
            kind,
            tuple(f"{n['schema']}.{n.get('alias') or n['identifier']}" for n in map(self._nodes.__getitem__, below)),
            sweep,
            clocks,
            place.path,
        )
