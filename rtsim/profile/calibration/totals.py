"""What a latency histogram alone tells of a machine: how long a wake-up takes in all, and how that spreads.

Which step takes how much, and what struck, it does not tell. Steps keep the proportions of the base; what the measured
latencies vary by is given to one of them, the wake-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from rtsim.inputs.errors import InputError
from rtsim.measure.distribution import AtLeast, Distribution
from rtsim.measure.quantiles import quantile_rank
from rtsim.profile.calibration.durations import Fit
from rtsim.profile.calibration.text import exact
from rtsim.profile.model import Profile
from rtsim.traces.measured import Measured

__all__ = ["STEPS", "UNKNOWN", "Total", "constant", "fit_total"]

WAKE_UPS = ("user", "latency", "thread")
"""What is a latency from the expiry of a timer to a woken thread; the first that was measured is taken."""
STEPS = ("irq_entry", "timer_irq", "wake", "schedule", "context_switch", "syscall_exit")
"""From the expiry of a timer to user space, on an idle CPU."""
UNKNOWN = (
    "a histogram tells the sum of the steps of a wake-up, not which takes how much: they keep the base's proportions",
    "it does not tell which noise struck: that of the base is kept, and what the histogram holds of it counts twice",
    "latencies beyond p99 are left to noise",
)
"""What a histogram cannot tell."""


@dataclass(frozen=True)
class Total:
    """How long wake-ups took in all, by a histogram (ns)."""

    samples: Distribution
    median_ns: float
    error_ns: float
    """Half the 68 % interval of the median: resolution and chance."""

    @classmethod
    def of(cls, measured: Measured) -> Total:
        """Return that of a tool's output.

        Raises
        ------
        InputError
            The tool measured something else than latencies of wake-ups, or the median lies beyond its histogram, or
            there are no samples.
        """
        kind = next((kind for kind in WAKE_UPS if kind in measured.kinds), None)
        if kind is None:
            found = f"found {measured.tool}'s {', '.join(measured.kinds)}"
            raise InputError(measured.source, "", f"expected latencies of wake-ups ({', '.join(WAKE_UPS)}), {found}")
        samples = measured.samples(kind=kind)
        median = _value(samples, 0.5)
        if median is None:
            raise InputError(measured.source, "", "expected a histogram that holds the median of its samples")
        return cls(samples, median, _median_error(samples))

    @property
    def count(self) -> int:
        """Number of samples."""
        return self.samples.count

    def __str__(self) -> str:
        return f"{self.median_ns / 1000:.3g} us"


def fit_total(measured: Measured, base: Profile) -> dict[str, Fit]:
    """Return the steps of a realtime task's wake-up so that their sum has the measured median and 0.99 quantile.

    Leaving the idle state is the base's, the first one: who measures keeps the CPUs out of deeper ones.

    Raises
    ------
    InputError
        As `Total.of`.
    """
    total = Total.of(measured)
    means = {step: getattr(base.costs, step).distribution().mean_ns for step in STEPS}
    idle_exit = base.costs.idle_states()[0][1].distribution().mean_ns
    factor = max(total.median_ns - idle_exit, 0.0) / sum(means.values())
    costs = {step: constant(mean * factor, total.count, total.error_ns) for step, mean in means.items() if mean > 0}
    high = _value(total.samples, 0.99)
    wake = round(means["wake"] * factor)
    if high is not None and high > total.median_ns and wake > 0:
        entry = {"lognormal": {"median": exact(wake), "p99": exact(round(wake + high - total.median_ns))}}
        costs["wake"] = Fit(entry, "lognormal", total.count, float(wake), total.error_ns, 0.0)
    return costs


def constant(ns: float, count: int, error_ns: float) -> Fit:
    """Return a step that always takes the same time."""
    return Fit({"constant": exact(round(ns))}, "constant", count, ns, error_ns, 0.0)


def _value(samples: Distribution, q: float) -> float | None:
    """Return the middle of the bucket that holds a quantile, None where it is censored."""
    if not samples.count:
        return None
    found = samples.at_rank(quantile_rank(q, samples.count))
    return None if isinstance(found, AtLeast) else (found[0] + found[1]) / 2


def _median_error(samples: Distribution) -> float:
    low, high = samples.quantile_interval(0.5, 0.68)
    if low is None or high is None:
        return samples.resolution_ns / sqrt(3)
    return (high - low) / 2
