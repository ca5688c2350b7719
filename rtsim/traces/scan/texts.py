"""Texts as numbers: each gets one when it is first met, and its bytes are kept."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtsim.traces.events import MISSING
from rtsim.traces.scan.jit import part
from rtsim.traces.scan.tables import KNOWN

__all__ = ["MOST_NAMES", "Interned", "intern", "new_interned"]

Integers = npt.NDArray[np.int64]

MOST_NAMES = 1 << 16
_NAME_BYTES = 1 << 22
_LONGEST_NAME = 200
"""Longer texts are cut: the longest the kernel prints in these events is a symbol's name."""


@dataclass(frozen=True)
class Interned:
    """Texts met so far.

    Two plain arrays, because every function here gets them: `index` holds how many texts and bytes there are, where in
    `pool` each text begins, and a hash table of the texts' numbers.
    """

    index: Integers
    pool: npt.NDArray[np.uint8]

    def texts(self, first: int) -> list[str]:
        """Return the texts from number `first` on."""
        ends = self.index[_STARTS + first : _STARTS + int(self.index[0]) + 1].tolist()
        return [self.pool[a:b].tobytes().decode("utf-8", "replace") for a, b in itertools.pairwise(ends)]


_STARTS = 2
_TABLE = _STARTS + MOST_NAMES + 1
_SLOTS = 2 * MOST_NAMES


def new_interned() -> Interned:
    """Return a table that knows the events in `KNOWN`, under their numbers there."""
    index = np.zeros(_TABLE + _SLOTS, dtype=np.int64)
    index[_TABLE:] = -1
    interned = Interned(index, np.zeros(_NAME_BYTES, dtype=np.uint8))
    for name, _ in KNOWN:
        raw = np.frombuffer(name.encode(), dtype=np.uint8)
        intern(raw, 0, len(raw), index, interned.pool)
    return interned


@part
def intern(buf: Any, start: int, end: int, index: Any, pool: Any) -> Any:
    """Return the number of the text; MISSING if there is no room for another one."""
    end = min(end, start + _LONGEST_NAME)
    hashed: Any = 2166136261
    for i in range(start, end):
        hashed = ((hashed ^ np.int64(buf[i])) * 16777619) & 0xFFFFFFFF
    slot = hashed & (_SLOTS - 1)
    while index[_TABLE + slot] >= 0:
        number = index[_TABLE + slot]
        begin = index[_STARTS + number]
        if index[_STARTS + number + 1] - begin == end - start and _same(buf, start, end, pool, begin):
            return np.int64(number)
        slot = (slot + 1) & (_SLOTS - 1)
    number, used = index[0], index[1]
    if number >= MOST_NAMES - 1 or used + end - start > _NAME_BYTES:
        return np.int64(MISSING)
    for i in range(end - start):
        pool[used + i] = buf[start + i]
    index[_TABLE + slot] = number
    index[_STARTS + number], index[_STARTS + number + 1] = used, used + end - start
    index[0], index[1] = number + 1, used + end - start
    return np.int64(number)


@part
def _same(buf: Any, start: int, end: int, pool: Any, begin: int) -> bool:
    for i in range(end - start):  # noqa: SIM110 - compiled
        if pool[begin + i] != buf[start + i]:
            return False
    return True
