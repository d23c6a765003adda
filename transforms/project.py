"""The dbt project as ringup sees it: source tables, the models to keep up to date, and what they activate."""

from __future__ import annotations

from pathlib import Path

from transforms.dbt.activations import read_activations
from transforms.dbt.derived import timer_of
from transforms.dbt.locality import check_locality
from transforms.dbt.manifest import manifest
from transforms.dbt.models import Models
from transforms.dbt.nodes import CLOCK, SWEPT, ActivationSpec, Column, Model, Project, Table
from transforms.dbt.tables import read_tables
from transforms.dbt.trial import tried

__all__ = ["CLOCK", "SWEPT", "ActivationSpec", "Column", "Model", "Project", "Table", "load_project"]


def load_project(folder: Path, state: Path) -> Project:
    """Compile the dbt project in `folder` and check it; the folder `state` keeps what dbt made until it changes.

    Raises ProjectError with file, line and mend.
    """
    made, fingerprint = manifest(folder, state)
    models = Models(folder, made).all()
    tables = tuple(read_tables(folder, made, {name for model in models for name in model.depends_on}))
    models = tuple(tried(folder, tables, models))
    check_locality(folder, tables, models)
    return Project(tables, models, tuple(read_activations(folder, made, models)), fingerprint, timer_of(models))
