"""The reference project: the dbt project and the connectors that the demo runs and that others start from."""

from __future__ import annotations

from pathlib import Path


def reference_folder() -> Path:
    """The folder that has `dbt_project/` and `connectors/sources/`.

    In a wheel they lie inside this package, in a checkout beside it.
    """
    package = Path(__file__).parent
    packaged = package / "reference_project"
    return packaged if packaged.is_dir() else package.parent
