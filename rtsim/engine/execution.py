"""What a CPU executes: a stack of interruptions above a task, a switch or idleness, and when each ends.

Levels, weakest first: the base (a task, a context switch, idle, leaving idle), softirq, hard interrupt, NMI, hardware
stall. A stronger level suspends the weaker ones, whose work left is kept in ns; the running one's end stands in the
calendar (NONE: nothing is under way at the base). Interrupts wait while they are off: in a switch, in VM entry and
exit, in another interrupt.
"""

from __future__ import annotations

from rtsim.engine import calendar, observe, rtsl, smt
from rtsim.engine.constants import BASE, NEVER, NONE, SOFTIRQ
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State

__all__ = ["begin_base", "enter_level", "next_level_below", "resume", "suspend"]


@inlined
def suspend(s: State, cpu: int) -> None:
    """Account what `cpu` has done and keep what is left of its present stretch."""
    observe.account(s, cpu)
    c = s.cpus[cpu]
    if c.level == BASE:
        rtsl.begin_interruption(s, cpu)
    end = calendar.slot_time(s, cpu)
    if end != NEVER:
        c.left[c.level] = smt.work_in(s, cpu, end - s.m[0].now)
        calendar.disarm(s, cpu)


@inlined
def resume(s: State, cpu: int) -> None:
    """Let `cpu` work off what is left at its present level; NEVER is open-ended."""
    c = s.cpus[cpu]
    left = c.left[c.level]
    if left in (NEVER, NONE):
        calendar.disarm(s, cpu)
    else:
        calendar.arm(s, cpu, s.m[0].now + smt.time_for(s, cpu, left))


@inlined
def begin_base(s: State, cpu: int, base: int, work: int) -> None:
    """Begin a stretch of `work` ns at the base level; what was there is accounted and over."""
    observe.account(s, cpu)
    c = s.cpus[cpu]
    c.bottom = base
    c.left[BASE] = work
    resume(s, cpu)


@handler
def enter_level(s: State, cpu: int, level: int, work: int) -> None:
    """Interrupt `cpu` at `level` for `work` ns; if it is at least that deep already, the work waits its turn there."""
    c = s.cpus[cpu]
    if c.level > level:
        c.left[level] += work
        return
    if c.level == level and level != BASE:
        calendar.arm(s, cpu, calendar.slot_time(s, cpu) + smt.time_for(s, cpu, work))
        return
    suspend(s, cpu)
    c.level = level
    c.left[level] = work
    resume(s, cpu)


@handler
def _under_way(s: State, cpu: int, level: int) -> bool:
    c = s.cpus[cpu]
    return c.left[level] != 0 or (level == SOFTIRQ and c.softirq_round != 0)


@inlined
def next_level_below(s: State, cpu: int) -> int:
    """End the present level of interruption; return the strongest level below that has work, else BASE."""
    observe.account(s, cpu)
    c = s.cpus[cpu]
    c.left[c.level] = 0
    level = c.level - 1
    while level > BASE and not _under_way(s, cpu, level):
        level -= 1
    c.level = level
    if level == BASE:
        rtsl.end_interruption(s, cpu)
    return level
