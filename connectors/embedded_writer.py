"""The writing end of the embedded log."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from ringup.errors import LogError

_SCHEMA = (Path(__file__).parent / "embedded.sql").read_text()
_RECORDS = "insert into records (topic, offset, key, value, at) values (?, ?, ?, ?, ?)"
_TOPICS = "insert into topics values (?, ?, ?) on conflict do update set next = excluded.next"


class EmbeddedLogWriter:
    """Appends to the log. One writer at a time: a second one waits `patience` seconds for the first to leave."""

    def __init__(self, path: Path, patience: float = 20.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = _lock(path.with_suffix(".lock"), patience)
        self._con = connect(path)
        self._con.execute("pragma wal_autocheckpoint = 4000")
        self._topics = {
            name: (topic, following)
            for topic, name, following in self._con.execute("select id, name, next from topics")
        }

    def append(
        self, records: Iterable[tuple[str, str | None, str | None]], progress: tuple[str, str] | None = None
    ) -> None:
        """Append (topic, key, value) records durably, all or none, together with (source, how far it was read).

        Raises LogError when the file cannot be written.
        """
        at = time.time_ns() // 1_000
        topics = dict(self._topics)
        rows = []
        for name, key, value in records:
            topic, offset = topics.get(name) or (len(topics), 0)
            topics[name] = (topic, offset + 1)
            rows.append((topic, offset, key, value, at))
        changed = [(place[0], name, place[1]) for name, place in topics.items() if place != self._topics.get(name)]
        try:
            with self._con:
                self._con.execute("begin immediate")
                self._con.executemany(_RECORDS, rows)
                self._con.executemany(_TOPICS, changed)
                if progress is not None:
                    self._con.execute("insert or replace into progress values (?, ?)", progress)
        except sqlite3.OperationalError as error:
            raise unwritable(self._path, error) from error
        self._topics = topics

    def progress(self, source: str) -> str | None:
        """How far a source was read, as it was given to `append`; None before that."""
        row = self._con.execute("select resume from progress where source = ?", [source]).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Release the log to the next writer."""
        self._con.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(path: Path) -> sqlite3.Connection:
    """Open the log's file, made where there is none. Every commit is on disk when it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    con = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        con.execute("pragma journal_mode = wal")
        con.execute("pragma synchronous = full")
        con.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:
        con.close()
        raise unwritable(path, error) from error
    except sqlite3.DatabaseError as error:
        con.close()
        raise unreadable(path, error) from error
    return con


def unreadable(path: Path, error: sqlite3.DatabaseError) -> LogError:
    """What to do about a log that is damaged."""
    return LogError(
        f"the log cannot be opened: {error}",
        mend="restore it from a backup, or delete the whole state folder: then the sources are read anew",
        where=str(path),
    )


def unwritable(path: Path, error: sqlite3.OperationalError) -> LogError:
    """What to do about a log that takes no more."""
    return LogError(
        f"the log cannot be written: {error}",
        mend="see that the disk of the state folder has space, and start again: nothing is lost",
        where=str(path),
    )


def _lock(path: Path, patience: float) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                os.close(handle)
                raise LogError(
                    "another capture process writes to the log",
                    mend="stop the other one, or wait until it has gone",
                    where=str(path),
                ) from error
            time.sleep(0.05)
        else:
            return handle
