"""Whether the lake is as it must be: every file is read, and held against its name and its neighbours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.decoding import Decoder
from transforms.lake_files import LakeFile, breaks, listed, split, told
from transforms.lake_rows import EPOCH, RAW, TYPED, dates, read

UNREADABLE = (OSError, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong: with a file (`where` is its place in the lake) or a partition, in words."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def faults(folder: Path, decoder: Decoder, progress: Callable[[LakeFile], None] | None) -> Iterator[Fault]:
    """All that is wrong with the lake at `folder`."""
    with told(folder):
        for path in sorted(folder.rglob("*.parquet")):
            if LakeFile.parse(path) is None:
                yield Fault(path.relative_to(folder).as_posix(), "the lake gives no file such a name")
    count, retired = split(listed(folder))
    for before, after in breaks(count):
        topic, partition = before.of_partition
        missing = f"the offsets {before.last + 1} to {after.first - 1} are missing"
        twice = f"offsets from {after.first} on are covered twice, by {before.name} and {after.name}"
        yield Fault(f"{topic}, partition {partition}", missing if after.first > before.last else twice)
    replaced = defaultdict(list)
    for file, cover in retired:
        replaced[cover].append(file)
    for file in count:
        if progress is not None:
            progress(file)
        try:
            yield from (Fault(file.name, what) for what in _wrong(file, decoder))
            yield from (
                Fault(file.name, f"records of {other.name} are not in it") for other in _lost(file, replaced[file])
            )
        except UNREADABLE as error:
            yield Fault(file.name, f"it cannot be read: {error}")


def _wrong(file: LakeFile, decoder: Decoder) -> Iterator[str]:
    schema = pq.read_schema(file.path)
    if lacking := [field.name for field in RAW if field.name not in schema.names or schema.field(field.name) != field]:
        yield f"it lacks columns, or they are not what they must be: {', '.join(lacking)}"
        return
    if (typed := set(TYPED) & set(schema.names)) and len(typed) < len(TYPED):
        yield f"it lacks columns: {', '.join(name for name in TYPED if name not in typed)}"
    found: dict[str, None] = {}
    before = file.first - 1
    for rows in read(file):
        offsets = rows.column("_offset").to_numpy()
        days, there = dates(decoder, rows.column("_value"))
        found |= dict.fromkeys(
            what
            for what, wrong in (
                (
                    f"it has offsets outside of {file.first} to {file.last}",
                    (offsets < file.first) | (offsets > file.last),
                ),
                ("its offsets do not rise", np.diff(offsets, prepend=min(before, int(offsets[0]))) <= 0),
                ("it has records of another partition", rows.column("_partition").to_numpy() != file.partition),
                ("it has records of another date", there & (days != (file.date - EPOCH).days)),
            )
            if wrong.any()
        )
        before = int(offsets[-1])
    yield from found


def _lost(file: LakeFile, replaced: list[LakeFile]) -> Iterator[LakeFile]:
    """Files that are replaced by `file`, which does not have all of their records."""
    if replaced:
        mine = pq.read_table(file.path, columns=["_offset"], partitioning=None).column("_offset")
        for other in replaced:
            theirs = pq.read_table(other.path, columns=["_offset"], partitioning=None).column("_offset")
            if not pc.all(pc.is_in(theirs, value_set=mine)).as_py():
                yield other
