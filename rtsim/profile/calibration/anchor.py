"""What a trace does not show of a wake-up, and what tracing adds to it, from latencies measured beside it.

A latency ends in the thread's own code, the trace with the switch to it. What lies between is `context_switch` and
`syscall_exit`:

* where the thread wrote its latencies down, each of them less the time up to its switch;
* else the median under the trace less the median time up to the switch;
* else, without a latency under the trace, what the median without it exceeds the traced steps by, if it does.

Tracing lengthens what comes after the interrupt has read the clock, as nearly all events are traced there: those steps
are shortened alike, so that a median with tracing becomes the one without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rtsim.profile.calibration.beside import first_measured, traced_latencies
from rtsim.profile.calibration.durations import Fit
from rtsim.profile.calibration.lateness import FEWEST
from rtsim.profile.calibration.totals import Total, constant
from rtsim.profile.calibration.wake_ups import WakeUp, WakeUps
from rtsim.traces.measured import Measured

__all__ = ["REST", "Anchor", "Way", "anchored", "find_anchor", "rest_costs"]

REST = ("context_switch", "syscall_exit")
"""From the switch to the thread's own code."""
FAR = 0.1
"""Of the latency: by how much the base's rest may differ before it is said."""


@dataclass(frozen=True)
class Way:
    """Of a measuring thread under the trace (ns): medians up to the clock's reading and up to the switch."""

    late_ns: float
    switched_ns: float
    count: int

    @classmethod
    def of(cls, wake_ups: Sequence[WakeUp], schedule_ns: float) -> Way | None:
        """Return that of some wake-ups, None of too few; `schedule_ns` stands for switches that were not traced."""
        ways = [
            (each.late, each.left + schedule_ns if each.switched is None else each.switched)
            for each in wake_ups
            if each.left is not None
        ]
        if len(ways) < FEWEST:
            return None
        late, switched = (median(values) for values in zip(*ways, strict=True))
        return cls(late, switched, len(ways))


@dataclass(frozen=True)
class Anchor:
    """What takes the steps to the latencies measured."""

    rest: Fit
    """From the switch to the thread's code, as it is without tracing if that is known."""
    share: float
    """Of the steps after the clock's reading that is left without tracing; 1 where that is not known."""
    latency_ns: float
    """Median that the steps now sum up to."""
    how: str

    def warnings(self, base_ns: float, base: str) -> list[str]:
        """Return a sentence if the base's rest is far from this one."""
        off = self.rest.mean_ns - base_ns
        if abs(off) <= FAR * self.latency_ns:
            return []
        return [
            f"{' and '.join(REST)} together take {self.rest.mean_ns / 1000:.3g} us by the latencies measured and "
            f"{base_ns / 1000:.3g} us in {base}, which would put a latency of {self.latency_ns / 1000:.3g} us off by "
            f"{-off / 1000:+.3g} us: what was measured is taken"
        ]


def find_anchor(
    recorded: Sequence[tuple[Path | None, WakeUps]], rest: Fit | None, means_ns: Mapping[str, float]
) -> tuple[Anchor | None, list[str]]:
    """Return what the first latencies beside one of the traces tell, and what is doubtful about them.

    Parameters
    ----------
    recorded
        Of each trace: the folder that it lies in, and its wake-ups.
    rest
        From switches to the threads' own code, where they wrote that down often enough.
    means_ns
        Of costs, as traced, and the base's where not: `STEPS` and `idle_exit`.

    Raises
    ------
    InputError
        Latencies cannot be read, or their histogram does not hold their median.
    """
    for folder, wake_ups in recorded:
        traced, untraced = (None, None) if folder is None else (traced_latencies(folder), first_measured(folder))
        if traced is None and untraced is None:
            continue
        traced_way = Way.of(wake_ups.of_tool(), means_ns["schedule"])
        way = traced_way if wake_ups.expiries_traced else _idle_way(means_ns)
        if way is None:
            return None, [f"{folder}: the trace has no realtime wake-ups of cyclictest, its latencies are not used"]
        return anchored(way, traced, untraced, sum(means_ns[step] for step in REST))
    if rest is None:
        return None, []
    return from_latencies(rest, [each for _, wake_ups in recorded for each in wake_ups.all()]), []


def _idle_way(means_ns: Mapping[str, float]) -> Way:
    """Return the steps of a wake-up on an idle CPU, for a trace that does not tell when timers expire."""
    late = means_ns["idle_exit"] + means_ns["irq_entry"]
    return Way(late, late + sum(means_ns[step] for step in ("timer_irq", "wake", "schedule")), 0)


def anchored(
    way: Way, traced: Measured | None, untraced: Measured | None, base_ns: float
) -> tuple[Anchor | None, list[str]]:
    """Return what a tool's latencies beside a trace tell, and what is doubtful about them.

    Parameters
    ----------
    way
        Of its threads under the trace.
    traced, untraced
        What it measured under the trace, and without.
    base_ns
        What the base has for the rest of the way.

    Raises
    ------
    InputError
        A histogram does not hold the median of its samples.
    """
    if traced is None:
        return (None, []) if untraced is None else (_from_total(way, Total.of(untraced), base_ns), [])
    with_trace = Total.of(traced)
    rest = max(with_trace.median_ns - way.switched_ns, 0.0)
    how = "median latency under the trace less that up to the switch, in the base's proportion"
    if untraced is None or untraced.tool != traced.tool:
        return Anchor(_fit(rest, with_trace), 1.0, with_trace.median_ns, how), []
    without = Total.of(untraced)
    share = (without.median_ns - way.late_ns) / (with_trace.median_ns - way.late_ns)
    warnings = []
    if not 0 < share <= 1:
        if not share > 0 or without.median_ns - with_trace.median_ns > with_trace.error_ns + without.error_ns:
            warnings.append(
                f"{untraced.tool}'s median is {without} without tracing and {with_trace} with it: not tracing made the "
                "difference, and the steps are taken as traced"
            )
        share = 1.0
    total = way.late_ns + share * (with_trace.median_ns - way.late_ns)
    return Anchor(_fit(rest * share, with_trace), share, total, f"{how}; times {share:.3g}, as tracing adds"), warnings


def _from_total(way: Way, without: Total, base_ns: float) -> Anchor:
    """Give what is missing to the rest; where the steps are too long already, all are shortened."""
    how = "median latency without tracing less the time up to the switch with it, in the base's proportion"
    if without.median_ns >= way.switched_ns + base_ns:
        return Anchor(_fit(without.median_ns - way.switched_ns, without), 1.0, without.median_ns, how)
    share = max(without.median_ns - way.late_ns, 0.0) / (way.switched_ns + base_ns - way.late_ns)
    how = (
        f"the base's times {share:.3g}, as are the traced steps: the median latency without tracing is so much shorter"
    )
    return Anchor(_fit(base_ns * share, without), share, without.median_ns, how)


def from_latencies(rest: Fit, wake_ups: Sequence[WakeUp]) -> Anchor:
    """Return what threads tell that wrote their latencies down, all under the trace."""
    latency = median(each.latency for each in wake_ups if each.latency is not None)
    return Anchor(rest, 1.0, latency, "recorded latencies less the time up to the switch, in the base's proportion")


def rest_costs(anchor: Anchor, base_ns: Mapping[str, float]) -> dict[str, Fit]:
    """Return the steps of the rest, in the proportion of the base's means."""
    whole = sum(base_ns[step] for step in REST)
    parts = {step: base_ns[step] / whole if whole else 1 / len(REST) for step in REST}
    rest = anchor.rest
    return {step: constant(rest.mean_ns * part, rest.count, rest.error_ns) for step, part in parts.items()}


def _fit(ns: float, total: Total) -> Fit:
    return constant(ns, total.count, total.error_ns)
