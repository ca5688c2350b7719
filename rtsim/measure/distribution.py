"""A distribution as buckets of counts: what a run predicts and what a tool measured, in one form.

Buckets hold whole nanoseconds. A sample is known only to lie in its bucket, and a *censored* sample only to lie at or
above a limit: cyclictest counts what is beyond its histogram without saying where. Such samples keep their place in
the order, so quantiles below the limit are right and quantiles beyond it say "at least the limit" and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rtsim.measure.quantiles import QUANTILES, interval_ranks, quantile_rank

__all__ = ["AtLeast", "Distribution"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class AtLeast:
    """A value known only from below: the true one is `limit_ns` or more."""

    limit_ns: int

    def __str__(self) -> str:
        return f">= {self.limit_ns / 1000:g} us"


@dataclass(frozen=True, eq=False)
class Distribution:
    """Counts in disjoint ascending buckets of nanoseconds, and the samples beyond a limit.

    Parameters
    ----------
    lower_ns, upper_ns
        Shape (buckets,): bucket i holds the values v with ``lower_ns[i] <= v < upper_ns[i]``.
    counts
        Shape (buckets,): samples in each, all positive.
    min_ns, mean_ns, max_ns
        Exact where the source knows them, None where it does not.
    censored
        Samples of which only ``>= limit_ns`` is known.
    limit_ns
        Where the buckets end; None if no sample is censored.
    resolution_ns
        Values were rounded down to multiples of this before they were counted (1000 for cyclictest in us).
    """

    lower_ns: Integers
    upper_ns: Integers
    counts: Integers
    min_ns: int | None = None
    mean_ns: float | None = None
    max_ns: int | None = None
    censored: int = 0
    limit_ns: int | None = None
    resolution_ns: int = 1

    @classmethod
    def of(
        cls, buckets: Iterable[tuple[int, int, int]], *, min_ns: int | None = None, mean_ns: float | None = None,
        max_ns: int | None = None, censored: int = 0, limit_ns: int | None = None, resolution_ns: int = 1,
    ) -> Distribution:  # fmt: skip
        """Build one from ``(lower, upper, count)`` rows in any order; empty buckets are dropped.

        Raises
        ------
        ValueError
            Buckets overlap or are empty intervals, counts are negative, or censored samples come without a limit.
        """
        rows = np.array(sorted(buckets), dtype=np.int64).reshape(-1, 3)
        if (rows[:, 2] < 0).any() or censored < 0:
            raise ValueError("counts must not be negative")
        rows = rows[rows[:, 2] > 0]
        lower, upper, counts = (np.ascontiguousarray(column) for column in rows.T)
        if (lower >= upper).any() or (lower[1:] < upper[:-1]).any():
            raise ValueError("buckets must be disjoint and not empty")
        if censored and (limit_ns is None or (len(upper) and upper[-1] > limit_ns)):
            raise ValueError("censored samples need a limit at or above the last bucket")
        limit = limit_ns if censored else None
        return cls(lower, upper, counts, min_ns, mean_ns, max_ns, censored, limit, resolution_ns)

    @classmethod
    def from_dist(cls, dist: Mapping[str, Any]) -> Distribution:
        """Read the result JSON's DIST; `censored` is the key that measured ones add.

        Raises
        ------
        ValueError
            The buckets do not hold `count` samples, or are malformed (see `of`).
        """
        rest = dist.get("censored") or {"count": 0, "from_ns": None}
        made = cls.of(
            ((lower, upper, count) for lower, upper, count in dist["histogram"]), min_ns=dist["min_ns"],
            mean_ns=dist["mean_ns"], max_ns=dist["max_ns"], censored=rest["count"], limit_ns=rest["from_ns"],
            resolution_ns=dist.get("resolution_ns", 1),
        )  # fmt: skip
        if made.count != dist["count"]:
            raise ValueError(f"the histogram holds {made.count} samples, count says {dist['count']}")
        return made

    def to_dist(self, quantiles: Iterable[float] = QUANTILES) -> dict[str, Any]:
        """Return the DIST of the result JSON.

        A quantile is null where there is no sample or it lies among the censored ones; an end of its confidence
        interval is null where the samples do not reach it.
        """
        wanted = list(quantiles)
        known = {str(q): self.quantile(q) for q in wanted}
        dist: dict[str, Any] = {
            "count": self.count,
            "min_ns": self.min_ns,
            "mean_ns": self.mean_ns,
            "max_ns": self.max_ns,
            "quantiles_ns": {name: value if isinstance(value, int) else None for name, value in known.items()},
            "quantiles_ci_ns": {str(q): list(self.quantile_interval(q)) for q in wanted},
            "histogram": np.stack([self.lower_ns, self.upper_ns, self.counts], axis=1).tolist(),
        }
        if self.resolution_ns != 1:
            dist["resolution_ns"] = self.resolution_ns
        if self.censored:
            dist["censored"] = {"count": self.censored, "from_ns": self.limit_ns}
        return dist

    @property
    def count(self) -> int:
        """Number of samples, the censored ones included."""
        return int(self.counts.sum()) + self.censored

    @cached_property
    def _cumulative(self) -> Integers:
        return np.cumsum(self.counts)

    def at_rank(self, rank: int) -> tuple[int, int] | AtLeast:
        """Return the (lowest, highest) value that sample number `rank`, from 1 in ascending order, can have."""
        index = int(np.searchsorted(self._cumulative, rank))
        if index == len(self.counts):
            if rank > self.count or self.limit_ns is None:
                raise ValueError(f"there are {self.count} samples, asked for number {rank}")
            return AtLeast(self.limit_ns)
        low, high = int(self.lower_ns[index]), int(self.upper_ns[index]) - 1
        if self.resolution_ns == 1:  # otherwise min and max are rounded down themselves
            low = low if self.min_ns is None else max(low, self.min_ns)
            high = high if self.max_ns is None else min(high, self.max_ns)
        return low, high

    def quantile(self, q: float) -> int | AtLeast | None:
        """Return the smallest value v, in ns, with F(v) >= `q`; None without samples.

        It is the highest value of the bucket that holds the sample, never beyond the exact maximum: at most one
        bucket width above the true one, never below it. Among censored samples it is known from below only.
        """
        if self.count == 0:
            return None
        found = self.at_rank(quantile_rank(q, self.count))
        return found if isinstance(found, AtLeast) else found[1]

    def quantile_interval(self, q: float, confidence: float = 0.95) -> tuple[int | None, int | None]:
        """Return the interval, in ns, that holds the true `q` with this `confidence`; None for an end out of reach.

        See `rtsim.measure.quantiles.interval_ranks` for what it assumes. Bucket widths are inside the interval.
        """
        lower, upper = interval_ranks(q, self.count, confidence)
        low = None if lower is None else self.at_rank(lower)
        high = None if upper is None else self.at_rank(upper)
        return (
            low.limit_ns if isinstance(low, AtLeast) else None if low is None else low[0],
            None if high is None or isinstance(high, AtLeast) else high[1],
        )

    def ccdf(self) -> tuple[Integers, npt.NDArray[np.float64]]:
        """Return (value_ns, share): the share of samples that exceed each bucket's highest value.

        Shapes (buckets,) both. The last share is 0 unless samples are censored.
        """
        beyond = self.count - self._cumulative
        return self.upper_ns - 1, beyond / max(self.count, 1)

    def coarsened(self, resolution_ns: int) -> Distribution:
        """Return what a tool that rounds down to multiples of `resolution_ns` would have counted.

        A bucket that straddles a multiple counts where its middle is. The mean is left as it was: tools print it from
        the rounded values, half a step lower on average.
        """
        middles = (self.lower_ns + self.upper_ns - 1) // 2
        steps, where = np.unique(middles // resolution_ns, return_inverse=True)
        counts = np.zeros(len(steps), dtype=np.int64)
        np.add.at(counts, where, self.counts)
        lower = steps * resolution_ns
        return Distribution(
            lower, lower + resolution_ns, counts, _rounded(self.min_ns, resolution_ns), self.mean_ns,
            _rounded(self.max_ns, resolution_ns), self.censored, self.limit_ns, resolution_ns,
        )  # fmt: skip


def _rounded(value_ns: int | None, resolution_ns: int) -> int | None:
    return None if value_ns is None else value_ns // resolution_ns * resolution_ns
