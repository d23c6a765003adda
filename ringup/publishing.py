"""Looks for what scheduled runs publish, beside the live run."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ringup.errors import WarehouseError
from transforms.adoption import attached
from transforms.published import Published, published
from transforms.warehouse import Warehouse

log = logging.getLogger(__name__)

EVERY = 0.5
"""Seconds between two looks."""


class Watch:
    """Notices when something else is published than at the last look. What cannot be read is said once, and left."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._looked, self._seen = folder, 0.0, 0

    @contextmanager
    def opened(self, warehouse: Warehouse) -> Iterator[Published | None]:
        """What is published now, where that is new, as the catalog `published`; else None."""
        with ExitStack() as stack:
            try:
                found = published(self._folder) if self._changed() else None
                if found is not None:
                    stack.enter_context(attached(warehouse, found))
            except WarehouseError as error:
                log.warning("%s. %s", error, error.mend)
                found = None
            yield found

    def _changed(self) -> bool:
        if time.monotonic() - self._looked < EVERY:
            return False
        self._looked = time.monotonic()
        try:
            now = (self._folder / "published.json").stat().st_mtime_ns
        except OSError:
            return False
        changed, self._seen = now != self._seen, now
        return changed
