"""What plain dbt needs of ringup: a plugin of dbt-duckdb, which folds the lake before models are built.

`profiles.yml` names it. The macro `fold`, which dbt runs first, calls it with the sources that the project declares.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from dbt.adapters.events.logging import AdapterLogger
from dbt_common.exceptions import DbtRuntimeError

from ringup.config import FILE_NAME, Config, load_config
from ringup.errors import RingupError
from transforms.dbt.tables import read_tables
from transforms.fold import fold
from transforms.fold_views import show
from transforms.lake import Lake
from transforms.lake_cut import Cut, Origin, noted

log = AdapterLogger("ringup")

CUT = "RINGUP_CUT"
"""Names the folder whose `committed.json` says up to where the lake is folded, if that is not the lake's own."""

PROJECT = "RINGUP_PROJECT"
"""Names the folder of the ringup.yml that is meant, if that is not beside the dbt project."""

FOLDING = frozenset({"build", "run", "seed", "snapshot"})
"""Commands of dbt before which the lake is folded: others, `dbt test` say, look at what was built."""

_NOTHING = Origin("", "", whole=False), Cut({}, {})


class Plugin(BasePlugin):
    """Folds the lake into the file that dbt works on. `sample` is the share of customers that models are to see."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Check what profiles.yml says beside the module's name."""
        share = plugin_config.get("sample", 1)
        if set(plugin_config) - {"sample"} or not isinstance(share, int | float) or not 0 < share <= 1:
            raise DbtRuntimeError(
                f"profiles.yml: plugins: config {plugin_config}: nothing but a `sample` above 0 and up to 1 is known."
            )
        self._sample = float(share)

    def update_connection_config(self, creds: Any, config: dict[str, Any]) -> None:
        """Before the file is opened: refuse the one that ringup itself keeps."""
        if Path(creds.path).name == "live.duckdb":
            raise DbtRuntimeError(
                "live.duckdb is what ringup run keeps; dbt would overwrite it. Set RINGUP_DUCKDB to a file of your own."
            )

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Remember the file's connection."""
        self._con = conn

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Times are UTC, as in the live run."""
        cursor.execute("set timezone = 'UTC'")

    def store(self, target_config: TargetConfig) -> None:
        """Called by the macro `fold`."""
        asked = target_config.config
        try:
            self._fold(asked["sources"], Path.cwd(), folding=asked["command"] in FOLDING)
        except RingupError as error:
            raise DbtRuntimeError(f"{error}\n{error.mend}") from error

    def _fold(self, sources: Mapping[str, Any], folder: Path, *, folding: bool) -> None:
        tables = tuple(read_tables(folder, {"sources": sources}, set(), catalog=target_of(sources)))
        lake_folder = _lake_of(folder)
        origin, cut = _upto(lake_folder)
        with closing(self._con.cursor()) as con, closing(Lake(lake_folder or folder, tables)) as lake:
            con.execute("set timezone = 'UTC'")
            done = fold(con, tables, lake, origin, cut if folding else Cut({}, cut.topics))
            for name in show(con, tables, self._sample):
                log.warning(f"{name} is a table with rows of its own in this file, and is left as it is")
        if folding:
            log.info(f"records of the lake that were folded: {done.records:,}, from {done.files:,} files")


def target_of(sources: Mapping[str, Any]) -> str:
    """The catalog that dbt gives sources: that of its file."""
    return next((node["database"] for node in sources.values()), "")


def _lake_of(folder: Path) -> Path | None:
    """The lake of the project that a dbt project belongs to; None where there is none."""
    config = _config_above(folder)
    return config.lake_folder if config is not None else None


def _config_above(folder: Path) -> Config | None:
    if named := os.environ.get(PROJECT):
        return load_config(Path(named), os.environ, channels=False)
    for above in folder.parents:
        if (above / FILE_NAME).is_file():
            config = load_config(above, os.environ, channels=False)
            return config if config.dbt_folder == folder else None
    return None


def _upto(lake: Path | None) -> tuple[Origin, Cut]:
    """What the lake is filled from, and the commit that it is to be folded up to."""
    if lake is None:
        return _NOTHING
    named = os.environ.get(CUT)
    return noted(Path(named) if named else lake) or _NOTHING
