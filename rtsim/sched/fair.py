"""The fair class of a CPU: tasks queue at every level of their groups, and one is picked from the root down.

CFS and EEVDF share everything but the rules of one queue, which `cfs` and `eevdf` hold (``fair.c``).
"""

from __future__ import annotations

from rtsim.engine.constants import BATCH, NEVER, NONE, OTHER
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State
from rtsim.sched import bandwidth, cfs, eevdf, fair_server, runtime, tasklist, tree
from rtsim.sched.account import update_curr
from rtsim.sched.cfs_rq import dequeue_entity, enqueue_entity, h_add, requeue_delayed
from rtsim.sched.cpus import jiffies, sched_idle_cpu
from rtsim.sched.entity import (
    NICE_0_WEIGHT,
    clear_buddies,
    dequeue_timeline,
    enqueue_timeline,
    is_cfs,
    is_idle,
    is_task,
    kernel_of,
    least_slice,
    parent,
    queue_of,
    set_next_buddy,
)
from rtsim.sched.groups import update_cfs_group, update_load_avg
from rtsim.sched.resched import clock_task, resched_curr_lazy, skip_clock, uncharged, update_rq_clock

__all__ = [
    "check_preempt_wakeup",
    "dequeue_task_fair",
    "enqueue_task_fair",
    "is_fair",
    "levels_walked",
    "pick_task_fair",
    "put_prev_task_fair",
    "set_next_task_fair",
    "slice_end_in",
    "switch_within",
    "task_tick_fair",
    "update_curr_fair",
    "yield_task_fair",
    "yield_to_task_fair",
]


@handler
def is_fair(s: State, task: int) -> bool:
    """Return whether `task` belongs to the fair class."""
    return s.tasks[task].policy >= OTHER


# ---- joining and leaving --------------------------------------------------------------------------------------------


@handler
def _stay(s: State, entity: int, slice_ns: int) -> int:
    """Bring a queued group's `entity` up to date with what has changed below it; return the shortest slice beside it.

    `slice_ns`, the shortest below it, becomes its own where custom slices exist.
    """
    e = s.entities[entity]
    update_load_avg(s, entity)
    update_cfs_group(s, entity)
    if s.kernels[kernel_of(s, e.queue)].custom_slice == 1:
        e.slice = slice_ns
        if s.cfs_rqs[e.queue].curr != entity:
            tree.propagate(s, entity)
    return least_slice(s, e.queue)


@handler
def _join(s: State, entity: int, slice_ns: int, initial: bool) -> int:
    """Queue `entity`, a group with the shortest slice below it; return the shortest beside it."""
    e = s.entities[entity]
    if slice_ns > 0 and s.kernels[kernel_of(s, e.queue)].custom_slice == 1:
        e.slice = slice_ns
        e.custom_slice = 1
    enqueue_entity(s, entity, initial)
    if s.cfs_rqs[e.queue].nr_running == 1:
        bandwidth.check_enqueue_throttle(s, e.queue)
    return least_slice(s, e.queue)


@handler
def enqueue_task_fair(s: State, cpu: int, task: int, initial: bool) -> None:
    """Queue `task` on `cpu`, and the groups it belongs to where it is their first."""
    before = s.cfs_rqs[cpu].h_nr_running
    s.entities[task].queue = queue_of(s, task, cpu)
    tasklist.link(s, tasklist.fair_list(cpu), task, True)
    idle, slice_ns = 0, 0
    runnable = 1 - s.entities[task].delayed
    joining = True
    entity = task
    while entity >= 0:
        e = s.entities[entity]
        if joining and e.on_rq == 1:
            joining = False
            if e.delayed == 1:
                requeue_delayed(s, entity)
        slice_ns = _join(s, entity, slice_ns, initial and entity == task) if joining else _stay(s, entity, slice_ns)
        idle = max(idle, int(is_idle(s, entity)))
        h_add(s, entity, 1, runnable, idle)
        if s.cfs_rqs[e.queue].throttled == 1:
            return
        entity = parent(s, entity)
    if before == 0:
        fair_server.note_idle(s, cpu)
        fair_server.start(s, cpu)
    s.cpus[cpu].nr_running += 1


@handler
def dequeue_task_fair(s: State, cpu: int, task: int, sleep: bool) -> bool:
    """Take `task` off its CPU: it sleeps, or changes CPU or class; return False if it stays queued for a while."""
    return _dequeue_entities(s, cpu, task, sleep)


@handler
def _dequeue_entities(s: State, cpu: int, first: int, sleep: bool) -> bool:
    """Take `first` out of its queue, and groups that have nothing else out of theirs (dequeue_entities).

    A task that is not eligible may stay queued; return False then. One whose dequeue was delayed leaves for good.
    """
    queued = int(is_task(s, first))
    runnable = queued if sleep else queued - s.entities[first].delayed
    task_sleep = sleep
    idle, slice_ns = 0, 0
    leaving = True
    entity = first
    while entity >= 0:
        e = s.entities[entity]
        left = leaving and dequeue_entity(s, entity, sleep, e.delayed == 0)
        if not left:
            if leaving:
                if entity == first and queued == 1:
                    return False
                slice_ns = least_slice(s, e.queue)
                leaving = False
            slice_ns = _stay(s, entity, slice_ns)
        elif entity == first and queued == 1:
            tasklist.unlink(s, tasklist.fair_list(cpu), first)
        idle = max(idle, queued * int(is_idle(s, entity)))
        h_add(s, entity, -queued, -runnable, -idle)
        if s.cfs_rqs[e.queue].throttled == 1:
            return True
        above = parent(s, entity)
        if left and s.cfs_rqs[e.queue].load > 0:
            leaving = False
            slice_ns = least_slice(s, e.queue)
            if task_sleep and above >= 0 and not bandwidth.throttled_hierarchy(s, e.queue):
                set_next_buddy(s, above)
        sleep = True
        entity = above
    s.cpus[cpu].nr_running -= queued
    if queued == 1 and idle == 0 and sched_idle_cpu(s, cpu):
        s.cpus[cpu].next_balance = jiffies(s, cpu)  # to pull what is worth more than what is left
    return True


# ---- accounts and turns ---------------------------------------------------------------------------------------------


@handler
def update_curr_fair(s: State, cpu: int) -> None:
    """Charge the running fair task of `cpu`, in its own queue only, up to the run queue's clock."""
    update_curr(s, s.entities[s.cpus[cpu].curr].queue)


@handler
def task_tick_fair(s: State, cpu: int) -> None:
    """Let the tick charge the running task at every level, and mark the CPU where a turn is over."""
    entity = s.cpus[cpu].curr
    while entity >= 0:
        queue = s.entities[entity].queue
        update_curr(s, queue)
        update_load_avg(s, entity)
        update_cfs_group(s, entity)
        if is_cfs(s, queue) and s.cfs_rqs[queue].nr_running > 1 and cfs.check_preempt_tick(s, queue, entity):
            resched_curr_lazy(s, cpu)
        entity = parent(s, entity)


@handler
def slice_end_in(s: State, cpu: int) -> int:
    """Return how long the running fair task has to run before charging it in its own queue marks the CPU (ns)."""
    curr = s.cpus[cpu].curr
    e = s.entities[curr]
    left = runtime.left(s, e.queue)
    if not is_cfs(s, e.queue):
        left = min(left, eevdf.turn_left(s, e.queue) * e.weight // NICE_0_WEIGHT + 1)
    return left if left == NEVER else max(left - uncharged(s, cpu, curr), 0)


@handler
def yield_task_fair(s: State, cpu: int) -> None:
    """Let the running task step back: CFS passes it over once, EEVDF takes the rest of its request (sched_yield)."""
    curr = s.cpus[cpu].curr
    e = s.entities[curr]
    k = s.kernels[s.cpus[cpu].kernel]
    if s.cpus[cpu].nr_running == 1:
        return
    clear_buddies(s, curr)
    if not is_cfs(s, e.queue) or s.tasks[curr].policy != BATCH:
        update_rq_clock(s, cpu)
        update_curr(s, e.queue)
        skip_clock(s, cpu)
    if is_cfs(s, e.queue):
        at = curr
        while at >= 0:
            s.cfs_rqs[s.entities[at].queue].skip = at
            at = parent(s, at)
    elif k.yield_forfeits == 0:
        e.deadline += e.slice * 1024 // e.weight
    elif eevdf.eligible(s, e.queue, e.vruntime):
        e.vruntime = e.deadline
        eevdf.update_deadline(s, e.queue, curr)


@handler
def yield_to_task_fair(s: State, cpu: int, task: int) -> bool:
    """Let the running task of `cpu` step back in favour of `task`; return False if that cannot run."""
    if s.entities[task].on_rq == 0 or bandwidth.throttled_hierarchy(s, s.entities[task].queue):
        return False
    set_next_buddy(s, task)
    yield_task_fair(s, cpu)
    return True


@handler
def check_preempt_wakeup(s: State, cpu: int, task: int) -> bool:
    """Return whether the woken `task` preempts the running fair task."""
    curr = s.cpus[cpu].curr
    if curr == task or bandwidth.throttled_hierarchy(s, s.entities[task].queue):
        return False
    running, woken = curr, task
    while s.entities[running].queue != s.entities[woken].queue:  # find_matching_se
        running_depth, woken_depth = s.entities[running].depth, s.entities[woken].depth
        if running_depth >= woken_depth:
            running = parent(s, running)
        if woken_depth >= running_depth:
            woken = parent(s, woken)
    update_curr(s, s.entities[running].queue)
    if not is_cfs(s, s.entities[running].queue):
        return eevdf.check_preempt_wakeup_fair(s, task, running, woken)
    if not cfs.check_preempt_wakeup(s, task, running, woken):
        return False
    cfs.note_preempted(s, running)
    return True


# ---- picking --------------------------------------------------------------------------------------------------------


@handler
def _pick_next_entity(s: State, cpu: int, queue: int) -> int:
    """Return the entity of `queue` to run; -1 if the one picked had only been waiting to leave, and has left."""
    if is_cfs(s, queue):
        return cfs.pick_next_entity(s, queue)
    buddy = s.cfs_rqs[queue].next if s.kernels[kernel_of(s, queue)].pick_buddy == 1 else NONE
    if buddy >= 0 and eevdf.eligible(s, queue, s.entities[buddy].vruntime):
        return buddy
    entity = eevdf.pick_eevdf(s, queue, True)
    if s.entities[entity].delayed == 0:
        return entity
    _dequeue_entities(s, cpu, entity, True)
    return NONE


@handler
def pick_task_fair(s: State, cpu: int) -> int:
    """Return the fair task to run, the running one included, from the root queue down; -1 if there is none."""
    queue = cpu
    while s.cfs_rqs[cpu].nr_running > 0:
        q = s.cfs_rqs[queue]
        if q.curr >= 0 and s.entities[q.curr].on_rq == 1:
            update_curr(s, queue)
        if bandwidth.check_cfs_rq_runtime(s, queue):
            queue = cpu
            continue
        entity = _pick_next_entity(s, cpu, queue)
        if entity < 0:
            queue = cpu
        elif is_task(s, entity):
            return entity
        else:
            queue = s.entities[entity].my_q
    return NONE


@handler
def _set_next_entity(s: State, cpu: int, entity: int) -> None:
    e = s.entities[entity]
    clear_buddies(s, entity)
    if e.on_rq == 1:
        dequeue_timeline(s, e.queue, entity)
        update_load_avg(s, entity)
        if not is_cfs(s, e.queue):
            eevdf.protect(s, e.queue, entity)
    e.exec_start = clock_task(s, cpu)
    s.cfs_rqs[e.queue].curr = entity
    e.exec_at_pick = e.sum_exec


@handler
def _put_prev_entity(s: State, entity: int) -> None:
    e = s.entities[entity]
    if e.on_rq == 1:
        update_curr(s, e.queue)
    bandwidth.check_cfs_rq_runtime(s, e.queue)
    if e.on_rq == 1:
        enqueue_timeline(s, e.queue, entity)
        update_load_avg(s, entity)
    s.cfs_rqs[e.queue].curr = NONE


@handler
def _run_next(s: State, cpu: int, task: int) -> None:
    """Put `task`, which is to run, first in the list of its CPU's fair tasks: balancing takes from the end."""
    if s.entities[task].on_rq == 1 and s.task_lists[tasklist.fair_list(cpu)].head != task:
        tasklist.unlink(s, tasklist.fair_list(cpu), task)
        tasklist.link(s, tasklist.fair_list(cpu), task, True)


@inlined
def put_prev_task_fair(s: State, task: int) -> None:
    """Return `task`, which ran, and its groups to their queues, as far as they are still runnable."""
    entity = task
    while entity >= 0:
        _put_prev_entity(s, entity)
        entity = parent(s, entity)


@inlined
def set_next_task_fair(s: State, cpu: int, task: int) -> None:
    """Take `task`, which is to run, and its groups out of their queues and start their accounts."""
    _run_next(s, cpu, task)
    entity = task
    while entity >= 0:
        _set_next_entity(s, cpu, entity)
        runtime.account_cfs_rq_runtime(s, s.entities[entity].queue, 0)
        entity = parent(s, entity)


@inlined
def _group_of(s: State, entity: int) -> int:
    """Return the group that `entity` is in, -1 for the root."""
    return s.cfs_rqs[s.entities[entity].queue].group


@handler
def levels_walked(s: State, prev: int, following: int) -> int:
    """Return how many levels of cgroups schedule() walks: those it puts back or takes up, and those of a dequeue."""
    prev_depth = s.entities[prev].depth if prev >= 0 and is_fair(s, prev) else 0
    next_depth = s.entities[following].depth if following >= 0 and is_fair(s, following) else 0
    if prev_depth + next_depth == 0:
        return 0
    levels = prev_depth if prev_depth > 0 and s.entities[prev].on_rq == 0 else 0
    if prev_depth == 0 or next_depth == 0:
        return levels + prev_depth + next_depth
    above_prev, above_next = prev, following
    while _group_of(s, above_prev) != _group_of(s, above_next):  # its queue may be another CPU's by now
        prev_depth, next_depth = s.entities[above_prev].depth, s.entities[above_next].depth
        if next_depth <= prev_depth:
            above_prev = parent(s, above_prev)
            levels += 1
        if next_depth >= prev_depth:
            above_next = parent(s, above_next)
            levels += 1
    return levels


@inlined
def switch_within(s: State, cpu: int, prev: int, following: int) -> None:
    """Switch between two fair tasks, touching only the levels that change: what they share runs on."""
    _run_next(s, cpu, following)
    above_prev, above_next = prev, following
    while s.entities[above_prev].queue != s.entities[above_next].queue:
        prev_depth, next_depth = s.entities[above_prev].depth, s.entities[above_next].depth
        if next_depth <= prev_depth:
            _put_prev_entity(s, above_prev)
            above_prev = parent(s, above_prev)
        if next_depth >= prev_depth:
            _set_next_entity(s, cpu, above_next)
            above_next = parent(s, above_next)
    _put_prev_entity(s, above_prev)
    _set_next_entity(s, cpu, above_next)
