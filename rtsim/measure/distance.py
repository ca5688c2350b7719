"""How far a predicted distribution lies from a measured one.

The prediction is first rounded down as the measuring tool rounds, so that a predicted 7.6 us and a measured "7 us" do
not count as an error. Quantiles are compared by relative and absolute error against a tolerance for each; whole
distributions by the Kolmogorov-Smirnov distance (largest gap between the two distribution functions) and the
Wasserstein distance (mean distance a sample has to move). Where samples are censored, only what is known is used: the
gap is taken below the limit, the Wasserstein distance is not given, and a quantile beyond the limit decides a verdict
only if every value it can have decides it the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import wasserstein_distance

from rtsim.inputs.errors import InputError
from rtsim.measure.distribution import AtLeast, Distribution
from rtsim.measure.quantiles import quantile_name, quantile_rank

__all__ = ["Comparison", "QuantityError", "Tolerance", "compare_distributions", "ks_distance", "parse_tolerances",
           "wasserstein_ns"]  # fmt: skip

_QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999)


@dataclass(frozen=True)
class Tolerance:
    """A prediction is within if its error is at most `relative` of the measured value, or at most `absolute_ns`."""

    relative: float
    absolute_ns: float = 0.0

    def __str__(self) -> str:
        absolute = f" or {self.absolute_ns / 1000:g} us" if self.absolute_ns else ""
        return f"{self.relative * 100:g} %{absolute}"

    def limit_ns(self, measured_ns: float) -> float:
        """Return the largest allowed absolute error."""
        return max(self.relative * measured_ns, self.absolute_ns)


@dataclass(frozen=True)
class QuantityError:
    """One quantity, measured and predicted, and what the tolerance says.

    ``verdict`` is ``within``, ``beyond``, ``undecided`` (a censored or missing value could be either) or empty without
    a tolerance. ``measured_ci_ns`` is the measurement's own 95 % interval; ends out of reach are None.
    """

    quantity: str
    measured_ns: int | AtLeast | None
    measured_ci_ns: tuple[int | None, int | None]
    predicted_ns: int | AtLeast | None
    tolerance: Tolerance | None
    verdict: str

    @property
    def error_ns(self) -> int | None:
        """Predicted minus measured; None where either is not a number."""
        if isinstance(self.measured_ns, int) and isinstance(self.predicted_ns, int):
            return self.predicted_ns - self.measured_ns
        return None

    @property
    def relative_error(self) -> float | None:
        """Error over the measured value; None where that is zero or no number."""
        if self.error_ns is None or not isinstance(self.measured_ns, int) or self.measured_ns == 0:
            return None
        return self.error_ns / self.measured_ns


@dataclass(frozen=True)
class Comparison:
    """A measured distribution beside a predicted one."""

    rows: Sequence[QuantityError]
    ks: float | None
    wasserstein_ns: float | None
    measured_count: int
    predicted_count: int
    censored: int
    measured: Distribution = field(repr=False)
    predicted: Distribution = field(repr=False)
    """At the measured one's resolution."""

    @property
    def passed(self) -> bool:
        """True if every quantity with a tolerance is within it; an undecided one does not pass."""
        return all(row.verdict in ("within", "") for row in self.rows)

    def table(self) -> pd.DataFrame:
        """Return a frame, one row a quantity, times in us; text ``>= N us`` where a value is known from below only."""
        return pd.DataFrame(
            {
                "quantity": [row.quantity for row in self.rows],
                "measured_us": [_us(row.measured_ns) for row in self.rows],
                "measured_low_us": [_us(row.measured_ci_ns[0]) for row in self.rows],
                "measured_high_us": [_us(row.measured_ci_ns[1]) for row in self.rows],
                "predicted_us": [_us(row.predicted_ns) for row in self.rows],
                "error_us": [_us(row.error_ns) for row in self.rows],
                "relative_error": [row.relative_error for row in self.rows],
                "tolerance": [str(row.tolerance) if row.tolerance else "" for row in self.rows],
                "verdict": [row.verdict for row in self.rows],
            }
        ).set_index("quantity")


def _us(value_ns: int | AtLeast | None) -> float | str | None:
    return value_ns / 1000 if isinstance(value_ns, int) else str(value_ns) if value_ns is not None else None


def parse_tolerances(text: str, source: str = "--tolerance") -> dict[str, Tolerance]:
    """Read ``p50=0.10,p99=0.15``: the allowed relative error of each quantity, ``max`` and ``mean`` among them.

    ``p50=0.10/2.5us`` allows 10 % or 2.5 us, whichever is more: small latencies have large relative errors.

    Raises
    ------
    InputError
        A part is malformed, repeated, or names no quantile.
    """
    tolerances: dict[str, Tolerance] = {}
    for part in text.split(","):
        name, equals, amount = (piece.strip() for piece in part.partition("="))
        if not equals or _share(name) is None:
            raise InputError(
                source, repr(part), "expected QUANTITY=SHARE such as p99.9=0.15, QUANTITY p50 to p99.999, max or mean"
            )
        if name in tolerances:
            raise InputError(source, name, "expected each quantity once")
        relative, slash, absolute = (piece.strip() for piece in amount.partition("/"))
        absolute_us = _number(absolute.removesuffix("us")) if slash else 0.0
        share = _number(relative)
        if share is None or absolute_us is None or (slash and not absolute.endswith("us")):
            raise InputError(source, repr(part), "expected a share such as 0.15 or 0.15/2.5us, not negative")
        tolerances[name] = Tolerance(share, absolute_us * 1000)
    return tolerances


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _share(name: str) -> float | None:
    """Return the quantile that `name` stands for, 1 for max, 0 for mean; None if it stands for nothing."""
    if name in ("max", "mean"):
        return 1.0 if name == "max" else 0.0
    percent = _number(name.removeprefix("p")) if name.startswith("p") else None
    return float(f"{percent / 100:.12g}") if percent is not None and 0 < percent < 100 else None


def compare_distributions(
    measured: Distribution, predicted: Distribution, tolerances: Mapping[str, Tolerance] | None = None
) -> Comparison:
    """Compare quantiles, maximum and mean, and the distributions as wholes.

    Parameters
    ----------
    measured
        Its resolution is the one both are compared at.
    predicted
        Rounded down to the measured one's resolution here.
    tolerances
        By quantity name (``p99.9``, ``max``, ``mean``); quantities without one are listed without a verdict.
    """
    tolerances = tolerances or {}
    rounded = predicted.coarsened(measured.resolution_ns) if measured.resolution_ns > 1 else predicted
    extra = [name for name in tolerances if name not in ("max", "mean", *map(quantile_name, _QUANTILES))]
    rows = []
    for q in sorted({*_QUANTILES, *(_share(name) or 0.0 for name in extra)}):
        interval = measured.quantile_interval(q) if q < 1 else (None, None)
        rows.append(_row(quantile_name(q), _quantile(measured, q), interval, _quantile(rounded, q), tolerances))
    rows.append(_row("max", measured.max_ns, (None, None), rounded.max_ns, tolerances))
    rows.append(_row("mean", _mean(measured), (None, None), _mean(rounded), tolerances))
    return Comparison(
        rows, ks_distance(measured, rounded), wasserstein_ns(measured, rounded), measured.count, predicted.count,
        measured.censored, measured, rounded,
    )  # fmt: skip


def _quantile(distribution: Distribution, q: float) -> int | AtLeast | None:
    """Return the quantile as the tool would print it: the lowest value of its bucket."""
    if distribution.count == 0:
        return None
    found = distribution.at_rank(quantile_rank(q, distribution.count))
    return found if isinstance(found, AtLeast) else found[0]


def _mean(distribution: Distribution) -> int | None:
    return None if distribution.mean_ns is None else round(distribution.mean_ns)


def _row(
    quantity: str, measured: int | AtLeast | None, interval: tuple[int | None, int | None],
    predicted: int | AtLeast | None, tolerances: Mapping[str, Tolerance],
) -> QuantityError:  # fmt: skip
    tolerance = tolerances.get(quantity)
    verdict = _verdict(measured, predicted, tolerance) if tolerance else ""
    return QuantityError(quantity, measured, interval, predicted, tolerance, verdict)


def _verdict(measured: int | AtLeast | None, predicted: int | AtLeast | None, tolerance: Tolerance) -> str:
    if not isinstance(predicted, int) or measured is None:
        return "undecided"
    if isinstance(measured, int):
        return "within" if abs(predicted - measured) <= tolerance.limit_ns(measured) else "beyond"
    # The true value is at least the limit. Below it, the error only grows with the true value, and so does the relative
    # one; the allowance grows slower than the error as long as it is a share below 1.
    short = measured.limit_ns - predicted
    return "beyond" if short > tolerance.limit_ns(measured.limit_ns) and tolerance.relative < 1 else "undecided"


def ks_distance(a: Distribution, b: Distribution) -> float | None:
    """Return the largest difference of the two distribution functions, below the limit of censored samples.

    It is taken at the ends of both sets of buckets, where both functions are known if the buckets share a grid. None
    if either has no samples.
    """
    if a.count == 0 or b.count == 0:
        return None
    ends = np.union1d(a.upper_ns, b.upper_ns)
    limit = min((d.limit_ns for d in (a, b) if d.limit_ns is not None), default=None)
    if limit is not None:
        ends = np.append(ends[ends < limit], limit)
    if len(ends) == 0:
        return 0.0
    return float(np.abs(_cdf(a, ends) - _cdf(b, ends)).max())


def _cdf(distribution: Distribution, ends: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the share of samples in buckets that end at or before each of `ends`."""
    cumulative = np.concatenate(([0], np.cumsum(distribution.counts)))
    return cumulative[np.searchsorted(distribution.upper_ns, ends, side="right")] / distribution.count


def wasserstein_ns(a: Distribution, b: Distribution) -> float | None:
    """Return the mean distance between the quantiles of both, in ns; None if samples are missing or censored."""
    if a.count == 0 or b.count == 0 or a.censored or b.censored:
        return None
    return float(wasserstein_distance(_middles(a), _middles(b), a.counts, b.counts))


def _middles(distribution: Distribution) -> npt.NDArray[np.float64]:
    return (distribution.lower_ns + distribution.upper_ns - 1) / 2
