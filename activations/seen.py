"""Which deliveries may be in the outbox already: a Bloom filter, so that the answer costs the same at any size.

An unindexed outbox of a million messages would take 20 ms to search for the ids of one batch. The filter says
"certainly new" for all but one new id in ten thousand, in 3 to 6 bytes of memory an id.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BITS_PER_ID = 24
PROBES = 8
DIGITS = 32
"""Hexadecimal digits at the end of an id, which the filter goes by."""

FIRST_SIZE = 1 << 24
"""Bits of the first filter: 2 MiB, for 700,000 ids."""

_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64)


class Seen:
    """Remembers ids that end in 32 hexadecimal digits of a hash. Never forgets one; may take a new one for seen."""

    def __init__(self, first_size: int = FIRST_SIZE) -> None:
        self._filters = [_Filter(first_size)]

    def add(self, ids: Sequence[str]) -> list[str]:
        """Remember `ids`, and return those of them that may have been remembered before."""
        if not ids:
            return []
        hashes = _hashes("".join(id_[-DIGITS:] for id_ in ids))
        before = np.zeros(len(ids), np.bool_)
        for known in self._filters:
            before |= known.has(hashes)
        self._remember(hashes)
        return [id_ for id_, again in zip(ids, before, strict=True) if again]

    def load(self, digits: str) -> None:
        """Remember many ids at once, given as their digits one after the other."""
        self._remember(_hashes(digits))

    def _remember(self, hashes: npt.NDArray[np.uint64]) -> None:
        count = hashes.shape[1]
        if self._filters[-1].room < count:
            self._filters.append(_Filter(max(2 * self._filters[-1].size, _power_of_two(BITS_PER_ID * count))))
        self._filters[-1].add(hashes)


class _Filter:
    """One Bloom filter of `size` bits, a power of two. Filled up, it stays as it is and a larger one follows it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.room = size // BITS_PER_ID
        self._bytes = np.zeros(size // 8, np.uint8)

    def has(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        places = self._places(hashes)
        found: npt.NDArray[np.bool_] = (self._bytes[places >> 3] >> (places & 7).astype(np.uint8) & 1).all(axis=0)
        return found

    def add(self, hashes: npt.NDArray[np.uint64]) -> None:
        places = self._places(hashes).ravel()
        np.bitwise_or.at(self._bytes, places >> 3, np.left_shift(1, places & 7).astype(np.uint8))
        self.room -= hashes.shape[1]

    def _places(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        start, step = hashes
        probes = np.arange(PROBES, dtype=np.uint64)[:, None]
        places: npt.NDArray[np.int64] = ((start + probes * step) & np.uint64(self.size - 1)).astype(np.int64)
        return places


def _hashes(digits: str) -> npt.NDArray[np.uint64]:
    """Two independent 64-bit hashes of each id, read off its digits."""
    words = np.frombuffer(digits.encode("ascii"), np.dtype("<u8")).reshape(-1, 4)
    mixed = words * _MULTIPLIERS
    start = (mixed[:, 0] + mixed[:, 1]) >> np.uint64(24)
    step = ((mixed[:, 2] + mixed[:, 3]) >> np.uint64(24)) | np.uint64(1)
    return np.stack([start, step])


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
