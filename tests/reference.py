"""The reference project as tests read it, and what is refused of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ringup.errors import ProjectError
from transforms.dbt.manifest import manifest
from transforms.project import Model, Project

REFERENCE = Path(__file__).parents[1] / "dbt_project"


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference project, compiled once."""

    project: Project
    state: Path

    @property
    def made(self) -> dict[str, Any]:
        """A manifest of its own for each test."""
        return copy.deepcopy(manifest(REFERENCE, self.state)[0])

    def model(self, name: str) -> Model:
        """A model by name."""
        return next(model for model in self.project.models if model.name == name)


def refused(read: Callable[[], object]) -> ProjectError:
    """The error that reading gives."""
    with pytest.raises(ProjectError) as caught:
        read()
    return caught.value
