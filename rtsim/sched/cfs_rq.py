"""One level of the fair class: an entity joins, leaves or waits in the queue of a CPU or of a group on it."""

from __future__ import annotations

from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import cfs, eevdf, runtime
from rtsim.sched.account import update_curr
from rtsim.sched.entity import (
    clear_buddies,
    dequeue_timeline,
    enqueue_timeline,
    is_cfs,
    is_idle,
    is_task,
    kernel_of,
    parent,
)
from rtsim.sched.groups import update_cfs_group, update_load_avg

__all__ = ["dequeue_entity", "enqueue_entity", "finish_delayed", "h_add", "requeue_delayed"]

LEAST_RUNTIME_NS = 1_000_000
"""What a queue that has gone empty keeps of its group's run time (min_cfs_rq_runtime)."""


@handler
def enqueue_entity(s: State, entity: int, initial: bool) -> None:
    """Let `entity` join its queue: woken, new, or come from another CPU."""
    e = s.entities[entity]
    queue = e.queue
    q = s.cfs_rqs[queue]
    curr = q.curr == entity
    if curr:
        _place(s, queue, entity, initial)
    update_curr(s, queue)
    update_load_avg(s, entity)
    update_cfs_group(s, entity)
    if not curr:
        _place(s, queue, entity, initial)
    q.load += e.load
    q.nr_running += 1
    q.nr_idle += int(is_idle(s, entity))
    if not curr:
        enqueue_timeline(s, queue, entity)
    e.on_rq = 1


@handler
def _place(s: State, queue: int, entity: int, initial: bool) -> None:
    if not is_cfs(s, queue):
        eevdf.place_entity(s, queue, entity, initial)
        return
    e = s.entities[entity]
    if e.relative == 0:
        cfs.place_entity(s, queue, entity, initial)
        return
    e.relative = 0
    e.vruntime += s.cfs_rqs[queue].min_vruntime
    if e.migrated_awake == 0:
        cfs.place_entity(s, queue, entity, initial)
    e.migrated_awake = 0


@handler
def dequeue_entity(s: State, entity: int, sleep: bool, may_delay: bool) -> bool:
    """Let `entity` leave its queue; return False if it stays there until it is eligible (delayed dequeue).

    `sleep`: it is not about to join another queue. A delayed one is finished by calling with `may_delay` False.
    """
    e = s.entities[entity]
    queue = e.queue
    q = s.cfs_rqs[queue]
    update_curr(s, queue)
    clear_buddies(s, entity)
    delays = sleep and may_delay and s.kernels[kernel_of(s, queue)].delay_dequeue == 1
    if delays and not eevdf.eligible(s, queue, e.vruntime):
        update_load_avg(s, entity)
        _set_delayed(s, entity)
        return False
    update_load_avg(s, entity)
    if not is_cfs(s, queue):
        eevdf.save_lag(s, queue, entity)
        if not sleep and s.kernels[kernel_of(s, queue)].keep_deadline == 1:
            e.deadline -= e.vruntime
            e.rel_deadline = 1
    if q.curr != entity:
        dequeue_timeline(s, queue, entity)
    e.on_rq = 0
    q.load -= e.load
    q.nr_running -= 1
    q.nr_idle -= int(is_idle(s, entity))
    if is_cfs(s, queue) and not sleep:
        e.vruntime -= q.min_vruntime
        e.relative = 1
        e.migrated_awake = 1
    _return_runtime(s, queue)
    update_cfs_group(s, entity)
    if e.delayed == 1 and sleep:  # one that balancing moves stays delayed
        finish_delayed(s, entity)
    if is_cfs(s, queue):
        cfs.update_min_vruntime(s, queue)
    return True


@handler
def h_add(s: State, entity: int, queued: int, runnable: int, idle: int) -> None:
    """Add to the counts of tasks below the queue of `entity`."""
    q = s.cfs_rqs[s.entities[entity].queue]
    q.h_nr_running += queued
    q.h_nr_runnable += runnable
    q.h_nr_idle += idle


@handler
def _count_runnable(s: State, entity: int, change: int) -> None:
    """Count a task that is queued but does not want to run (-1), or wants to again (+1), at all levels."""
    if not is_task(s, entity):
        return
    while entity >= 0:
        q = s.cfs_rqs[s.entities[entity].queue]
        q.h_nr_runnable += change
        if q.throttled == 1:
            break
        entity = parent(s, entity)


@handler
def _set_delayed(s: State, entity: int) -> None:
    s.entities[entity].delayed = 1
    _count_runnable(s, entity, -1)


@handler
def finish_delayed(s: State, entity: int) -> None:
    """End the delay of an entity that leaves at last: lag it has gained meanwhile is forgotten (DELAY_ZERO)."""
    e = s.entities[entity]
    e.delayed = 0
    _count_runnable(s, entity, 1)
    e.vlag = min(e.vlag, 0)


@handler
def requeue_delayed(s: State, entity: int) -> None:
    """Let an entity whose dequeue was delayed want to run again; if it was owed time by now, it starts even."""
    e = s.entities[entity]
    queue = e.queue
    q = s.cfs_rqs[queue]
    eevdf.save_lag(s, queue, entity)
    if e.vlag > 0:
        waiting = q.curr != entity
        q.nr_running -= 1
        if waiting:
            dequeue_timeline(s, queue, entity)
        e.vlag = 0
        eevdf.place_entity(s, queue, entity, False)
        if waiting:
            enqueue_timeline(s, queue, entity)
        q.nr_running += 1
    update_load_avg(s, entity)
    e.delayed = 0
    _count_runnable(s, entity, 1)


@handler
def _return_runtime(s: State, queue: int) -> None:
    """Give the group back what a queue that has gone empty does not need (return_cfs_rq_runtime)."""
    q = s.cfs_rqs[queue]
    if q.group < 0 or s.groups[q.group].quota == 0 or q.nr_running > 0:
        return
    rest = q.runtime_remaining - LEAST_RUNTIME_NS
    if rest <= 0:
        return
    g = s.groups[q.group]
    g.runtime += rest
    q.runtime_remaining -= rest
    if g.runtime > s.kernels[kernel_of(s, queue)].bandwidth_slice and g.throttled_head >= 0:
        runtime.start_slack(s, q.group, q.cpu)
