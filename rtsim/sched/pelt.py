"""PELT: what tasks, queues and CPUs have lately done, as geometric averages over periods of 1024 us (``pelt.c``).

Half is forgotten in 32 periods. Each queue and each entity has its load (weight times time on the queue), runnable time
and utilisation (time on the CPU). Queues of groups keep their load to split a group's weight among CPUs; the rest is
kept where tasks may run on several CPUs, for the choice of a CPU and for balancing.

CPUs are taken to run at one speed, so time needs no scaling; a task that moves takes its averages along at once.
"""

from __future__ import annotations

import numpy as np

from rtsim.engine.constants import CFS
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched.entity import scaled_down

__all__ = [
    "attach",
    "decay_load",
    "detach",
    "publish_load",
    "reweight",
    "task_h_load",
    "update_blocked",
    "update_entity",
    "update_queue",
    "update_rt",
]

LOAD_AVG_PERIOD = 32
LOAD_AVG_MAX = 47742
MIN_DIVIDER = LOAD_AVG_MAX - 1024
CAPACITY_SHIFT = 10
TELL_EVERY_NS = 1_000_000

# (2**32 - 1) * y**n with y**32 = 1/2, rounded down, as the kernel's table has it
_INVERSE = np.array([int((2**32 - 1) * 0.5 ** (n / 32)) for n in range(LOAD_AVG_PERIOD)], dtype=np.int64)


@handler
def decay_load(value: int, periods: int) -> int:
    """Return `value` after `periods` of forgetting."""
    if periods > LOAD_AVG_PERIOD * 63:
        return 0
    value >>= periods // LOAD_AVG_PERIOD
    factor = _INVERSE[periods % LOAD_AVG_PERIOD]
    # a product of two 32-bit numbers does not fit into a signed 64-bit one: the lower half in two steps
    upper, middle, lower = value >> 32, (value >> 16) & 0xFFFF, value & 0xFFFF
    return upper * factor + ((middle * factor + (lower * factor >> 16)) >> 16)


@handler
def _segments(periods: int, first: int, last: int) -> int:
    """Return the weight of a stretch: `first` us of a period long past, whole periods, `last` us of the present one."""
    return decay_load(first, periods) + LOAD_AVG_MAX - decay_load(LOAD_AVG_MAX, periods) - 1024 + last


@handler
def _contribution(delta: int, begun: int) -> int:
    """Return what `delta` us weigh that follow on `begun` us of a period (accumulate_sum)."""
    periods = (delta + begun) >> 10
    if periods == 0:
        return delta
    return _segments(periods, 1024 - begun, (delta + begun) & 1023)


@handler
def update_queue(s: State, queue: int, whole: bool) -> None:
    """Bring the averages of `queue` up to its CPU's clock; only its load unless `whole`."""
    q = s.cfs_rqs[queue]
    delta = (s.cpus[q.cpu].clock - q.load_updated) >> 10
    if delta <= 0:
        return
    q.load_updated += delta << 10
    contribution = _contribution(delta, q.period_contrib)
    periods = (delta + q.period_contrib) >> 10
    q.period_contrib = (delta + q.period_contrib) & 1023
    divider = MIN_DIVIDER + q.period_contrib
    if periods > 0:
        q.load_sum = decay_load(q.load_sum, periods)
    q.load_sum += scaled_down(q.load) * contribution
    if periods > 0:
        q.load_avg = q.load_sum // divider
    if not whole:
        return
    if periods > 0:
        q.runnable_sum = decay_load(q.runnable_sum, periods)
        q.util_sum = decay_load(q.util_sum, periods)
    q.runnable_sum += (q.h_nr_running * contribution) << CAPACITY_SHIFT
    if q.curr >= 0:
        q.util_sum += contribution << CAPACITY_SHIFT
    if periods > 0:
        q.runnable_avg = q.runnable_sum // divider
        q.util_avg = q.util_sum // divider


@handler
def update_entity(s: State, entity: int) -> None:
    """Bring the averages of `entity`, queued or asleep, up to the clock of the CPU it is or was on."""
    e = s.entities[entity]
    q = s.cfs_rqs[e.queue]
    delta = (s.cpus[q.cpu].clock - e.load_updated) >> 10
    if delta <= 0:
        return
    e.load_updated += delta << 10
    contribution = _contribution(delta, e.period_contrib)
    periods = (delta + e.period_contrib) >> 10
    e.period_contrib = (delta + e.period_contrib) & 1023
    if periods > 0:
        e.load_sum = decay_load(e.load_sum, periods)
        e.util_sum = decay_load(e.util_sum, periods)
    if e.on_rq == 1:
        e.load_sum += contribution
    if q.curr == entity:
        e.util_sum += contribution << CAPACITY_SHIFT
    if periods > 0:
        divider = MIN_DIVIDER + e.period_contrib
        e.load_avg = e.weight * e.load_sum // divider
        e.runnable_avg = (e.load_sum << CAPACITY_SHIFT) // divider
        e.util_avg = e.util_sum // divider


@handler
def _shift(s: State, queue: int, load: int, runnable: int, util: int) -> None:
    """Add to the averages of `queue`, and to their sums; nothing falls below 0."""
    q = s.cfs_rqs[queue]
    divider = MIN_DIVIDER + q.period_contrib
    q.load_avg = max(q.load_avg + load, 0)
    q.load_sum = max(q.load_sum + load * divider, 0)
    q.runnable_avg = max(q.runnable_avg + runnable, 0)
    q.runnable_sum = max(q.runnable_sum + runnable * divider, 0)
    q.util_avg = max(q.util_avg + util, 0)
    q.util_sum = max(q.util_sum + util * divider, 0)


@handler
def _shift_hierarchy(s: State, task: int, sign: int) -> None:
    """Add the averages of `task` to its queue, and let the groups above follow (propagate_entity_load_avg)."""
    e = s.entities[task]
    load, queue = sign * e.load_avg, e.queue
    while True:
        update_queue(s, queue, True)
        _shift(s, queue, load, sign * e.runnable_avg, sign * e.util_avg)
        publish_load(s, queue)
        group = s.cfs_rqs[queue].entity
        if group < 0:
            return
        load = _follow(s, group, sign * e.load_sum)
        queue = s.entities[group].queue


@handler
def _follow(s: State, entity: int, runnable_sum: int) -> int:
    """Let a group's `entity` follow its queue, which a task of `runnable_sum` joins, or leaves if that is negative.

    Returns
    -------
    How its load average changes (update_tg_cfs_load).
    """
    update_entity(s, entity)
    e = s.entities[entity]
    q = s.cfs_rqs[e.my_q]
    divider = MIN_DIVIDER + e.period_contrib
    e.util_avg = q.util_avg
    e.util_sum = e.util_avg * divider
    if runnable_sum >= 0:
        runnable_sum = min(runnable_sum + e.load_sum, divider)
    else:  # as if all tasks that are left were runnable equally long
        weight = scaled_down(q.load)
        runnable_sum = min(e.load_sum, q.load_sum // weight if weight > 0 else 0)
    before = e.load_avg
    e.load_sum = max(runnable_sum, e.util_sum >> CAPACITY_SHIFT)
    e.load_avg = e.weight * e.load_sum // divider
    return int(e.load_avg - before)


@handler
def publish_load(s: State, queue: int) -> None:
    """Let the other CPUs know the load of a group's `queue` when that has moved by 1/64 (update_tg_load_avg)."""
    q = s.cfs_rqs[queue]
    if q.group < 0 or s.groups[q.group].spread == 0:
        return
    c = s.cpus[q.cpu]
    if s.kernels[c.kernel].fair != CFS and c.clock - q.load_told < TELL_EVERY_NS:
        return
    delta = q.load_avg - q.load_contrib
    if abs(delta) > q.load_contrib // 64:
        s.groups[q.group].load_avg += delta
        q.load_contrib = q.load_avg
        q.load_told = c.clock


@handler
def update_blocked(s: State, cpu: int) -> None:
    """Age what is left on `cpu` of tasks that sleep or have gone, in groups from below (update_blocked_averages)."""
    base = s.kernels[s.cpus[cpu].kernel].cpu_base
    for group in range(len(s.groups) - 1, -1, -1):
        g = s.groups[group]
        if g.spread == 0 or g.kernel != s.cpus[cpu].kernel:
            continue
        queue = g.first_queue + cpu - base
        q = s.cfs_rqs[queue]
        if q.load_sum == 0 and q.load_contrib == 0:
            continue
        update_queue(s, queue, True)
        publish_load(s, queue)
        update_entity(s, q.entity)
    update_queue(s, cpu, True)


@handler
def detach(s: State, task: int) -> None:
    """Take the averages of `task` out of the queues of the CPU that it leaves, whose clock has been read."""
    if s.entities[task].attached == 0:
        return
    update_entity(s, task)
    _shift_hierarchy(s, task, -1)
    s.entities[task].attached = 0


@handler
def attach(s: State, task: int) -> None:
    """Count the averages of `task` in the queue that it joins and those above; a new task's are those of a runner."""
    e = s.entities[task]
    q = s.cfs_rqs[e.queue]
    update_queue(s, e.queue, True)
    e.attached = 1
    e.load_updated = q.load_updated
    e.period_contrib = q.period_contrib
    divider = MIN_DIVIDER + e.period_contrib
    e.load_sum = e.load_avg * divider // e.weight
    e.util_sum = e.util_avg * divider
    _shift_hierarchy(s, task, 1)


@handler
def reweight(s: State, entity: int) -> None:
    """Let the load average of `entity` follow its new weight, and that of its queue follow it."""
    e = s.entities[entity]
    before = e.load_avg
    e.load_avg = e.weight * e.load_sum // (MIN_DIVIDER + e.period_contrib)
    _shift(s, e.queue, e.load_avg - before, 0, 0)


@handler
def task_h_load(s: State, task: int) -> int:
    """Return the load of `task` as the root queue of its CPU sees it (task_h_load)."""
    load = s.entities[task].load_avg
    queue = s.entities[task].queue
    while True:
        q = s.cfs_rqs[queue]
        group = q.entity
        if group < 0:
            return load * q.load_avg // (q.load_avg + 1)
        load = load * s.entities[group].load_avg // (q.load_avg + 1)
        queue = s.entities[group].queue


@handler
def update_rt(s: State, cpu: int, running: bool) -> None:
    """Bring the share of `cpu` that realtime tasks take up to date; `running`: one has run since the last call."""
    c = s.cpus[cpu]
    delta = (s.m[0].now - c.rt_updated) >> 10
    if delta <= 0:
        return
    c.rt_updated += delta << 10
    contribution = _contribution(delta, c.rt_contrib)
    periods = (delta + c.rt_contrib) >> 10
    c.rt_contrib = (delta + c.rt_contrib) & 1023
    if periods > 0:
        c.rt_sum = decay_load(c.rt_sum, periods)
    if running:
        c.rt_sum += contribution << CAPACITY_SHIFT
    if periods > 0:
        c.rt_avg = c.rt_sum // (MIN_DIVIDER + c.rt_contrib)
