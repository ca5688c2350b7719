"""RT throttling: realtime tasks may use only part of each period, on each CPU and, with RT_GROUP_SCHED, of each group.

A queue whose tasks have used it up runs none until a period ends. All CPUs of a kernel, or of a group, share one grid
of periods. The queues of groups only count: tasks wait in the lists of their CPU, and one below a throttled queue is
not picked.
"""

from __future__ import annotations

from rtsim.engine import sched_timers
from rtsim.engine.constants import NEVER, NONE
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched.entity import queue_of
from rtsim.sched.resched import resched_curr, update_rq_clock

__all__ = [
    "account",
    "account_deadline",
    "budget_left",
    "count",
    "end_period",
    "is_throttled",
    "rt_queue_of",
    "start_periods",
]


@handler
def rt_queue_of(s: State, task: int, cpu: int) -> int:
    """Return the realtime queue that `task` counts in on `cpu`: its group's where those have budgets, or the root."""
    if s.kernels[s.cpus[cpu].kernel].rt_group_sched == 0:
        return cpu
    return queue_of(s, task, cpu)


@handler
def _above(s: State, queue: int) -> int:
    entity = s.cfs_rqs[queue].entity
    return s.entities[entity].queue if entity >= 0 else NONE


@handler
def is_throttled(s: State, task: int, cpu: int) -> bool:
    """Return whether the queue of `task`, or one above it, is throttled."""
    queue = rt_queue_of(s, task, cpu)
    while queue >= 0:
        if s.rt_rqs[queue].rt_throttled == 1:
            return True
        queue = _above(s, queue)
    return False


@handler
def count(s: State, cpu: int, queue: int, tasks: int, round_robin: int) -> None:
    """Count `tasks` more in `queue` and those above it, up to a throttled one; its CPU has more to run otherwise."""
    while queue >= 0:
        r = s.rt_rqs[queue]
        r.rt_nr_running += tasks
        r.rr_nr_running += round_robin
        if r.rt_throttled == 1:
            return
        queue = _above(s, queue)
    s.cpus[cpu].nr_running += tasks


@handler
def start_periods(s: State, task: int, cpu: int) -> None:
    """Start the period timers of the queues that `task` counts in."""
    queue = rt_queue_of(s, task, cpu)
    while queue >= 0:
        _start_period(s, queue)
        queue = _above(s, queue)


@handler
def _start_period(s: State, queue: int) -> None:
    """Start the queue's period timer unless it runs: it goes on with its grid, at once if that is past."""
    r = s.rt_rqs[queue]
    t = s.sched_timers[r.rt_timer]
    if r.rt_runtime != NEVER and t.at == NEVER:
        sched_timers.start(s, r.rt_timer, s.cfs_rqs[queue].cpu, max(s.m[0].now, t.expiry + r.rt_period))


@handler
def account(s: State, cpu: int, task: int, delta: int) -> None:
    """Charge the queues of `task` with `delta` ns that it ran; mark the CPU when one of them is used up."""
    queue = rt_queue_of(s, task, cpu)
    while queue >= 0:
        r = s.rt_rqs[queue]
        if r.rt_runtime != NEVER:
            r.rt_time += delta
            if _exceeded(s, cpu, queue):
                resched_curr(s, cpu)
                _start_period(s, queue)
        queue = _above(s, queue)


@handler
def account_deadline(s: State, cpu: int, delta: int) -> None:
    """Charge the realtime budget of `cpu` with `delta` ns of a deadline task, which shares it (update_curr_dl)."""
    r = s.rt_rqs[cpu]
    if r.rt_runtime != NEVER and (s.sched_timers[r.rt_timer].at != NEVER or r.rt_time < r.rt_runtime):
        r.rt_time += delta


@handler
def _exceeded(s: State, cpu: int, queue: int) -> bool:
    """Return whether `queue` has used its budget up; throttle it if so (sched_rt_runtime_exceeded)."""
    r = s.rt_rqs[queue]
    if r.rt_throttled == 1:
        return True
    if r.rt_runtime >= r.rt_period or r.rt_time <= r.rt_runtime:
        return False
    _count_above(s, cpu, queue, -1)
    r.rt_throttled = 1
    s.cpus[cpu].overruled += 1
    return True


@handler
def _count_above(s: State, cpu: int, queue: int, sign: int) -> None:
    r = s.rt_rqs[queue]
    count(s, cpu, _above(s, queue), sign * r.rt_nr_running, sign * r.rr_nr_running)


@handler
def budget_left(s: State, cpu: int, task: int) -> int:
    """Return how long `task` has to run until one of its queues is throttled (ns; NEVER: it will not be)."""
    least = NEVER
    queue = rt_queue_of(s, task, cpu)
    while queue >= 0:
        r = s.rt_rqs[queue]
        if r.rt_runtime < r.rt_period:
            least = min(least, r.rt_runtime - r.rt_time + 1)
        queue = _above(s, queue)
    return least


@handler
def end_period(s: State, first: int) -> None:
    """Give `first`, a queue on its kernel's first CPU, and its like on the other CPUs their budget back.

    The timer stops when none of them has realtime tasks or a debt (do_sched_rt_period_timer).
    """
    k = s.kernels[s.cpus[s.cfs_rqs[first].cpu].kernel]
    needed = False
    for queue in range(first, first + k.cpu_count):
        r = s.rt_rqs[queue]
        if r.rt_time == 0 and r.rt_nr_running == 0:
            continue
        _refill(s, queue)
        needed = needed or r.rt_time > 0 or r.rt_nr_running > 0
    if needed:
        timer = s.rt_rqs[first].rt_timer
        t = s.sched_timers[timer]
        sched_timers.start(s, timer, t.cpu, t.expiry + s.rt_rqs[first].rt_period)


@handler
def _refill(s: State, queue: int) -> None:
    """Take a budget off the time that `queue` has used; let it run again if it was throttled."""
    r = s.rt_rqs[queue]
    cpu = s.cfs_rqs[queue].cpu
    update_rq_clock(s, cpu)
    r.rt_time -= min(r.rt_time, r.rt_runtime)
    if r.rt_throttled == 0 or r.rt_time >= r.rt_runtime:
        return
    r.rt_throttled = 0
    _count_above(s, cpu, queue, 1)
    if r.rt_nr_running > 0:
        if s.cpus[cpu].curr < 0:
            s.cpus[cpu].clock_skip = 0
        resched_curr(s, cpu)
