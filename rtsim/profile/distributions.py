"""Distributions of durations and intervals, each defined by its quantiles, each with an optional upper limit.

The unit is nanoseconds. A distribution gives its inverse survival function; everything else (draws, moments) is done
on the quantile table built from it, so that what is simulated and what is computed are the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rtsim.profile.tables import Table, build, mean_ns, second_moment_ns2

__all__ = [
    "Constant",
    "Distribution",
    "Empirical",
    "Exponential",
    "Gamma",
    "Limited",
    "Lognormal",
    "Mixture",
    "Uniform",
]

Floats = npt.NDArray[np.float64]

NORMAL_99 = 2.3263478740408408
"""The standard normal's 0.99 quantile."""
LAST_SURVIVAL = 2.0**-40
"""Where a mixture looks for its parts' upper ends: below what a table resolves."""
BISECTIONS = 80
"""Halvings of 2^62 ns that leave less than a nanosecond, with room."""


class Distribution:
    """Base: the quantiles, and the table, moments and draws that follow from them."""

    def isf(self, survival: Floats) -> Floats:
        """Return the values (ns) exceeded with the given probabilities, each in (0, 1]; at 1: the minimum."""
        raise NotImplementedError

    def sf(self, x: Floats) -> Floats:
        """Return the probability of values above `x` (ns)."""
        raise NotImplementedError

    def table(self) -> Table:
        """Return the quantile table: shape (2049,), int64, ns (layout: `rtsim.profile.tables`).

        Raises
        ------
        ValueError
            Values are negative or beyond 2^62 ns.
        """
        return self._table.copy()

    @cached_property
    def _table(self) -> Table:
        return build(self.isf)

    @cached_property
    def mean_ns(self) -> float:
        """Mean of draws from the table."""
        return mean_ns(self._table)

    @cached_property
    def second_moment_ns2(self) -> float:
        """Mean square of draws from the table, ns^2."""
        return second_moment_ns2(self._table)

    @property
    def min_ns(self) -> int:
        """Smallest draw."""
        return int(self._table[0])

    @property
    def max_ns(self) -> int:
        """Largest possible draw."""
        return int(self._table[-1])


@dataclass(frozen=True)
class Constant(Distribution):
    """Always the same value."""

    value: int

    def isf(self, survival: Floats) -> Floats:
        return np.full(survival.shape, float(self.value))

    def sf(self, x: Floats) -> Floats:
        return np.where(x < self.value, 1.0, 0.0)


@dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform between `low` and `high`."""

    low: int
    high: int

    def isf(self, survival: Floats) -> Floats:
        return self.high - (self.high - self.low) * survival

    def sf(self, x: Floats) -> Floats:
        width = self.high - self.low
        inside: Floats = (self.high - x) / width if width else np.where(x < self.high, 1.0, 0.0)
        return np.clip(inside, 0.0, 1.0)


@dataclass(frozen=True)
class Exponential(Distribution):
    """Intervals of a Poisson process."""

    mean: float

    def isf(self, survival: Floats) -> Floats:
        return -self.mean * np.log(survival)

    def sf(self, x: Floats) -> Floats:
        return np.exp(-np.maximum(x, 0.0) / self.mean)


@dataclass(frozen=True)
class Lognormal(Distribution):
    """Lognormal by its median and 0.99 quantile: sigma = ln(p99 / median) / 2.3263."""

    median: int
    p99: int

    def isf(self, survival: Floats) -> Floats:
        from scipy.special import ndtri

        with np.errstate(over="ignore"):
            values: Floats = self.median * np.exp(-self.sigma * ndtri(survival)) if self.sigma else self._flat(survival)
        return values

    def sf(self, x: Floats) -> Floats:
        from scipy.special import ndtr

        if not self.sigma:
            return np.where(x < self.median, 1.0, 0.0)
        with np.errstate(divide="ignore"):
            values: Floats = ndtr(-np.log(np.maximum(x, 0.0) / self.median) / self.sigma)
        return values

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm."""
        return math.log(self.p99 / self.median) / NORMAL_99

    def _flat(self, survival: Floats) -> Floats:
        return np.full(survival.shape, float(self.median))


@dataclass(frozen=True)
class Gamma(Distribution):
    """Gamma by its mean and coefficient of variation: shape 1 / cv^2, scale mean * cv^2."""

    mean: int
    cv: float

    def isf(self, survival: Floats) -> Floats:
        from scipy.special import gammainccinv

        shape = self.cv**-2
        return np.asarray(gammainccinv(shape, survival) * (self.mean / shape), np.float64)

    def sf(self, x: Floats) -> Floats:
        from scipy.special import gammaincc

        shape = self.cv**-2
        return np.asarray(gammaincc(shape, np.maximum(x, 0.0) * (shape / self.mean)), np.float64)


@dataclass(frozen=True)
class Empirical(Distribution):
    """Measured: intervals ``[low, high]`` with weights; a plain value is an interval of width 0.

    Within an interval values spread evenly. Intervals are sorted and do not overlap.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    weight: tuple[float, ...]

    def isf(self, survival: Floats) -> Floats:
        low, high, share, beyond = self._arrays
        index = np.minimum(len(beyond) - np.searchsorted(beyond[::-1], survival, side="right"), len(beyond) - 1)
        inside = np.clip((survival - beyond[index]) / share[index], 0.0, 1.0)
        values: Floats = high[index] - (high[index] - low[index]) * inside
        return values

    def sf(self, x: Floats) -> Floats:
        low, high, share, beyond = self._arrays
        index = np.searchsorted(high, x, side="right")  # the first interval that ends above x
        inside = np.minimum(index, len(high) - 1)
        width = np.where(high > low, high - low, 1.0)[inside]
        values = beyond[inside] + share[inside] * np.clip((high[inside] - x) / width, 0.0, 1.0)
        values = np.where(low[inside] > x, beyond[inside] + share[inside], values)
        return np.where(index < len(high), values, 0.0)

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Ends of the intervals, their probabilities, and the probability beyond each."""
        low, high, weight = (np.array(values, dtype=np.float64) for values in (self.low, self.high, self.weight))
        share = weight / weight.sum()
        beyond = np.concatenate([np.cumsum(share[::-1])[::-1][1:], [0.0]])
        return low, high, share, beyond


@dataclass(frozen=True)
class Mixture(Distribution):
    """One of several distributions, chosen by weight for each draw."""

    parts: tuple[tuple[float, Distribution], ...]

    def isf(self, survival: Floats) -> Floats:
        """Invert the weighted sum of the parts' survival functions by bisection, to below 1 ns."""
        ends = np.array([part.isf(np.array([1.0, LAST_SURVIVAL])) for _, part in self.parts])
        low = np.full(survival.shape, ends[:, 0].min())
        high = np.full(survival.shape, ends[:, 1].max())
        if not np.isfinite(high).all():
            return high
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            too_low = self.sf(middle) > survival
            low = np.where(too_low, middle, low)
            high = np.where(too_low, high, middle)
        return high

    def sf(self, x: Floats) -> Floats:
        total = math.fsum(weight for weight, _ in self.parts)
        return np.asarray(np.sum([weight / total * part.sf(x) for weight, part in self.parts], axis=0), np.float64)


@dataclass(frozen=True)
class Limited(Distribution):
    """`inner`, with everything above `limit` set to `limit`."""

    inner: Distribution
    limit: int

    def isf(self, survival: Floats) -> Floats:
        return np.minimum(self.inner.isf(survival), float(self.limit))

    def sf(self, x: Floats) -> Floats:
        return np.where(x < self.limit, self.inner.sf(x), 0.0)
