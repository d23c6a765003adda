"""What dbt said of a scheduled run: which models are good, and why the others are not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from transforms.dbt.declared import Node

_GOOD = frozenset({"success", "pass", "warn", "no-op"})


@dataclass(frozen=True, slots=True)
class Built:
    """One model of a scheduled run. `why` says what is wrong with it or with what it reads; it is good without any.

    `continuous` ones are built, too, but only to be held against what the live run keeps. `built_of` is a checksum of
    all the SQL that it comes from, `reads` the names of the models that it reads.
    """

    name: str
    schema: str
    continuous: bool
    table: bool
    seconds: float
    why: tuple[str, ...]
    built_of: str
    reads: tuple[str, ...] = ()

    @property
    def relation(self) -> str:
        """`schema.name` in DuckDB."""
        return f"{self.schema}.{self.name}"


def built(target: Path) -> tuple[Built, ...]:
    """Read what `dbt build` left in its target folder; each model comes after what it reads."""
    made = json.loads((target / "manifest.json").read_bytes())
    results = {one["unique_id"]: one for one in json.loads((target / "run_results.json").read_bytes())["results"]}
    wrong: dict[str, tuple[str, ...]] = {}
    sums: dict[str, str] = {}
    found = []
    for name in _ordered(made):
        node, result = made["nodes"][name], results.get(name)
        below = [one for one in node["depends_on"]["nodes"] if one in sums]
        own = [*_complaints(node, result), *_failed_tests(name, made, results)]
        wrong[name] = tuple(own) or tuple(f"it reads {made['nodes'][one]['name']}" for one in below if wrong[one])
        sums[name] = sha256("\0".join([node["raw_code"], *(sums[one] for one in below)]).encode()).hexdigest()
        found.append(
            Built(
                node["alias"],
                node["schema"],
                node["config"]["meta"].get("refresh") == "continuous",
                node["config"]["materialized"] in ("table", "incremental"),
                float(result["execution_time"]) if result else 0.0,
                wrong[name],
                sums[name],
                tuple(made["nodes"][one]["alias"] for one in below),
            )
        )
    return tuple(found)


def with_faults(models: Iterable[Built], faults: Mapping[str, tuple[str, ...]]) -> list[Built]:
    """The models with further faults, by name; what reads a model that is not good is not good, either."""
    bad: set[str] = set()
    found = []
    for one in models:
        why = one.why + faults.get(one.name, ())
        why = why or tuple(f"it reads {name}" for name in one.reads if name in bad)
        if why:
            bad.add(one.name)
        found.append(replace(one, why=why))
    return found


def _ordered(made: Node) -> Iterator[str]:
    """The models that were to be built, each after what it reads."""
    models = {name for name, node in made["nodes"].items() if node["resource_type"] == "model"}
    done: set[str] = set()

    def after(name: str) -> Iterator[str]:
        if name not in done:
            done.add(name)
            for below in made["nodes"][name]["depends_on"]["nodes"]:
                if below in models:
                    yield from after(below)
            yield name

    for name in sorted(models):
        yield from after(name)


def _complaints(node: Node, result: Mapping[str, Any] | None) -> Iterator[str]:
    if node["config"]["materialized"] == "ephemeral":
        return
    if result is None:
        yield "it was not built"
    elif result["status"] not in (*_GOOD, "skipped"):  # where it was skipped, a test or what it reads says why
        yield _words(result)


def _failed_tests(name: str, made: Node, results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The tests of a model that failed: dbt's data tests, and its unit tests, for which nothing of it is built."""
    tests = {name: node for name, node in made["nodes"].items() if node["resource_type"] == "test"}
    for test, node in {**tests, **made["unit_tests"]}.items():
        result = results.get(test)
        of = [node["attached_node"]] if node.get("attached_node") else node["depends_on"]["nodes"]
        if result is not None and name in of and result["status"] not in (*_GOOD, "skipped"):
            yield f"{node['name']}: {_words(result)}"


def _words(result: Mapping[str, Any]) -> str:
    return " ".join(str(result["message"]).split())
