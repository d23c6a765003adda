"""The files of the lake: their names, which of them count, and how one is put in its place.

A name says which offsets of a partition a file covers, so a listing is all the bookkeeping there is.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

from connectors.log import Partition
from ringup.errors import LakeError

TEMPORARY = ".tmp"
"""How the name of a file ends that is being written."""

_NAME = re.compile(r"(0|[1-9]\d*)-(\d{20})-(\d{20})\.parquet", re.ASCII)


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A file and what it covers: the offsets `first` to `last` of a partition, all of one date."""

    topic: str
    partition: int
    first: int
    last: int
    date: dt.date
    path: Path

    @classmethod
    def of(cls, folder: Path, partition: Partition, first: int, last: int, day: dt.date) -> LakeFile:
        """The file that covers these offsets in the lake at `folder`."""
        topic, number = partition
        name = f"{number}-{first:020}-{last:020}.parquet"
        return cls(topic, number, first, last, day, _topic_folder(folder, topic) / f"date={day.isoformat()}" / name)

    @classmethod
    def parse(cls, path: Path) -> LakeFile | None:
        """The file at a path, by its name and those of the two folders above; None for what is no file of a lake."""
        *_, topic, day, name = ("", "", *path.parts)
        found = _NAME.fullmatch(name)
        if found is None or not topic.startswith("topic=") or not day.startswith("date="):
            return None
        partition, first, last = (int(part) for part in found.groups())
        try:
            when = dt.date.fromisoformat(day.removeprefix("date="))
        except ValueError:
            return None
        file = cls.of(path.parents[2], (unquote(topic.removeprefix("topic=")), partition), first, last, when)
        return file if first <= last and file.path == path else None

    @property
    def of_partition(self) -> Partition:
        """The partition that it is of."""
        return self.topic, self.partition

    @property
    def name(self) -> str:
        """Its place in the lake."""
        return "/".join(self.path.parts[-3:])


def _topic_folder(folder: Path, topic: str) -> Path:
    return folder / f"topic={quote(topic, safe='')}"


def listed(folder: Path, topic: str | None = None) -> list[LakeFile]:
    """All files of the lake at `folder`, ordered by topic, partition and first offset; of equal ones the longest first.

    A file may come while others are listed, and another before it be missed; so where one seems to be missing, the
    listing is made again.
    """
    found: list[LakeFile] = []
    for _ in range(2):
        found = sorted(_scanned(folder, topic), key=lambda f: (f.topic, f.partition, f.first, -f.last, f.date))
        if not any(True for _ in breaks(live(found))):
            break
    return found


def _scanned(folder: Path, topic: str | None) -> Iterator[LakeFile]:
    with told(folder):
        topics = _inside(folder, "topic=") if topic is None else [_topic_folder(folder, topic)]
        for days in (_inside(one, "date=") for one in topics):
            for day in days:
                yield from (file for path in _inside(day, "") if (file := LakeFile.parse(path)))


def _inside(folder: Path, begins: str) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [folder / entry.name for entry in entries if entry.name.startswith(begins)]
    except FileNotFoundError:
        return []


def split(files: Iterable[LakeFile]) -> tuple[list[LakeFile], list[tuple[LakeFile, LakeFile]]]:
    """Of files as `listed`: those that count, and those that are retired, each with the one that replaces it."""
    count, retired = [], []
    widest: dict[tuple[str, int, dt.date], LakeFile] = {}
    for file in files:
        cover = widest.get((file.topic, file.partition, file.date))
        if cover is not None and cover.last >= file.last:
            retired.append((file, cover))
        else:
            count.append(file)
            widest[file.topic, file.partition, file.date] = file
    return count, retired


def live(files: Iterable[LakeFile]) -> list[LakeFile]:
    """Those that count, of files as `listed`."""
    return split(files)[0]


def breaks(files: Iterable[LakeFile]) -> Iterator[tuple[LakeFile, LakeFile]]:
    """Neighbours of one partition, of live files, between which offsets are missing or covered twice."""
    before: LakeFile | None = None
    for file in files:
        if before is not None and before.of_partition == file.of_partition and before.last + 1 != file.first:
            yield before, file
        if before is None or before.of_partition != file.of_partition or before.last < file.last:
            before = file


def leftovers(folder: Path) -> list[Path]:
    """What writers left that died while they wrote."""
    with told(folder):
        days = [day for topic in _inside(folder, "topic=") for day in _inside(topic, "date=")]
        return [path for day in days for path in _inside(day, "") if path.name.endswith(TEMPORARY)]


def put(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file and put it in its place, all of it or nothing: it is on the disk before it has its name."""
    temporary = path.with_name(path.name + TEMPORARY)
    with told(path):
        _make(path.parent)
        try:
            with temporary.open("wb") as out:
                write(out)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(path)
        except Exception:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync(path.parent)


def _make(folder: Path) -> None:
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def sync(folder: Path) -> None:
    """What was put into a folder, or taken out, survives the machine's end from here on."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the operating system refuses is told as a LakeError."""
    try:
        yield
    except OSError as error:
        what, mend = _REFUSALS.get(error.errno or 0, (f"{error.strerror or error}", "Mend what is said there."))
        raise LakeError(what, mend=mend, where=str(error.filename or path)) from error


_FULL = "the disk is full", "Free some space; what could not be written is written then, as long as the log has it."
_FORBIDDEN = (
    "the lake may not be written or read",
    "Give the user that ringup runs as the right to read and write there.",
)
_NO_FOLDER = "a file is where the lake has a folder", "Move it away, or name another folder for the lake."
_REFUSALS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,
}
