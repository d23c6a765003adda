"""Exposures of a dbt project that activate something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

from ringup.errors import ProjectError
from transforms.dbt.declared import Activation, Node, place_of, read
from transforms.dbt.nodes import ActivationSpec, Model


def read_activations(folder: Path, made: Node, models: Iterable[Model]) -> Iterator[ActivationSpec]:
    """Each exposure with `meta.activation`, tied to its segment or trigger."""
    kept = {model.relation: model for model in models if model.kind in ("segment", "trigger")}
    for node in made["exposures"].values():
        name, meta = node["name"], node["config"]["meta"]
        if (block := meta.get("activation")) is None:
            for key in get_close_matches("activation", meta, n=1, cutoff=0.75):
                raise ProjectError(
                    f"`{key}` is not known",
                    where=str(place_of(folder, node, name, key)),
                    mend="Did you mean `activation`?",
                )
            continue
        place = place_of(folder, node, name, "activation")
        declared = read(Activation, block, place)
        below = [made["nodes"].get(n, {}) for n in node["depends_on"]["nodes"]]
        model = kept.get(f"{below[0].get('schema')}.{below[0].get('alias')}") if len(below) == 1 else None
        if model is None:
            raise ProjectError(
                f"activation {name} must depend on one segment or trigger",
                where=str(place_of(folder, node, name, "depends_on")),
                mend=f"Write `depends_on: [ref('...')]` with one of {', '.join(m.name for m in kept.values())}.",
            )
        if (model.kind == "trigger") != (declared.when == "fired"):
            words = "fired" if model.kind == "trigger" else "entered`, `when: exited` or `when: updated"
            raise ProjectError(
                f"{model.name} is a {model.kind}, which is never {declared.when}",
                where=str(place.within("when")),
                mend=f"Write `when: {words}`.",
            )
        parts = (name, model.name, declared.channel, declared.when, declared.message)
        version = sha256("\0".join(parts).encode()).hexdigest()[:16]
        yield ActivationSpec(*parts, place.path, version)
