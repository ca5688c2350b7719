"""Which distribution measured durations follow.

Two time stamps that were rounded down to a resolution bound the true difference to both sides, so values are taken as
intervals. Families are fitted by maximum likelihood of these intervals and compared by the Bayesian information
criterion, ``k ln n - 2 ln L`` (G. Schwarz, Annals of Statistics 6, 1978). If even the best is further from the data
than chance and `CLOSE` allow, the data itself is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from rtsim.profile.calibration.text import exact
from rtsim.profile.distributions import NORMAL_99, Distribution, Exponential, Gamma, Lognormal, Uniform

__all__ = ["Fit", "Measurements", "fit_durations"]

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

GROUPS = 256
"""Neighbouring values are counted together beyond so many: a likelihood takes milliseconds, whatever the trace."""
FEWEST = 8
"""With fewer values no family is told from another: a constant."""
CLOSE = 0.05
"""Largest gap between distribution functions that no latency would show."""
KS_1_PERCENT = 1.63
"""Times 1 / sqrt(n): the gap that chance exceeds in 1 % of cases (Kolmogorov)."""
CV_RANGE = (0.02, 50.0)
LEAST_PROBABILITY = 1e-300
SEARCH: Any = {"maxiter": 200, "xatol": 1e-4, "fatol": 1e-3}
"""Ends of the search for the logarithms of the parameters."""


@dataclass(frozen=True)
class Measurements:
    """Values (ns) that become a file beside the profile."""

    values: Integers


@dataclass(frozen=True)
class Fit:
    """A distribution as a profile writes it, and how well it is known."""

    entry: dict[str, Any]
    """`empirical` holds `Measurements`."""
    family: str
    count: int
    mean_ns: float
    error_ns: float
    """Standard error of the mean."""
    gap: float
    """Largest gap between the distribution functions of data and fit, as far as the resolution tells."""

    def __str__(self) -> str:
        return f"{self.count} values, mean {self.mean_ns / 1000:.4g} +- {self.error_ns / 1000:.2g} us"


def fit_durations(values: Integers, resolution_ns: int = 1, *, as_measured: bool = True) -> Fit:
    """Return the distribution of measured durations.

    Parameters
    ----------
    values
        Shape (n,), n >= 1: ns, negative ones count as 0.
    resolution_ns
        Of the time stamps that they are differences of.
    as_measured
        Whether the data itself is taken where no family fits; else the best family is.
    """
    data = np.sort(np.maximum(values, 0))
    mean = float(data.mean())
    error = float(data.std(ddof=1) / sqrt(len(data))) if len(data) > 1 else mean
    if len(data) < FEWEST or data[-1] - data[0] <= 2 * resolution_ns:
        return Fit({"constant": exact(round(mean))}, "constant", len(data), mean, error, 0.0)
    groups = _Groups.of(data, resolution_ns)
    fitted = [(family, *family.fit(data, groups)) for family in FAMILIES]
    family, best, _ = min(fitted, key=lambda item: item[0].parameters * log(len(data)) - 2 * item[2])
    gap = groups.gap(best)
    if as_measured and gap > max(KS_1_PERCENT / sqrt(len(data)), CLOSE):
        entry: dict[str, Any] = {"empirical": Measurements(data)}
        return Fit(entry, "empirical", len(data), mean, error, 0.0)
    return Fit(family.entry(best), family.name, len(data), mean, error, gap)


@dataclass(frozen=True)
class _Groups:
    """Sorted values in groups: the interval that each lies in, how many, and the share up to its end."""

    low: Floats
    high: Floats
    counts: Integers
    up_to: Floats

    @classmethod
    def of(cls, data: Integers, resolution: int) -> _Groups:
        values, counts = np.unique(data, return_counts=True)
        first = np.unique(np.linspace(0, len(values), min(GROUPS, len(values)) + 1).astype(np.int64)[:-1])
        last = np.append(first[1:], len(values)) - 1
        grouped = np.add.reduceat(counts, first)
        return cls(
            np.maximum(values[first] - resolution, 0).astype(np.float64),
            (values[last] + resolution).astype(np.float64),
            grouped,
            np.cumsum(grouped) / len(data),
        )

    def log_likelihood(self, distribution: Distribution) -> float:
        """Return the logarithm of the probability of all intervals."""
        inside = distribution.sf(self.low) - distribution.sf(self.high)
        return float(np.sum(self.counts * np.log(np.maximum(inside, LEAST_PROBABILITY))))

    def gap(self, distribution: Distribution) -> float:
        """Return by how much a distribution function leaves the band that the intervals allow."""
        before = np.concatenate(([0.0], self.up_to[:-1]))
        too_few = self.up_to - (1 - distribution.sf(self.high))
        too_many = (1 - distribution.sf(self.low)) - before
        return float(max(too_few.max(), too_many.max(), 0.0))


# ---- families ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Family:
    name: str
    parameters: int
    start: Callable[[Integers], tuple[float, ...]]
    """First guess, by moments."""
    made: Callable[[tuple[float, ...]], Distribution]
    entry: Callable[[Any], dict[str, Any]]
    searched: bool = True

    def fit(self, data: Integers, groups: _Groups) -> tuple[Distribution, float]:
        """Return the most likely distribution of the family, and its log likelihood."""
        found: Floats = np.log(np.array(self.start(data), np.float64))
        if self.searched:

            def unlikely(x: Floats) -> float:
                return -groups.log_likelihood(self.made(tuple(np.exp(x))))

            found = minimize(unlikely, found.tolist(), method="Nelder-Mead", options=SEARCH).x
        best = self.made(tuple(np.exp(found)))
        return best, groups.log_likelihood(best)


def _positive(data: Integers) -> Floats:
    """Return the data with its zeros, which are rounded down, at half a nanosecond."""
    return np.maximum(data, 0.5)


def _lognormal(x: tuple[float, ...]) -> Distribution:
    median, sigma = x[0], min(x[1], 6.0)
    return Lognormal(max(round(median), 1), max(round(median * np.exp(sigma * NORMAL_99)), round(median), 1))


def _gamma(x: tuple[float, ...]) -> Distribution:
    return Gamma(max(round(x[0]), 1), float(np.clip(x[1], *CV_RANGE)))


def _spread(data: Integers) -> float:
    return max(float(data.std()) / max(float(data.mean()), 1.0), CV_RANGE[0])


FAMILIES = (
    _Family(
        "uniform", 2, lambda data: (max(float(data[0]), 0.5), float(data[-1])),
        lambda x: Uniform(round(x[0]), max(round(x[1]), round(x[0]) + 1)),
        lambda found: {"uniform": {"min": exact(found.low), "max": exact(found.high)}}, searched=False,
    ),
    _Family(
        "exponential", 1, lambda data: (max(float(data.mean()), 1.0),), lambda x: Exponential(x[0]),
        lambda found: {"exponential": {"mean": exact(round(found.mean))}},
    ),
    _Family(
        "gamma", 2, lambda data: (max(float(data.mean()), 1.0), _spread(data)), _gamma,
        lambda found: {"gamma": {"mean": exact(found.mean), "cv": float(f"{found.cv:.4g}")}},
    ),
    _Family(
        "lognormal", 2,
        lambda data: (float(np.median(_positive(data))), max(float(np.log(_positive(data)).std()), 0.01)), _lognormal,
        lambda found: {"lognormal": {"median": exact(found.median), "p99": exact(found.p99)}},
    ),
)  # fmt: skip
