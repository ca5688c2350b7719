"""Counting latencies in memory that does not grow: buckets as wide as the values need.

Values below 2048 ns have a bucket each; above, every octave [2^e, 2^(e+1)) has 1024 buckets of equal width, so a bucket
is never wider than 1/1024 of its values. Count, sum, minimum and maximum are kept exactly beside the buckets. The
engine counts in the same layout, so its arrays become a histogram as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rtsim.measure.distribution import AtLeast, Distribution

__all__ = ["BUCKETS", "EXACT_BELOW", "LogLinearHistogram", "bucket_bounds", "bucket_index"]

EXACT_BELOW = 2048
"""Values below this many ns are counted one by one."""

_FIRST_OCTAVE = 11
_PER_OCTAVE = 1024
_OCTAVES = 36

BUCKETS = EXACT_BELOW + _OCTAVES * _PER_OCTAVE
"""Number of buckets: they reach 2^47 ns (39 hours); larger values count in the last one."""

Integers = npt.NDArray[np.int64]


def bucket_index(value_ns: npt.ArrayLike) -> Integers:
    """Return the bucket of each value (same shape).

    Raises
    ------
    ValueError
        A value is negative.
    """
    value = np.asarray(value_ns, dtype=np.int64)
    if (value < 0).any():
        raise ValueError("latencies must not be negative")
    value = np.minimum(value, 2**47 - 1)
    # frexp is exact here: integers below 2^53 are exact in a double.
    exponent = np.maximum(np.frexp(value.astype(np.float64))[1].astype(np.int64) - 1, _FIRST_OCTAVE)
    above = EXACT_BELOW + (exponent - _FIRST_OCTAVE) * _PER_OCTAVE + (value >> (exponent - 10)) - _PER_OCTAVE
    return np.where(value < EXACT_BELOW, value, above)


def bucket_bounds(index: npt.ArrayLike) -> tuple[Integers, Integers]:
    """Return (lower, upper) of each bucket: it holds the values v with ``lower <= v < upper``, in ns.

    Raises
    ------
    ValueError
        There is no such bucket.
    """
    number = np.asarray(index, dtype=np.int64)
    if ((number < 0) | (number >= BUCKETS)).any():
        raise ValueError(f"buckets are numbered 0 to {BUCKETS - 1}")
    octave, step = np.divmod(np.maximum(number - EXACT_BELOW, 0), _PER_OCTAVE)
    width = np.where(number < EXACT_BELOW, 1, np.int64(2) << octave)
    lower = np.where(number < EXACT_BELOW, number, (step + _PER_OCTAVE) * width)
    return lower, lower + width


class LogLinearHistogram:
    """Counts of values in ns, with exact count, sum, minimum and maximum.

    Parameters
    ----------
    counts
        Shape (BUCKETS,), int64: the samples in each bucket; shorter arrays are filled up with zeros. Copied.
    total_ns
        Exact sum of all samples.
    min_ns, max_ns
        Exact extremes; ignored without samples.

    Examples
    --------
    >>> histogram = LogLinearHistogram.from_values([1500, 1700, 90_000])
    >>> histogram.quantile(0.5), histogram.quantile(0.99), histogram.mean_ns
    (1700, 90000, 31066.666666666668)
    """

    def __init__(
        self, counts: npt.ArrayLike = (), *, total_ns: int = 0, min_ns: int | None = None, max_ns: int | None = None
    ) -> None:
        given = np.asarray(counts, dtype=np.int64)
        if given.ndim != 1 or len(given) > BUCKETS or (given < 0).any():
            raise ValueError(f"expected at most {BUCKETS} counts, none negative")
        self.counts: Integers = np.zeros(BUCKETS, dtype=np.int64)
        self.counts[: len(given)] = given
        self.total_ns = int(total_ns)
        self.min_ns = None if self.count == 0 or min_ns is None else int(min_ns)
        self.max_ns = None if self.count == 0 or max_ns is None else int(max_ns)
        if self.count and (self.min_ns is None or self.max_ns is None):
            raise ValueError("samples need their exact minimum and maximum")

    @classmethod
    def from_values(cls, values_ns: npt.ArrayLike) -> LogLinearHistogram:
        """Count `values_ns`, any shape."""
        values = np.asarray(values_ns, dtype=np.int64).ravel()
        if len(values) == 0:
            return cls()
        counts = np.bincount(bucket_index(values))
        total = sum(int(part.sum()) for part in np.array_split(values, len(values) // 2**15 + 1))  # exact beyond 2^63
        return cls(counts, total_ns=total, min_ns=int(values.min()), max_ns=int(values.max()))

    @classmethod
    def from_dist(cls, dist: Mapping[str, Any]) -> LogLinearHistogram:
        """Read the result JSON's DIST back; the sum comes from the mean and is exact to the rounding of that double.

        Raises
        ------
        ValueError
            A bucket is none of this layout, or the counts do not add up.
        """
        if dist.get("censored"):
            raise ValueError("censored samples have no bucket here")
        read = Distribution.from_dist(dist)
        index = bucket_index(read.lower_ns)
        if not np.array_equal(bucket_bounds(index), (read.lower_ns, read.upper_ns)):
            raise ValueError("the histogram's buckets are not log-linear ones")
        counts = np.zeros(BUCKETS, dtype=np.int64)
        counts[index] = read.counts
        total = 0 if read.mean_ns is None else round(read.mean_ns * read.count)
        return cls(counts, total_ns=total, min_ns=read.min_ns, max_ns=read.max_ns)

    def merge(self, other: LogLinearHistogram) -> LogLinearHistogram:
        """Return the histogram of the samples of both."""
        if self.count == 0 or other.count == 0:  # most threads of a host have no samples: share, do not copy
            return other if self.count == 0 else self
        return LogLinearHistogram(
            self.counts + other.counts,
            total_ns=self.total_ns + other.total_ns,
            min_ns=min((m for m in (self.min_ns, other.min_ns) if m is not None), default=None),
            max_ns=max((m for m in (self.max_ns, other.max_ns) if m is not None), default=None),
        )

    @cached_property
    def count(self) -> int:
        """Number of samples."""
        return int(self.counts.sum())

    @property
    def mean_ns(self) -> float | None:
        """Exact mean, rounded once to a double; None without samples."""
        return self.total_ns / self.count if self.count else None

    def distribution(self) -> Distribution:
        """Return the buckets that hold samples."""
        index = np.flatnonzero(self.counts)
        lower, upper = bucket_bounds(index)
        if self.max_ns is not None:
            upper = np.where(index == BUCKETS - 1, np.maximum(upper, self.max_ns + 1), upper)
        return Distribution(lower, upper, self.counts[index], self.min_ns, self.mean_ns, self.max_ns)

    def quantile(self, q: float) -> int | None:
        """Return the smallest value v, in ns, with F(v) >= `q`, to the bucket's resolution of 1/1024, rounded up."""
        found = self.distribution().quantile(q)
        assert not isinstance(found, AtLeast)  # nothing is censored here
        return found

    def quantile_interval(self, q: float, confidence: float = 0.95) -> tuple[int | None, int | None]:
        """Return the confidence interval of a quantile: see `Distribution.quantile_interval`."""
        return self.distribution().quantile_interval(q, confidence)

    def ccdf(self) -> tuple[Integers, npt.NDArray[np.float64]]:
        """Return (value_ns, share of samples beyond it): see `Distribution.ccdf`."""
        return self.distribution().ccdf()

    def to_dist(self) -> dict[str, Any]:
        """Return the DIST of the result JSON: see `Distribution.to_dist`."""
        return self.distribution().to_dist()
