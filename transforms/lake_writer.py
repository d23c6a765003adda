"""Fills the lake while the run goes on: a thread that reads the log once more, as it lies there.

Where the lake ends is where it reads on, so after a crash nothing has to be mended; and the pipeline waits for none of
it. What came is kept for a few seconds, so that files do not become too many and too small.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from threading import Event, Thread

import pyarrow as pa

from connectors.log import Positions
from connectors.raw import RawLog
from connectors.seldom import Seldom
from ringup.errors import LakeError, RingupError
from transforms.lake import Lake
from transforms.lake_cut import Cut, Origin, note, noted

log = logging.getLogger(__name__)

_MANY = 100_000
"""Records that are kept at most before they are written."""
_AT_ONCE = 20_000
_CUTS = 10_000
"""Commits that may wait for the lake to have them; when it is further behind, the oldest are passed over."""
_LOOK = 0.2
_PAUSE = 1.0
"""Seconds that are let pass where little comes: each look takes a little of the pipeline's time."""
_REST = 3.0
"""Seconds that the end of a run waits for what the state has and the lake has not."""
_AGAIN = 2.0
"""Seconds after which a file that could not be written is tried again."""


class LakeWriter:
    """The lake's own reader of a log. `told` hears how far the lake is, so that the log keeps what is beyond."""

    def __init__(
        self, lake: Lake, raw: RawLog, origin: Origin, every: timedelta, told: Callable[[Positions], None]
    ) -> None:
        """Files are written every so often, or sooner when there is much. Nothing is opened yet."""
        self._lake, self._raw, self._origin, self._told = lake, raw, origin, told
        self._every = every.total_seconds()
        self._thread = Thread(target=self._run, name="lake", daemon=True)
        self._stop, self._seldom = Event(), Seldom(log)
        self._kept: list[pa.Table] = []
        self._upto: dict[tuple[str, int], int] = {}
        self._since: float | None = None
        self._committed = deque[Cut](maxlen=_CUTS)
        self._failed: Exception | None = None
        self._unwritten: LakeError | None = None

    @property
    def trouble(self) -> LakeError | None:
        """Why nothing can be written now."""
        return self._unwritten

    @property
    def kept(self) -> int:
        """Records that were read and wait to be written."""
        return sum(records.num_rows for records in list(self._kept))

    def start(self) -> None:
        """Begin. Raises LogError where the lake and the log do not belong together, LakeError where it is damaged."""
        self._lake.open_for_writing()
        if noted(self._lake.folder) is None:
            note(self._lake.folder, self._origin, Cut({}, {}))
        positions = self._lake.positions()
        self._told(positions)
        begins = self._raw.seek(positions)
        self._upto = {**positions, **{place: offset - 1 for place, offset in begins.items()}}
        self._thread.start()

    def committed(self, cut: Cut) -> None:
        """Hear how far the live state is: once the lake has all of that, it can be built again from there."""
        self._committed.append(cut)

    def check(self) -> None:
        """Raise what ended it, if anything did."""
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        """Write what came, and release the lake and the log."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._raw.close()
        self._lake.close()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._turn()
            self._finish()
        except Exception as error:
            if not isinstance(error, RingupError):
                log.exception("the lake")
            self._failed = error

    def _turn(self) -> None:
        """Read on, and write where it is time to."""
        if self._unwritten is not None:
            self._stop.wait(_AGAIN)
            self._write()
            return
        came = self._read()
        if came and self.kept < _AT_ONCE:
            self._stop.wait(min(self._every, _PAUSE))
        if self.kept >= _MANY or (self._since is not None and time.monotonic() - self._since >= self._every):
            self._write()
        elif not came and not self._kept:
            self._write()
            self._compact()

    def _read(self) -> bool:
        """Take in what comes, and whether anything did."""
        came = self._raw.read(_AT_ONCE, _LOOK)
        if came is None:
            return False
        records, reached = came
        self._upto.update(reached)
        if records.num_rows:
            self._kept.append(records)
            self._since = self._since or time.monotonic()
        return True

    def _finish(self) -> None:
        """Read on to where the live state ended, so that one that is built again is the same; but not for long."""
        until = time.monotonic() + _REST
        while self._unwritten is None and self._behind() and time.monotonic() < until:
            self._read()
        self._write()

    def _behind(self) -> bool:
        return bool(self._committed) and not self._committed[-1].within(self._upto)

    def _write(self) -> None:
        """Append what came to the lake. What cannot be written is kept for the next time."""
        try:
            if self._kept:
                records = pa.concat_tables(self._kept)
                again = self._unwritten is not None
                self._lake.append(_beyond(records, self._lake.positions()) if again else records, self._upto)
            self._note()
        except LakeError as error:
            self._unwritten = error
            self._seldom.warn("unwritten", "%s. %s", error, error.mend)
            return
        if self._kept:
            self._told(self._lake.positions())
        self._kept, self._since, self._unwritten = [], None, None

    def _note(self) -> None:
        """Note the newest state all of which is in the lake."""
        found = None
        while self._committed and self._committed[0].within(self._upto):
            found = self._committed.popleft()
        if found is not None:
            note(self._lake.folder, self._origin, found)

    def _compact(self) -> None:
        """In a quiet moment: make one file of several small ones."""
        try:
            self._lake.compact()
        except LakeError as error:
            self._seldom.warn("compaction", "%s. %s", error, error.mend)


def _beyond(records: pa.Table, positions: Positions) -> pa.Table:
    """The records that are not in the lake yet: of several partitions, some were written before one could not be."""
    columns = (records.column(name).to_pylist() for name in ("topic", "partition", "offset"))
    fresh = [offset > positions.get((topic, number), -1) for topic, number, offset in zip(*columns, strict=True)]
    return records if all(fresh) else records.filter(pa.array(fresh))
