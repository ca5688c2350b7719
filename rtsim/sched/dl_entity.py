"""What the deadline class schedules, tasks and fair servers: a budget each period, by the constant bandwidth server.

Names and order of events are those of ``deadline.c``. An entity that may run is in the list of its CPU, by absolute
deadline, also while it runs. One that has used its budget up is throttled: a timer gives it the next one. A deferred
entity (the fair server) waits, armed, until its deadline less its budget, unless it has been running since.
"""

from __future__ import annotations

from rtsim.engine import sched_timers
from rtsim.engine.constants import NEVER, NONE
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched.resched import resched_curr

__all__ = [
    "MOVED",
    "NEW",
    "REPLENISH",
    "WAKEUP",
    "cpu_of",
    "dequeue_dl_entity",
    "dl_entity_preempt",
    "enqueue_dl_entity",
    "is_server",
    "replenish_dl_entity",
    "replenish_dl_new_period",
    "server_of",
    "update_curr_dl_se",
]

MOVED, NEW, WAKEUP, REPLENISH = 0, 1, 2, 3
"""Why an entity is queued: it changes CPU, has just become one, wakes, or gets a new budget."""

DL_SCALE = 10
"""Budgets are compared in units of 1.024 us, as the kernel does."""
BW_SHIFT = 20
"""Bits behind the point of a bandwidth."""


@handler
def is_server(s: State, entity: int) -> bool:
    """Return whether `entity` is the fair server of a CPU, not a task."""
    return entity >= len(s.tasks)


@handler
def server_of(s: State, cpu: int) -> int:
    """Return the fair server of `cpu`."""
    return len(s.tasks) + cpu


@handler
def cpu_of(s: State, entity: int) -> int:
    """Return the CPU that `entity` belongs to."""
    return entity - len(s.tasks) if is_server(s, entity) else s.tasks[entity].cpu


@handler
def _rq_clock(s: State, entity: int) -> int:
    return s.cpus[cpu_of(s, entity)].clock


# ---- the list of a CPU ----------------------------------------------------------------------------------------------


@handler
def _count(s: State, entity: int, change: int) -> None:
    c = s.cpus[cpu_of(s, entity)]
    before = c.dl_nr_running
    c.dl_nr_running += change
    s.kernels[c.kernel].dl_overloaded += int(c.dl_nr_running > 1) - int(before > 1)
    if not is_server(s, entity) or s.kernels[c.kernel].fair_server_idle_wait == 0:
        c.nr_running += change  # until idle-wait came, a server that may run counted as a task


@handler
def _link(s: State, entity: int) -> None:
    """Put `entity` behind those with an earlier or the same deadline."""
    d = s.dl_entities[entity]
    c = s.cpus[cpu_of(s, entity)]
    before, after = NONE, c.dl_head
    while after >= 0 and s.dl_entities[after].deadline <= d.deadline:
        before, after = after, s.dl_entities[after].next
    d.next = after
    if before >= 0:
        s.dl_entities[before].next = entity
    else:
        c.dl_head = entity
    d.on_rq = 1
    _count(s, entity, 1)


@handler
def dequeue_dl_entity(s: State, entity: int) -> None:
    """Take `entity` out of the list of its CPU, if it is there."""
    d = s.dl_entities[entity]
    c = s.cpus[cpu_of(s, entity)]
    if d.on_rq == 0:
        return
    if c.dl_head == entity:
        c.dl_head = d.next
    else:
        before = c.dl_head
        while s.dl_entities[before].next != entity:
            before = s.dl_entities[before].next
        s.dl_entities[before].next = d.next
    d.on_rq = 0
    _count(s, entity, -1)


@handler
def dl_entity_preempt(s: State, entity: int, other: int) -> bool:
    """Return whether `entity` has an earlier deadline than `other`."""
    return s.dl_entities[entity].deadline < s.dl_entities[other].deadline


# ---- budgets --------------------------------------------------------------------------------------------------------


@handler
def replenish_dl_new_period(s: State, entity: int) -> None:
    """Start a period now, with a full budget; a deferred entity that has not been running waits for its last moment."""
    d = s.dl_entities[entity]
    d.deadline = _rq_clock(s, entity) + d.dl_deadline
    d.runtime = d.dl_runtime
    if d.defer == 1 and d.defer_running == 0:
        d.throttled = 1
        d.defer_armed = 1


@handler
def _overflows(s: State, entity: int) -> bool:
    """Return whether the budget left until the deadline is more than the share of `entity` (dl_entity_overflow)."""
    d = s.dl_entities[entity]
    laxity = d.deadline - _rq_clock(s, entity)
    left = (d.dl_deadline >> DL_SCALE) * (d.runtime >> DL_SCALE)
    return (laxity >> DL_SCALE) * (d.dl_runtime >> DL_SCALE) < left


@handler
def replenish_dl_entity(s: State, entity: int) -> None:
    """Give `entity` the budget of the next period in which it has any left."""
    d = s.dl_entities[entity]
    clock = _rq_clock(s, entity)
    if d.defer_armed == 1 and _overflows(s, entity):
        d.deadline = clock + d.dl_deadline
        d.runtime = d.dl_runtime
    if d.yielded == 1 and d.runtime > 0:
        d.runtime = 0
    while d.runtime <= 0:
        d.deadline += d.dl_period
        d.runtime += d.dl_runtime
    if d.deadline < clock:
        replenish_dl_new_period(s, entity)
    d.yielded = 0
    d.throttled = 0
    if d.defer_armed == 1:
        d.defer_armed = 0
    elif d.defer == 1 and d.defer_running == 0 and clock < d.deadline - d.runtime:
        d.defer_armed = 1
        d.throttled = 1
        if not _start_dl_timer(s, entity):
            _unthrottle(s, entity)


@handler
def _update_dl_entity(s: State, entity: int) -> None:
    """Let a waking `entity` keep its deadline and budget if they fit its bandwidth; else apply one of the CBS rules.

    With a deadline before the end of the period, and in a server that was running, the budget shrinks to what fits
    (the revised rule); in others a new period starts.
    """
    d = s.dl_entities[entity]
    laxity = d.deadline - _rq_clock(s, entity)
    if laxity < 0 or _overflows(s, entity):
        constrained = d.dl_deadline != d.dl_period or (d.defer == 1 and d.defer_running == 1)
        if laxity >= 0 and constrained:
            density = (d.dl_runtime << BW_SHIFT) // d.dl_deadline
            d.runtime = (density * laxity) >> BW_SHIFT
        else:
            d.defer_running = 0
            replenish_dl_new_period(s, entity)
    elif d.defer == 1 and d.defer_running == 0:
        d.defer_armed = 1
        d.throttled = 1


# ---- throttling -----------------------------------------------------------------------------------------------------


@handler
def _next_period(s: State, entity: int) -> int:
    d = s.dl_entities[entity]
    return d.deadline - d.dl_deadline + d.dl_period


@handler
def _start_dl_timer(s: State, entity: int) -> bool:
    """Let the timer go off when `entity` may run again, unless it is under way; return False if that is past."""
    d = s.dl_entities[entity]
    cpu = cpu_of(s, entity)
    now = s.m[0].now
    at = d.deadline - d.runtime if d.defer_armed == 1 else _next_period(s, entity)
    at += now - s.cpus[cpu].clock
    if at - now <= -1000:  # compared in whole us
        return False
    if s.sched_timers[d.timer].at == NEVER:
        sched_timers.start(s, d.timer, cpu, at)
    return True


@handler
def _unthrottle(s: State, entity: int) -> None:
    d = s.dl_entities[entity]
    sched_timers.cancel(s, d.timer)
    d.defer_armed = 0
    d.throttled = 0


@handler
def _check_constrained(s: State, entity: int) -> None:
    """Throttle an `entity` that wakes between its deadline and the end of the period (dl_check_constrained_dl)."""
    d = s.dl_entities[entity]
    clock = _rq_clock(s, entity)
    if d.deadline < clock < _next_period(s, entity) and _start_dl_timer(s, entity):
        d.throttled = 1
        d.runtime = min(d.runtime, 0)


@handler
def enqueue_dl_entity(s: State, entity: int, why: int) -> None:
    """Queue `entity` on its CPU, whose clock has been read, unless it has to wait for its timer."""
    d = s.dl_entities[entity]
    if d.throttled == 0 and d.dl_deadline != d.dl_period:
        _check_constrained(s, entity)
    if d.defer == 0 and d.throttled == 1 and why != REPLENISH:
        return
    if why == WAKEUP:
        _update_dl_entity(s, entity)
    elif why == REPLENISH:
        replenish_dl_entity(s, entity)
    elif why == NEW:
        replenish_dl_new_period(s, entity)
    if d.throttled == 1:
        if _start_dl_timer(s, entity):
            return
        _unthrottle(s, entity)
    _link(s, entity)


@handler
def _exceeded_in_background(s: State, entity: int) -> None:
    """Start a deferred entity's next period: what it serves got its budget without it."""
    d = s.dl_entities[entity]
    c = s.cpus[cpu_of(s, entity)]
    idle = c.curr < 0 and s.kernels[c.kernel].fair_server_idle_wait == 1
    if idle and d.defer_idle == 1:
        d.runtime = 0  # the timer will find it idle and stop it
        return
    d.defer_running = 0
    sched_timers.cancel(s, d.timer)
    replenish_dl_new_period(s, entity)
    d.defer_idle = int(idle)
    _start_dl_timer(s, entity)


@handler
def update_curr_dl_se(s: State, entity: int, delta: int) -> None:
    """Charge `entity` with `delta` ns of execution; throttle it, and mark its CPU, when its budget is used up."""
    d = s.dl_entities[entity]
    cpu = cpu_of(s, entity)
    if delta <= 0 and d.yielded == 0:
        return
    if delta > 0:
        if s.cpus[cpu].curr >= 0:
            d.defer_idle = 0
        d.runtime -= delta
        if d.defer == 1 and d.throttled == 1 and d.runtime <= 0:
            _exceeded_in_background(s, entity)
            return
    if d.runtime > 0 and d.yielded == 0:
        return
    d.throttled = 1
    dequeue_dl_entity(s, entity)
    if not _start_dl_timer(s, entity):
        enqueue_dl_entity(s, entity, REPLENISH)
    if s.cpus[cpu].dl_head != entity:
        resched_curr(s, cpu)
