"""Upper bounds on latency that are proved, not sampled: response-time analysis, and the bound of rtsl.

Pure arithmetic on task parameters and on observed maxima; all times are integer nanoseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

__all__ = [
    "UNDISTURBED",
    "Bucket",
    "PeriodicTask",
    "RtslParts",
    "least_of",
    "response_time",
    "rtsl_bound",
    "sliding_window",
]

RTSL_LIMIT_NS = 100_000_000
"""Where rtsl gives a fixed point up."""


@dataclass(frozen=True)
class PeriodicTask:
    """A realtime task, released each `period_ns`, late by up to `jitter_ns`, that computes for at most `work_ns`."""

    priority: int
    """rtprio: larger is stronger."""
    work_ns: int
    period_ns: int
    jitter_ns: int = 0
    blocking_ns: int = 0
    """Longest section of a weaker task that keeps this one off the CPU."""

    def work_within(self, window_ns: int) -> int:
        """Return the most work that is released in a window of this length (ns)."""
        return -(-(window_ns + self.jitter_ns) // self.period_ns) * self.work_ns


@dataclass(frozen=True)
class Bucket:
    """A leaky bucket: interruptions take at most `burst_ns` + `rate` times its length (ns) in any window."""

    burst_ns: int
    rate: Fraction

    def within(self, window_ns: int) -> int:
        """Return the most time (ns) that interruptions take in a window of this length (ns).

        Examples
        --------
        >>> Bucket(2_000, Fraction(1, 8)).within(100)
        2013
        """
        return self.burst_ns - (-window_ns * self.rate.numerator // self.rate.denominator)


UNDISTURBED = Bucket(0, Fraction(0))
"""No interruptions at all."""


def least_of(buckets: Sequence[Bucket]) -> Callable[[int], int]:
    """Return the most time (ns) that interruptions which satisfy all `buckets` take, by the window's length (ns)."""
    return lambda window_ns: min(bucket.within(window_ns) for bucket in buckets)


def response_time(tasks: Sequence[PeriodicTask], interruptions: Bucket = UNDISTURBED) -> list[int | None]:
    """Return the longest time from release to completion of each task's jobs on one CPU.

    The least fixed point of ``w = B + (q + 1) C + sum over the others j of ceil((w + J_j) / T_j) C_j + I(w)``, where
    the others are the tasks at least as strong and I is what `interruptions` take, for each job ``q`` of the busy
    period; the response is the largest ``w - q T + J`` (Joseph and Pandya 1986; Audsley et al. 1993; jobs beyond the
    first: Lehoczky 1990, Tindell 1994).
    It is reached when all are released at once, except that tasks of equal priority, which are served in order of
    arrival, may do better.

    Returns
    -------
    list of int or None
        ns, in the order of `tasks`; None where those at least as strong ask for all of the CPU or more.

    Examples
    --------
    >>> response_time([PeriodicTask(3, 3, 7), PeriodicTask(2, 3, 12), PeriodicTask(1, 5, 20)])
    [3, 6, 20]
    """
    return [
        _response(
            task,
            [other for row, other in enumerate(tasks) if row != number and other.priority >= task.priority],
            interruptions,
        )
        for number, task in enumerate(tasks)
    ]


def _response(task: PeriodicTask, others: Sequence[PeriodicTask], interruptions: Bucket) -> int | None:
    if interruptions.rate + sum(Fraction(one.work_ns, one.period_ns) for one in (task, *others)) >= 1:
        return None
    longest, job, end = 0, 0, 0
    while job == 0 or end > job * task.period_ns - task.jitter_ns:  # the next job is released into the busy period
        own = task.blocking_ns + (job + 1) * task.work_ns
        end = _least_fixed_point(own, others, interruptions, max(own, end))
        longest = max(longest, end - job * task.period_ns + task.jitter_ns)
        job += 1
    return longest


def _least_fixed_point(own_ns: int, others: Sequence[PeriodicTask], interruptions: Bucket, start_ns: int) -> int:
    window = start_ns
    while (longer := _demand(own_ns, others, interruptions, window)) != window:
        window = longer
    return window


def _demand(own_ns: int, others: Sequence[PeriodicTask], interruptions: Bucket, window_ns: int) -> int:
    return own_ns + sum(other.work_within(window_ns) for other in others) + interruptions.within(window_ns)


@dataclass(frozen=True)
class RtslParts:
    """Observed maxima of one CPU in the words of the rtsl tool, without the time of interrupts; ns."""

    poid: int
    """Preemption or interrupts disabled by a thread, not to schedule."""
    paie: int
    """Both enabled with a reschedule due, until the scheduler is called."""
    psd: int
    """Preemption disabled to call the scheduler, until that ends: the context switch included."""
    dst: int
    """From the interrupts' being disabled before the context switch until preemption is enabled again."""

    @property
    def interference_free(self) -> int:
        """Longest scheduling latency without interrupts (ns).

        Examples
        --------
        >>> RtslParts(poid=56194, paie=5167, psd=48092, dst=45883).interference_free
        109453
        """
        return max(self.poid, self.dst) + self.paie + self.psd


def rtsl_bound(parts: RtslParts, interference: Callable[[int], int] | None = None) -> int | None:
    """Return the bound on the scheduling latency of the strongest thread of a CPU (ns).

    The least fixed point of ``L = max(D_ST, D_POID) + D_PAIE + D_PSD + I(L)`` (de Oliveira, Casini, de Oliveira and
    Cucinotta, ECRTS 2020): from the need to run until running, for a fully preemptive kernel.

    Parameters
    ----------
    interference
        The most time (ns) that interrupts and NMIs take in a window of the given length (ns), such as
        `sliding_window` or `least_of`; none by default.

    Returns
    -------
    int or None
        None where interrupts leave too little: no fixed point up to 100 ms, where rtsl gives up.
    """
    window = parts.interference_free
    while interference is not None and window <= RTSL_LIMIT_NS:
        longer = parts.interference_free + interference(window)
        if longer == window:
            break
        window = longer
    return window if window <= RTSL_LIMIT_NS else None


def sliding_window(vectors: Mapping[str, Iterable[tuple[int, int]]]) -> Callable[[int], int]:
    """Return what `rtsl_bound` asks for: of each vector the most that any window of a length was observed to hold.

    Parameters
    ----------
    vectors
        (begin, duration) in ns of each occurrence, in order, by vector. An occurrence counts in full in every window
        that it begins in.
    """
    sums = [_cumulated(occurrences) for occurrences in vectors.values()]

    def interference(window_ns: int) -> int:
        return sum(_most_within(begins, totals, window_ns) for begins, totals in sums)

    return interference


def _cumulated(occurrences: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    begins: list[int] = []
    totals = [0]
    for begin, duration in occurrences:
        begins.append(begin)
        totals.append(totals[-1] + duration)
    return begins, totals


def _most_within(begins: Sequence[int], totals: Sequence[int], window_ns: int) -> int:
    ends = (bisect_left(begins, begin + window_ns) for begin in begins)
    return max((totals[end] - totals[first] for first, end in enumerate(ends)), default=0)
