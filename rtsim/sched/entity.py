"""Scheduling entities: what a fair queue holds, a task or the group that a task belongs to, one a CPU.

Row n of the entities is task n; the rows behind them are the groups'. Row n of the queues is the root queue of CPU n;
those behind them belong to the groups, one a CPU, each represented by an entity in its parent's queue.
"""

from __future__ import annotations

from rtsim.engine.constants import CFS, IDLE_POLICY, NONE
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import tree

__all__ = [
    "LEAST_SHARES",
    "clear_buddies",
    "dequeue_timeline",
    "divide",
    "enqueue_timeline",
    "is_cfs",
    "is_idle",
    "is_task",
    "kernel_of",
    "least_slice",
    "longest_slice",
    "parent",
    "queue_of",
    "scaled_down",
    "set_next_buddy",
    "virtual",
]

NICE_0_WEIGHT = 1024
LEAST_SHARES = 2


@handler
def virtual(duration: int, weight: int) -> int:
    """Return the virtual time of `duration` ns for `weight` (calc_delta_fair)."""
    if weight == NICE_0_WEIGHT:
        return duration
    return duration * NICE_0_WEIGHT // weight


@handler
def divide(value: int, by: int) -> int:
    """Divide as the kernel's div_s64 does: towards zero."""
    return value // by if value >= 0 else -(-value // by)


@handler
def scaled_down(load: int) -> int:
    """Return the weight that calculations use for an internal `load`: 1024 times less, at least 2 (scale_load_down)."""
    return max(load >> 10, LEAST_SHARES) if load > 0 else 0


@handler
def is_task(s: State, entity: int) -> bool:
    """Return whether `entity` is a task, not a group."""
    return entity < len(s.tasks)


@handler
def is_idle(s: State, entity: int) -> bool:
    """Return whether `entity` is a SCHED_IDLE task or a group with cpu.idle."""
    if is_task(s, entity):
        return s.tasks[entity].policy == IDLE_POLICY
    return s.groups[s.cfs_rqs[s.entities[entity].my_q].group].idle == 1


@handler
def queue_of(s: State, task: int, cpu: int) -> int:
    """Return the queue that `task` is queued in on `cpu`: its group's, or the root one."""
    t = s.tasks[task]
    if t.group < 0:
        return cpu
    return s.groups[t.group].first_queue + cpu - s.kernels[t.kernel].cpu_base


@handler
def parent(s: State, entity: int) -> int:
    """Return the group entity above `entity`, -1 at the root."""
    return s.cfs_rqs[s.entities[entity].queue].entity


@handler
def kernel_of(s: State, queue: int) -> int:
    """Return the row of the kernel that `queue` belongs to."""
    return s.cpus[s.cfs_rqs[queue].cpu].kernel


@handler
def is_cfs(s: State, queue: int) -> bool:
    """Return whether `queue` is scheduled by CFS, not by EEVDF."""
    return s.kernels[kernel_of(s, queue)].fair == CFS


@handler
def enqueue_timeline(s: State, queue: int, entity: int) -> None:
    """Put a waiting `entity` in order: of vruntime under CFS, of deadline under EEVDF (__enqueue_entity)."""
    q = s.cfs_rqs[queue]
    e = s.entities[entity]
    if is_cfs(s, queue):
        e.key = e.vruntime
    else:
        e.key = e.deadline
        q.avg_vruntime += (e.vruntime - q.min_vruntime) * e.weight
        q.avg_load += e.weight
    tree.insert(s, queue, entity)


@handler
def dequeue_timeline(s: State, queue: int, entity: int) -> None:
    """Take `entity` out of the order (__dequeue_entity)."""
    q = s.cfs_rqs[queue]
    e = s.entities[entity]
    tree.erase(s, queue, entity)
    if not is_cfs(s, queue):
        q.avg_vruntime -= (e.vruntime - q.min_vruntime) * e.weight
        q.avg_load -= e.weight


@handler
def least_slice(s: State, queue: int) -> int:
    """Return the shortest slice in `queue`, NEVER's size if it is empty (cfs_rq_min_slice)."""
    q = s.cfs_rqs[queue]
    shortest = 2**62
    if q.curr >= 0 and s.entities[q.curr].on_rq == 1:
        shortest = s.entities[q.curr].slice
    if q.root >= 0:
        shortest = min(shortest, s.entities[q.root].min_slice)
    return shortest


@handler
def longest_slice(s: State, queue: int) -> int:
    """Return the longest slice in `queue`, 0 if it is empty (cfs_rq_max_slice)."""
    q = s.cfs_rqs[queue]
    longest = 0
    if q.curr >= 0 and s.entities[q.curr].on_rq == 1:
        longest = s.entities[q.curr].slice
    if q.root >= 0:
        longest = max(longest, s.entities[q.root].max_slice)
    return longest


@handler
def set_next_buddy(s: State, entity: int) -> None:
    """Ask for `entity` to be picked next, at its level and all above."""
    while entity >= 0 and s.entities[entity].on_rq == 1 and not is_idle(s, entity):
        s.cfs_rqs[s.entities[entity].queue].next = entity
        entity = parent(s, entity)


@handler
def clear_buddies(s: State, entity: int) -> None:
    """Take the marks of `entity` as a buddy away, upwards as far as each reaches."""
    at = entity
    while at >= 0 and s.cfs_rqs[s.entities[at].queue].last == at:
        s.cfs_rqs[s.entities[at].queue].last = NONE
        at = parent(s, at)
    at = entity
    while at >= 0 and s.cfs_rqs[s.entities[at].queue].next == at:
        s.cfs_rqs[s.entities[at].queue].next = NONE
        at = parent(s, at)
    at = entity
    while at >= 0 and s.cfs_rqs[s.entities[at].queue].skip == at:
        s.cfs_rqs[s.entities[at].queue].skip = NONE
        at = parent(s, at)
