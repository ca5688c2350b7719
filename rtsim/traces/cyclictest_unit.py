"""Whether latencies that cyclictest printed can be in microseconds.

Its texts look the same with ``-N``, which makes them nanoseconds, but intervals are in microseconds always. No thread
is late by more than its interval each time; and where no cycle was missed, not even on average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rtsim.traces.measured import Thread

__all__ = ["unit_warnings"]

NONE_MISSED = 0.01
"""Threads of different intervals ran equally long, but for this part: none of them missed cycles."""


def unit_warnings(threads: Sequence[Thread], intervals_us: Mapping[int, int]) -> tuple[str, ...]:
    """Return a sentence if what was read as us cannot be, else nothing.

    Parameters
    ----------
    threads
        Read as if they were in us.
    intervals_us
        By thread, where the text says.
    """
    found = [(each, intervals_us[each.number] * 1000) for each in threads if intervals_us.get(each.number)]
    run_ns = _run_ns(found)
    for thread, interval_ns in found:
        samples = thread.samples
        limits: list[tuple[str, float | None, int, str]] = [("smallest", samples.min_ns, interval_ns, "its interval")]
        if run_ns is not None:
            limits.append(("mean", samples.mean_ns, interval_ns, "its interval, of which it missed none"))
            limits.append(("largest", samples.max_ns, run_ns, "the whole run"))
        for which, value_ns, limit_ns, of in limits:
            if value_ns is not None and value_ns > limit_ns:
                latency = f"thread {thread.number}'s {which} latency, {value_ns / 1000:.0f}, read as us"
                limit = f"longer than {of} ({limit_ns / 1000:.0f} us)"
                return (f"{latency} is {limit}; if it was cyclictest -N, say unit='ns' (--unit ns)",)
    return ()


def _run_ns(found: Sequence[tuple[Thread, int]]) -> int | None:
    """Return how long the run was, None where cycles may have been missed: one interval tells nothing."""
    runs = [thread.samples.count * interval_ns for thread, interval_ns in found]
    alike = len({interval_ns for _, interval_ns in found}) > 1 and max(runs) - min(runs) <= NONE_MISSED * max(runs)
    return max(runs) if alike else None
