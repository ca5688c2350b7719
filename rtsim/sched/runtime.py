"""Run time of groups with cpu.max: a queue draws slices from its group's pool until that is empty.

Taking a queue that ran out off its CPU, and giving it back, is in `bandwidth`.
"""

from __future__ import annotations

from rtsim.engine import sched_timers
from rtsim.engine.constants import NEVER
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched.entity import kernel_of
from rtsim.sched.resched import resched_curr

__all__ = [
    "LEAST_EXPIRATION_NS",
    "account_cfs_rq_runtime",
    "assign_cfs_rq_runtime",
    "refresh_within",
    "start_period",
    "start_slack",
]

SLACK_PERIOD_NS = 5_000_000
LEAST_EXPIRATION_NS = 2_000_000


@handler
def start_period(s: State, group: int, cpu: int) -> None:
    """Start the group's period timer unless it runs: its ends are whole periods after its first start."""
    g = s.groups[group]
    if g.period_active == 1:
        return
    g.period_active = 1
    now = s.m[0].now
    if g.period_at <= now:
        g.period_at += ((now - g.period_at) // g.period + 1) * g.period
    sched_timers.start(s, g.period_timer, cpu, g.period_at)


@handler
def assign_cfs_rq_runtime(s: State, queue: int, target: int) -> bool:
    """Fill `queue` up to `target` ns from its group's pool; return whether it has any (__assign_cfs_rq_runtime)."""
    q = s.cfs_rqs[queue]
    g = s.groups[q.group]
    start_period(s, q.group, q.cpu)
    if g.runtime > 0:
        amount = min(g.runtime, target - q.runtime_remaining)
        g.runtime -= amount
        g.idle_periods = 0
        q.runtime_remaining += amount
    return q.runtime_remaining > 0


@handler
def account_cfs_rq_runtime(s: State, queue: int, delta: int) -> None:
    """Take `delta` ns from what `queue` may still run; ask for a reschedule when it has and gets no more."""
    q = s.cfs_rqs[queue]
    if q.group < 0 or s.groups[q.group].quota == 0:
        return
    q.runtime_remaining -= delta
    if q.runtime_remaining > 0 or q.throttled == 1:
        return
    if not assign_cfs_rq_runtime(s, queue, s.kernels[kernel_of(s, queue)].bandwidth_slice) and q.curr >= 0:
        resched_curr(s, q.cpu)


@handler
def left(s: State, queue: int) -> int:
    """Return what `queue` may run before it asks its group for more (ns), NEVER where there is no limit."""
    q = s.cfs_rqs[queue]
    if q.group < 0 or s.groups[q.group].quota == 0:
        return NEVER
    return max(q.runtime_remaining, 0)


@handler
def refresh_within(s: State, group: int, span: int) -> bool:
    """Return whether the group's pool is refilled within `span` ns (runtime_refresh_within)."""
    return s.sched_timers[s.groups[group].period_timer].at - s.m[0].now < span


@handler
def start_slack(s: State, group: int, cpu: int) -> None:
    """Have run time that was given back handed on in 5 ms, unless the pool is refilled soon."""
    timer = s.groups[group].slack_timer
    if not refresh_within(s, group, SLACK_PERIOD_NS + LEAST_EXPIRATION_NS) and s.sched_timers[timer].at == NEVER:
        sched_timers.start(s, timer, cpu, s.m[0].now + SLACK_PERIOD_NS)
