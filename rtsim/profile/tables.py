"""Quantile tables: how a distribution becomes integers that compiled code draws from, with its whole tail.

A table holds values in integer ns at 32 levels x 64 cells + 1 points of the survival probability s. Level k covers s
in (2^-(k+1), 2^-k] in 64 equal cells, so that each halving of s is resolved as well as the one before, down to 2^-32.
Entry ``64 k + c`` is the value at s = 2^-k (1 - c / 128); values grow with the index and are linear in between.

A draw takes 64 uniform bits. Their leading zeros (at most 31) give the level, the next 6 bits, inverted, the cell and
the 32 bits after those, inverted, the place in it. Survival probabilities below 2^-32 fall on level 31 again, so no
value exceeds the last entry.
"""

from __future__ import annotations

from collections.abc import Callable
from math import fsum

import numpy as np
import numpy.typing as npt

from rtsim.inputs.units import LARGEST_NS

__all__ = ["CELLS", "LEVELS", "SIZE", "SURVIVAL", "Table", "build", "mean_ns", "sample", "second_moment_ns2"]

LEVELS = 32
CELLS = 64
SIZE = LEVELS * CELLS + 1

Table = npt.NDArray[np.int64]
"""Shape (SIZE,), ns, not decreasing."""

_INDEX = np.arange(SIZE)
SURVIVAL: npt.NDArray[np.float64] = np.ldexp(1.0 - (_INDEX % CELLS) / (2 * CELLS), -(_INDEX // CELLS))
"""The survival probability of each entry, from 1 down to 2^-32; exact in binary."""


def build(quantile: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]) -> Table:
    """Return the table of a distribution given its inverse survival function in ns.

    The first entry is the distribution's minimum, or higher where the first cell's own median asks for it: otherwise
    the cell would run straight to the 0 that a lognormal or gamma reaches only in the limit.

    Raises
    ------
    ValueError
        A value is negative, not finite, or beyond 2^62 ns.
    """
    values = quantile(SURVIVAL)
    middle = quantile(np.array([1.0 - 1.0 / (4 * CELLS)]))[0]
    values[0] = max(values[0], 2 * middle - values[1])
    if not np.all(np.isfinite(values)) or values[-1] > LARGEST_NS:
        raise ValueError("expected values up to 2^62 ns (give it a max), found larger ones in the tail")
    if values[0] < 0:
        raise ValueError(f"expected no negative values, found {values[0]:.4g} ns")
    return np.maximum.accumulate(np.rint(values).astype(np.int64))


def sample(table: Table, u: int) -> int:
    """Return the value that 64 uniform bits `u` draw: the reference for the engine's compiled form."""
    level = min(64 - u.bit_length(), LEVELS - 1)
    rest = ~(u << (level + 1)) & (2**64 - 1)
    index = level * CELLS + (rest >> 58)
    fraction = rest >> 26 & (2**32 - 1)
    low, high = int(table[index]), int(table[index + 1])
    return low + ((high - low) * fraction >> 32)


def mean_ns(table: Table) -> float:
    """Return the mean of draws from `table`: within a cell they are uniform on its integers, the upper end left out."""
    low, width = _cells(table)
    return fsum(_WEIGHT * (low + (width - 1) / 2))


def second_moment_ns2(table: Table) -> float:
    """Return the mean square of draws from `table`, in ns^2."""
    low, width = _cells(table)
    return fsum(_WEIGHT * (low * low + low * (width - 1) + (width - 1) * (2 * width - 1) / 6))


_WEIGHT = np.repeat(np.ldexp(1.0, -np.minimum(np.arange(LEVELS) + 1, LEVELS - 1)), CELLS) / CELLS
"""Probability of each cell; level 31 holds what lies beyond it too."""


def _cells(table: Table) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return each cell's lowest value and how many integers it spreads over."""
    return table[:-1].astype(np.float64), np.maximum(np.diff(table), 1).astype(np.float64)
