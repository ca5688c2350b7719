"""How a predicted distribution agrees with a measured one along its whole length, and out in the tail.

Three views: at which predicted quantile each measured sample lies (probability integral transform), equal quantiles of
both (Q-Q), and the share of samples beyond thresholds. Censored samples keep their place: of them only ``>= limit`` is
known, they all have the same limit, and below it the Kaplan-Meier estimate is the plain share of samples. So nothing is
compared beyond the limit but the share that lies there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from rtsim.measure.distribution import AtLeast, Distribution
from rtsim.measure.quantiles import quantile_rank

__all__ = ["PIT_BINS", "Exceedance", "exceedances", "pit", "qq"]

Floats = npt.NDArray[np.float64]

PIT_BINS = 20
QQ_POINTS = 400
TAIL_SHARES = (0.1, 0.01, 1e-3, 1e-4, 1e-5)
CONFIDENCE = 0.95


def pit(measured: Distribution, predicted: Distribution, bins: int = PIT_BINS) -> tuple[Floats, Floats]:
    """Return where the measured samples lie among the predicted ones.

    A sample that is known to a bucket lies somewhere between the predicted shares below the bucket's ends, with equal
    probability (the nonrandomized PIT for counts: C. Czado, T. Gneiting, L. Held, Biometrics 65, 2009, eq. 2).

    Returns
    -------
    tuple
        Shape (bins,) both: density of the samples below the limit, and of censored ones, which may lie anywhere in
        what is predicted beyond it. Together they average 1; a perfect prediction has 1 everywhere.
    """
    below = _spread(_cdf(predicted, measured.lower_ns), _cdf(predicted, measured.upper_ns), measured.counts, bins)
    beyond = np.zeros(bins)
    if measured.censored and measured.limit_ns is not None:
        start = _cdf(predicted, np.array([measured.limit_ns]))
        beyond = _spread(start, np.ones(1), np.array([measured.censored]), bins)
    scale = bins / max(measured.count, 1)
    return below * scale, beyond * scale


def _spread(start: Floats, end: Floats, counts: npt.NDArray[np.int64], bins: int) -> Floats:
    """Return how many of `counts` fall into each of `bins` between 0 and 1, each spread evenly over its interval."""
    edges = np.linspace(0, 1, bins + 1)
    found = np.zeros(bins)
    point = end <= start
    place = np.minimum((start[point] * bins).astype(np.int64), bins - 1)
    np.add.at(found, place, counts[point])
    start, end, counts = start[~point], end[~point], counts[~point]
    shares = np.clip((edges[:, None] - start) / (end - start), 0, 1)
    spread: Floats = found + np.diff(shares, axis=0) @ counts
    return spread


def qq(measured: Distribution, predicted: Distribution) -> tuple[Floats, Floats, Floats]:
    """Return (share, predicted, measured): the same quantiles of both, in ns, up to the first that is censored.

    Shapes (points,) all three; quantiles are the middles of their buckets. Shares lie densely towards 1.
    """
    fewest = min(measured.count, predicted.count)
    if fewest == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    rows = []
    for share in np.unique(np.round(1 - np.geomspace(1 - 0.5 / fewest, 0.5 / fewest, QQ_POINTS), 12)):
        points = [_middle(each, float(share)) for each in (predicted, measured)]
        if None in points:
            break
        rows.append((share, *points))
    share, one, other = np.array(rows, np.float64).reshape(-1, 3).T
    return share, one, other


def _middle(distribution: Distribution, share: float) -> float | None:
    found = distribution.at_rank(quantile_rank(share, distribution.count))
    return None if isinstance(found, AtLeast) else (found[0] + found[1]) / 2


@dataclass(frozen=True)
class Exceedance:
    """Shares of samples at or above a threshold, each with its 95 % interval (samples taken as independent)."""

    threshold_ns: int
    measured: float
    measured_ci: tuple[float, float]
    predicted: float
    predicted_ci: tuple[float, float]
    censored: bool
    """Whether the threshold is the limit of the measured histogram."""

    @property
    def apart(self) -> bool:
        """Whether the intervals do not meet."""
        return self.measured_ci[1] < self.predicted_ci[0] or self.predicted_ci[1] < self.measured_ci[0]


def exceedances(
    measured: Distribution, predicted: Distribution, shares: Sequence[float] = TAIL_SHARES
) -> list[Exceedance]:
    """Return the shares beyond thresholds in the tail: those that `shares` of the measured samples exceed, at most.

    Thresholds are ends of measured buckets. The last one is the limit where samples are censored.
    """
    if measured.count == 0 or predicted.count == 0:
        return []
    ends, share = measured.upper_ns, measured.ccdf()[1]
    found = {int(ends[np.argmax(share <= each)]) for each in shares if (share <= each).any()}
    if measured.limit_ns is not None:
        found = {end for end in found if end < measured.limit_ns} | {measured.limit_ns}
    return [_exceedance(measured, predicted, end) for end in sorted(found)]


def _exceedance(measured: Distribution, predicted: Distribution, threshold_ns: int) -> Exceedance:
    above = [_above(each, threshold_ns) for each in (measured, predicted)]
    (one, one_ci), (other, other_ci) = (
        (count / each.count, _interval(count, each.count))
        for count, each in zip(above, (measured, predicted), strict=True)
    )
    return Exceedance(threshold_ns, one, one_ci, other, other_ci, threshold_ns == measured.limit_ns)


def _above(distribution: Distribution, threshold_ns: int) -> int:
    """Return how many samples are at or above a threshold, a bucket that it divides in proportion."""
    return distribution.count - round(float(_cdf(distribution, np.array([threshold_ns]))[0]) * distribution.count)


def _cdf(distribution: Distribution, values_ns: npt.NDArray[np.int64]) -> Floats:
    """Return the share of samples below each value, those of a bucket spread evenly over it."""
    cumulative = np.concatenate(([0], np.cumsum(distribution.counts))) / max(distribution.count, 1)
    if len(distribution.counts) == 0:
        return np.zeros(len(values_ns))
    index = np.searchsorted(distribution.upper_ns, values_ns, side="right")
    inside = np.minimum(index, len(distribution.counts) - 1)
    width = distribution.upper_ns[inside] - distribution.lower_ns[inside]
    part = np.clip((values_ns - distribution.lower_ns[inside]) / width, 0, 1)
    within = cumulative[inside] + part * (cumulative[inside + 1] - cumulative[inside])
    found: Floats = np.where(index < len(distribution.counts), within, cumulative[-1])
    return found


def _interval(above: int, count: int) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share."""
    miss = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(miss, above, count - above + 1)) if above else 0.0
    high = float(beta.ppf(1 - miss, above + 1, count - above)) if above < count else 1.0
    return low, high
