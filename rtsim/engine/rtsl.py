"""What a bound on latency is computed from: the longest sections of each CPU, and how dense its interruptions are.

Sections are the work drawn for them, so interruptions are not in them. Interruptions are whatever keeps the base level
from advancing: interrupts, softirqs at their end, NMIs and stalls; for a guest CPU also all time out of guest mode, but
not that after it has halted by itself. They are kept as leaky buckets (Cruz 1991, "A calculus for network delay"): in
every window of the run they take at most `burst` + rate * length, for each of `RATES`.
"""

from __future__ import annotations

from rtsim.engine.constants import RATE_UNIT, RATES
from rtsim.engine.jit import inlined
from rtsim.engine.state import State

__all__ = ["begin_interruption", "end_interruption", "note_section"]


@inlined
def note_section(s: State, cpu: int, work: int) -> None:
    """Note that a thread kept preemption or interrupts off for `work` ns, not to schedule."""
    c = s.cpus[cpu]
    if work > c.poid:
        c.poid = work


@inlined
def begin_interruption(s: State, cpu: int) -> None:
    """Let an interruption of the base level begin now."""
    s.cpus[cpu].interrupted_at = s.m[0].now


@inlined
def end_interruption(s: State, cpu: int) -> None:
    """Let the base level go on: put the interruption into the buckets, after what has leaked out since the last one."""
    c = s.cpus[cpu]
    now = s.m[0].now
    length = now - c.interrupted_at
    gap = c.interrupted_at - c.resumed_at
    c.resumed_at = now
    for i in range(len(RATES)):
        level = max(c.bucket[i] - RATES[i] * gap, 0) + (RATE_UNIT - RATES[i]) * length
        c.bucket[i] = level
        if level > c.bucket_most[i]:
            c.bucket_most[i] = level
