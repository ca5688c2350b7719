"""By which process occurrences arrive: periodic, in bursts, Poisson, or as measured.

Periodic is tried first, by the length of the mean phase vector (Lord Rayleigh, Philosophical Magazine 37, 1919):
Poisson arrivals leave a length near ``1 / sqrt(n)``, periodic ones near 1. The period is refined over twice as many
arrivals again and again, so that none is miscounted. Then Poisson, by the gap between the intervals' distribution
function and the exponential's and by the dispersion of counts; then bursts of a fixed size whose starts are Poisson.
The rest is taken as independent intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from rtsim.profile.calibration.durations import CLOSE, KS_1_PERCENT, Measurements, fit_durations
from rtsim.profile.calibration.text import exact

__all__ = ["Process", "fit_arrivals"]

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FEWEST_PERIODIC = 5
LEAST_VECTOR = 0.7
"""Mean phase vector of what counts as periodic: a jitter of up to 0.45 periods."""
CHANCE = 3.0
"""Over sqrt(n): what one in a thousand lines through n Poisson arrivals exceeds (simulated for n of 10 to 100)."""
LARGEST_CHANCE = 0.999
PRESENT = (0.8, 1.25)
"""Arrivals a period: a profile's periodic source has one, so that others would get a wrong rate."""
FEWEST_INTERVALS = 20
"""With fewer intervals nothing is told from Poisson."""
SMALLEST_BURST = 1.5
SEPARATE = 5.0
"""Bursts are apart by so many times their own intervals, at least."""
BURST_CV = 0.5
DISPERSION = 3.0
"""Standard deviations by which the dispersion of counts may differ from 1, beside `CLOSE_DISPERSION`."""
CLOSE_DISPERSION = 0.2
WINDOW = 10.0
"""Arrivals expected in a window of the dispersion test."""
JITTER_SHARE = 1e-4
"""Delays that spread less than this part of the period are left out."""


@dataclass(frozen=True)
class Process:
    """An arrival process as a profile writes it, and how well it is known."""

    entry: dict[str, Any]
    kind: str
    rate_hz: float
    error_hz: float
    """Standard error of the rate."""
    period_ns: float | None = None
    period_error_ns: float | None = None
    phase_ns: float | None = None
    """Of the first arrivals modulo the period, in the trace's clock; None if there are several stretches of it."""

    def __str__(self) -> str:
        if self.period_ns is not None and self.period_error_ns is not None:
            return f"period {self.period_ns / 1000:.7g} +- {self.period_error_ns / 1000:.2g} us"
        return f"{self.rate_hz:.4g} +- {self.error_hz:.2g} arrivals a second ({self.kind})"


def fit_arrivals(stretches: Sequence[Integers], observed_ns: int, resolution_ns: int = 1) -> Process:
    """Return the process of some arrivals.

    Parameters
    ----------
    stretches
        Ascending arrival times (ns), each stretch without a gap of knowledge; one arrival at least.
    observed_ns
        Length of all stretches together, in which arrivals would have been seen.
    resolution_ns
        Of the times.
    """
    kept = [times for times in stretches if len(times)]
    if (found := _periodic(kept, resolution_ns)) is not None:
        return found
    count = sum(map(len, kept))
    intervals = np.concatenate([np.diff(times) for times in kept])
    rate = count * 1e9 / observed_ns
    poisson = _poisson(rate, count)
    if len(intervals) < FEWEST_INTERVALS or _like_poisson(kept, intervals):
        return poisson
    bursts = _bursts(kept, intervals, observed_ns, rate)
    if bursts is not None:
        return bursts
    error = float(intervals.std() / intervals.mean()) * rate / sqrt(len(intervals))
    return Process({"empirical": {"file": Measurements(np.sort(intervals))}}, "empirical", rate, error)


# ---- periodic ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """Arrivals at ``phase + n * period`` and the delay of each beyond that."""

    period: float
    phase: float
    error: float
    delays: Floats


def _periodic(stretches: Sequence[Integers], resolution: int) -> Process | None:
    lines = []
    for times in stretches:
        if len(times) < FEWEST_PERIODIC:
            continue
        line = _line(times)
        if line is None:
            return None
        lines.append((len(times), line))
    if not lines:
        return None
    weights = np.array([1 / max(line.error, 1e-3) ** 2 for _, line in lines])
    period = float(np.average([line.period for _, line in lines], weights=weights))
    error = float(1 / sqrt(weights.sum()))
    if any(abs(line.period - period) > max(5 * line.error, 1e-3 * period) for _, line in lines):
        return None
    single = lines[0][1].phase % period if len(stretches) == 1 else None
    entry: dict[str, Any] = {"period": exact(round(period)), "phase": "random"}
    jitter = _jitter(np.concatenate([line.delays for _, line in lines]), period, resolution)
    if jitter is not None:
        entry["jitter"] = jitter
    rate = 1e9 / period
    return Process({"periodic": entry}, "periodic", rate, rate * error / period, period, error, single)


def _line(times: Integers) -> _Line | None:
    """Return the line through the arrivals, None if they are not periodic."""
    since = (times - times[0]).astype(np.float64)
    period = float(np.median(np.diff(since)))
    if period <= 0:
        return None
    phase, used = 0.0, FEWEST_PERIODIC
    while True:
        part = since[: min(used, len(since))]
        turns = np.rint((part - phase) / period)
        if turns[-1] <= turns[0]:
            return None
        period, phase = (float(value) for value in np.polyfit(turns, part, 1))
        if period <= 0 or abs(np.exp(2j * np.pi * (part - phase) / period).mean()) < LEAST_VECTOR:
            return None
        if used >= len(since):
            break
        used *= 2
    turns = np.rint((since - phase) / period)
    if not PRESENT[0] <= len(turns) / (turns[-1] - turns[0] + 1) <= PRESENT[1]:
        return None
    delays = since - phase - period * turns
    if abs(np.exp(2j * np.pi * delays / period).mean()) < min(CHANCE / sqrt(len(since)), LARGEST_CHANCE):
        return None
    spread = float(turns.std()) * sqrt(len(turns))
    error = float(delays.std(ddof=2)) / spread if spread else 0.0
    earliest = float(np.quantile(delays, 0.01)) if len(delays) >= 100 else float(delays.min())
    return _Line(period, float(times[0]) + phase + earliest, error, delays - earliest)


def _jitter(delays: Floats, period: float, resolution: int) -> dict[str, Any] | None:
    """Return the distribution of the delays, None where they are within the resolution or next to nothing."""
    low, high = np.quantile(delays, [0.01, 0.99])
    if high - low <= max(2 * resolution, JITTER_SHARE * period):
        return None
    return fit_durations(np.rint(delays).astype(np.int64), resolution).entry


# ---- Poisson and bursts --------------------------------------------------------------------------------------------


def _poisson(rate: float, count: int) -> Process:
    return Process({"poisson": {"rate": _rate(rate)}}, "poisson", rate, rate / sqrt(count))


def _rate(hz: float) -> str:
    """Return a rate as text; five digits are more than any trace tells."""
    return f"{hz:.5g} / s"


def _like_poisson(stretches: Sequence[Integers], intervals: Integers) -> bool:
    """Return whether intervals are exponential and counts in windows have the variance of their mean."""
    if _gap_to_exponential(intervals) > _allowed(len(intervals)):
        return False
    counts = np.concatenate([_counts(times, WINDOW * float(intervals.mean())) for times in stretches])
    if len(counts) < 3 or counts.mean() == 0:
        return True
    dispersion = float(counts.var(ddof=1) / counts.mean())
    return abs(dispersion - 1) <= max(DISPERSION * sqrt(2 / (len(counts) - 1)), CLOSE_DISPERSION)


def _allowed(n: int) -> float:
    return max(KS_1_PERCENT / sqrt(n), CLOSE)


def _gap_to_exponential(intervals: Integers) -> float:
    """Return the largest gap between the intervals' distribution function and the exponential's of the same mean."""
    n, mean = len(intervals), float(intervals.mean())
    if mean <= 0:
        return 1.0
    expected = 1 - np.exp(-np.sort(intervals) / mean)
    steps = np.arange(n + 1) / n
    return max(float((expected - steps[:-1]).max()), float((steps[1:] - expected).max()))


def _counts(times: Integers, window: float) -> Integers:
    """Return how many arrivals fell in each whole window."""
    windows = int((times[-1] - times[0]) / window)
    if windows == 0:
        return np.zeros(0, np.int64)
    return np.bincount(((times - times[0]) / window).astype(np.int64), minlength=windows)[:windows]


def _bursts(stretches: Sequence[Integers], intervals: Integers, observed_ns: int, rate: float) -> Process | None:
    """Return bursts whose starts are Poisson and whose sizes and spacings vary little, None if there are none."""
    limit = _between(intervals)
    if limit is None:
        return None
    starts = [times[np.concatenate(([True], np.diff(times) > limit))] for times in stretches]
    ends = [np.append(np.searchsorted(*both), len(both[0])) for both in zip(stretches, starts, strict=True)]
    sizes = np.concatenate([np.diff(end) for end in ends])
    inside = intervals[intervals <= limit]
    if sizes.mean() < SMALLEST_BURST or sizes.std() > BURST_CV * sizes.mean():
        return None
    between = np.concatenate([np.diff(begun) for begun in starts])
    if len(between) >= FEWEST_INTERVALS and _gap_to_exponential(between - between.min()) > _allowed(len(between)):
        return None
    size = round(float(sizes.mean()))
    entry = {"rate": _rate(rate / size), "size": size, "spacing": exact(round(float(np.median(inside))))}
    error = rate / sqrt(len(sizes))
    return Process({"bursts": entry}, "bursts", rate, error)


def _between(intervals: Integers) -> float | None:
    """Return the interval (ns) that best parts those within bursts from those between them, None if they are alike.

    It is where the variance between the two groups' logarithms is largest (N. Otsu, IEEE Transactions on Systems, Man,
    and Cybernetics 9, 1979).
    """
    logs = np.log(np.sort(np.maximum(intervals, 1)).astype(np.float64))
    n = len(logs)
    sums = np.cumsum(logs)
    below = np.arange(1, n)
    apart = (sums[-1] - sums[:-1]) / (n - below) - sums[:-1] / below
    at = int(np.argmax(below * (n - below) * apart**2))
    return float(np.exp((logs[at] + logs[at + 1]) / 2)) if apart[at] >= np.log(SEPARATE) else None
