"""The demo's folder: one demo at a time has it, and nothing but a demo's folder is ever emptied."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringup.errors import ConfigError, OwnedError
from ringup.local_postgres import LocalPostgres
from ringup.service import Ownership

_OWNED = "demo"
_LOOK = 0.1


@contextmanager
def owned_folder(folder: Path, fresh: bool = False, patience: float = 30.0) -> Iterator[Path]:
    """Have the folder until the end, made if it is not there; with `fresh`, everything in it is removed.

    Waits `patience` seconds for a `ringup run` that a killed demo left, and that is about to end. Raises OwnedError
    while another demo has the folder, and ConfigError when it has files in it that are no demo's, or is none.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file", mend="choose an empty or a new folder", where="--project")
    if folder.exists() and not (folder / _OWNED).exists() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} has files in it that are not the demo's",
            mend="choose an empty or a new folder",
            where="--project",
        )
    with Ownership(folder / _OWNED):
        _wait_until_free(folder, patience)
        if fresh:
            _empty(folder)
        yield folder


def _wait_until_free(folder: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            with Ownership(folder):
                return
        except OwnedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK)


def _empty(folder: Path) -> None:
    LocalPostgres(folder / "postgres").stop("immediate")  # one that a killed demo left may still be running
    for path in folder.iterdir():
        if path.name == _OWNED:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
