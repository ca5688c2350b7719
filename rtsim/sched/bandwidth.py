"""Bandwidth control (cpu.max): queues that ran out of run time leave their CPU until the group gets more.

A pool is refilled at each end of the group's period, and queues are served in the order in which they ran out, each
with just enough to be positive.
"""

from __future__ import annotations

from rtsim.engine.constants import NONE
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.engine.timers import update_tick
from rtsim.sched import fair_server, runtime
from rtsim.sched.cfs_rq import dequeue_entity, enqueue_entity
from rtsim.sched.entity import is_idle, parent
from rtsim.sched.groups import update_load_avg
from rtsim.sched.resched import resched_curr, update_rq_clock

__all__ = ["check_cfs_rq_runtime", "check_enqueue_throttle", "end_period", "end_slack", "throttled_hierarchy"]


@handler
def throttled_hierarchy(s: State, queue: int) -> bool:
    """Return whether `queue` or a queue above it is throttled."""
    return s.cfs_rqs[queue].throttle_count > 0


@handler
def check_cfs_rq_runtime(s: State, queue: int) -> bool:
    """Throttle `queue` if it ran out; return whether it is throttled."""
    q = s.cfs_rqs[queue]
    if q.group < 0 or s.groups[q.group].quota == 0 or q.runtime_remaining > 0:
        return False
    return q.throttled == 1 or _throttle_cfs_rq(s, queue)


@handler
def check_enqueue_throttle(s: State, queue: int) -> None:
    """Throttle `queue` at once when its first entity joins and there is nothing left to run."""
    q = s.cfs_rqs[queue]
    if q.group < 0 or s.groups[q.group].quota == 0 or q.curr >= 0 or q.throttled == 1:
        return
    runtime.account_cfs_rq_runtime(s, queue, 0)
    if q.runtime_remaining <= 0:
        _throttle_cfs_rq(s, queue)


@handler
def _count_throttled(s: State, queue: int, change: int) -> None:
    """Mark every queue of this CPU at and below `queue` as in (+1) or no longer in (-1) a throttled hierarchy."""
    cpu = s.cfs_rqs[queue].cpu
    base = s.kernels[s.cpus[cpu].kernel].cpu_base
    for group in range(len(s.groups)):
        first = s.groups[group].first_queue
        if s.groups[group].kernel != s.cpus[cpu].kernel:
            continue
        at = first + cpu - base
        above = at
        while above >= 0 and above != queue:
            entity = s.cfs_rqs[above].entity
            above = s.entities[entity].queue if entity >= 0 else NONE
        if above == queue:
            s.cfs_rqs[at].throttle_count += change


@handler
def _take_away(s: State, queue: int) -> bool:
    """Dequeue what stands for `queue` as far up as there is nothing else; return whether up to the root."""
    q = s.cfs_rqs[queue]
    queued, runnable, idle = q.h_nr_running, q.h_nr_runnable, q.h_nr_idle
    entity = q.entity
    leaving = True
    while entity >= 0:
        if s.entities[entity].on_rq == 0:
            return False
        above = s.entities[entity].queue
        if leaving:
            dequeue_entity(s, entity, True, False)
            leaving = s.cfs_rqs[above].load == 0
        else:
            update_load_avg(s, entity)
        if is_idle(s, entity):
            idle = queued
        a = s.cfs_rqs[above]
        a.h_nr_running -= queued
        a.h_nr_runnable -= runnable
        a.h_nr_idle -= idle
        entity = parent(s, entity)
    s.cpus[q.cpu].nr_running -= queued
    return True


@handler
def _throttle_cfs_rq(s: State, queue: int) -> bool:
    """Take `queue` off its CPU, unless a last request gets some run time; return whether it was taken."""
    if runtime.assign_cfs_rq_runtime(s, queue, 1):
        return False
    q = s.cfs_rqs[queue]
    g = s.groups[q.group]
    q.throttled_next = NONE
    if g.throttled_head < 0:
        g.throttled_head = queue
    else:
        s.cfs_rqs[g.throttled_tail].throttled_next = queue
    g.throttled_tail = queue
    _count_throttled(s, queue, 1)
    _take_away(s, queue)
    q.throttled = 1
    return True


@handler
def _unthrottle_cfs_rq(s: State, queue: int) -> None:
    """Give `queue` back to its CPU."""
    q = s.cfs_rqs[queue]
    q.throttled = 0
    update_rq_clock(s, q.cpu)
    _count_throttled(s, queue, -1)
    if q.load == 0:
        return
    before = s.cfs_rqs[q.cpu].h_nr_running
    queued, runnable, idle = q.h_nr_running, q.h_nr_runnable, q.h_nr_idle
    entity = q.entity
    joining = True
    while entity >= 0:
        e = s.entities[entity]
        above = e.queue
        if joining and e.delayed == 1:
            dequeue_entity(s, entity, True, False)
        joining = joining and e.on_rq == 0
        if joining:
            enqueue_entity(s, entity, False)
            if s.cfs_rqs[above].nr_running == 1:
                check_enqueue_throttle(s, above)
        else:
            update_load_avg(s, entity)
        if is_idle(s, entity):
            idle = queued
        a = s.cfs_rqs[above]
        a.h_nr_running += queued
        a.h_nr_runnable += runnable
        a.h_nr_idle += idle
        if a.throttled == 1:
            break
        entity = parent(s, entity)
    if entity < 0:
        if before == 0 and s.cfs_rqs[q.cpu].h_nr_running > 0:
            fair_server.start(s, q.cpu)
        s.cpus[q.cpu].nr_running += queued
        if s.cpus[q.cpu].curr >= 0:
            update_tick(s, q.cpu)
    if s.cpus[q.cpu].curr < 0 and s.cfs_rqs[q.cpu].nr_running > 0:
        resched_curr(s, q.cpu)


@handler
def _distribute(s: State, group: int) -> None:
    """Serve throttled queues, first come first served, while the pool lasts (distribute_cfs_runtime)."""
    g = s.groups[group]
    while g.throttled_head >= 0 and g.runtime > 0:
        queue = g.throttled_head
        q = s.cfs_rqs[queue]
        amount = min(1 - q.runtime_remaining, g.runtime)
        g.runtime -= amount
        q.runtime_remaining += amount
        if q.runtime_remaining <= 0:
            break
        g.throttled_head = q.throttled_next
        _unthrottle_cfs_rq(s, queue)


@handler
def end_period(s: State, group: int) -> None:
    """Refill the group's pool at the end of its period; the timer stops when a whole period was idle."""
    g = s.groups[group]
    g.period_active = 0
    g.runtime = min(g.runtime + g.quota, g.quota + g.burst)
    throttled = g.throttled_head >= 0
    if g.idle_periods == 1 and not throttled:
        return
    g.idle_periods = 0 if throttled else 1
    if throttled:
        _distribute(s, group)
    runtime.start_period(s, group, s.sched_timers[g.period_timer].cpu)


@handler
def end_slack(s: State, group: int) -> None:
    """Hand on what queues that went empty have given back (do_sched_cfs_slack_timer)."""
    enough = s.groups[group].runtime > s.kernels[s.groups[group].kernel].bandwidth_slice
    if enough and not runtime.refresh_within(s, group, runtime.LEAST_EXPIRATION_NS):
        _distribute(s, group)
