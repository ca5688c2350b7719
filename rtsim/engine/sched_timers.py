"""Timers of the scheduler itself: periods of bandwidth control, throttled deadline tasks, the fair server.

They are hard hrtimers like any other and share the clock event device of the CPU they were started on.
"""

from __future__ import annotations

from rtsim.engine import timers
from rtsim.engine.constants import NEVER, NONE
from rtsim.engine.jit import handler
from rtsim.engine.state import State

__all__ = ["cancel", "pop_expired", "start"]


@handler
def start(s: State, timer: int, cpu: int, at: int) -> None:
    """Let `timer` expire at `at` on `cpu`, instead of when it was to."""
    cancel(s, timer)
    t = s.sched_timers[timer]
    t.cpu = cpu
    t.at = at
    before, after = NONE, s.cpus[cpu].sched_timer
    while after >= 0 and s.sched_timers[after].at <= at:
        before, after = after, s.sched_timers[after].next
    t.next = after
    if before >= 0:
        s.sched_timers[before].next = timer
    else:
        _set_first(s, cpu, timer)


@handler
def cancel(s: State, timer: int) -> None:
    """Let `timer` not expire."""
    t = s.sched_timers[timer]
    if t.at == NEVER:
        return
    t.at = NEVER
    before, at = NONE, s.cpus[t.cpu].sched_timer
    while at != timer:
        before, at = at, s.sched_timers[at].next
    if before >= 0:
        s.sched_timers[before].next = t.next
    else:
        _set_first(s, t.cpu, t.next)


@handler
def _set_first(s: State, cpu: int, timer: int) -> None:
    c = s.cpus[cpu]
    c.sched_timer = timer
    c.sched_timer_at = s.sched_timers[timer].at if timer >= 0 else NEVER
    timers.program_clock(s, cpu)


@handler
def pop_expired(s: State, cpu: int) -> int:
    """Take the first expired timer of `cpu` off; return it, -1 if there is none."""
    timer = s.cpus[cpu].sched_timer
    if timer < 0 or s.sched_timers[timer].at > s.m[0].now:
        return NONE
    s.sched_timers[timer].expiry = s.sched_timers[timer].at
    cancel(s, timer)
    return timer
