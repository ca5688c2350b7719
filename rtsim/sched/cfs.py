"""CFS (up to 6.5): slices, placement, wake-up granularity, buddies; the rules of 6.1's ``fair.c``."""

from __future__ import annotations

from rtsim.engine.constants import IDLE_POLICY, NONE, OTHER
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import tree
from rtsim.sched.entity import clear_buddies, is_idle, is_task, kernel_of, parent, scaled_down, set_next_buddy, virtual

__all__ = [
    "check_preempt_tick",
    "check_preempt_wakeup",
    "note_preempted",
    "pick_next_entity",
    "place_entity",
    "slice_ns",
    "update_min_vruntime",
]


@handler
def update_min_vruntime(s: State, queue: int) -> None:
    """Advance the queue's base to its leftmost entity, the running one included; never back."""
    q = s.cfs_rqs[queue]
    least = -1
    if q.curr >= 0 and s.entities[q.curr].on_rq == 1:
        least = q.curr
    if q.leftmost >= 0 and (least < 0 or s.entities[q.leftmost].vruntime < s.entities[least].vruntime):
        least = q.leftmost
    if least >= 0:
        q.min_vruntime = max(q.min_vruntime, s.entities[least].vruntime)


@handler
def slice_ns(s: State, queue: int, entity: int) -> int:
    """Return the slice of `entity` in `queue` (sched_slice): its share of the period at every level, ns."""
    k = s.kernels[kernel_of(s, queue)]
    # ALT_PERIOD: the tasks of the whole hierarchy on this CPU
    running = s.cfs_rqs[s.cfs_rqs[queue].cpu].h_nr_running if k.alt_period == 1 else s.cfs_rqs[queue].nr_running
    running += 1 - s.entities[entity].on_rq
    period = k.sched_latency if running <= k.sched_nr_latency else running * k.min_granularity
    at = entity
    while at >= 0:
        e = s.entities[at]
        load = s.cfs_rqs[e.queue].load
        if e.on_rq == 0:
            load += e.load
        period = period * e.weight // scaled_down(load)
        at = parent(s, at)
    q = s.cfs_rqs[queue]
    if is_idle(s, entity) and (q.nr_idle < q.nr_running or q.nr_running == 0):
        return max(period, k.idle_min_granularity)
    return max(period, k.min_granularity)


@handler
def place_entity(s: State, queue: int, entity: int, initial: bool) -> None:
    """Set the vruntime an entity is queued with: credit for sleepers, a debit for new tasks."""
    k = s.kernels[kernel_of(s, queue)]
    e = s.entities[entity]
    vruntime = s.cfs_rqs[queue].min_vruntime
    if initial:
        vruntime += virtual(slice_ns(s, queue, entity), e.weight)
    elif is_idle(s, entity):
        vruntime -= k.min_granularity // 2
    else:
        vruntime -= k.sched_latency // 2
    e.vruntime = max(e.vruntime, vruntime)


@handler
def check_preempt_tick(s: State, queue: int, entity: int) -> bool:
    """Return whether the tick ends the turn of the running `entity`."""
    q = s.cfs_rqs[queue]
    e = s.entities[entity]
    ran = e.sum_exec - e.exec_at_pick
    ideal = slice_ns(s, queue, entity)
    if ran > ideal:
        clear_buddies(s, entity)
        return True
    if ran < s.kernels[kernel_of(s, queue)].min_granularity or q.leftmost < 0:
        return False
    return e.vruntime - s.entities[q.leftmost].vruntime > ideal


@handler
def _unfair(s: State, queue: int, waiting: int, chosen: int) -> bool:
    """Return whether running `waiting` instead of `chosen` would be unfair: behind by more than the granularity."""
    granularity = virtual(s.kernels[kernel_of(s, queue)].wakeup_granularity, s.entities[chosen].weight)
    return s.entities[waiting].vruntime - s.entities[chosen].vruntime > granularity


@handler
def check_preempt_wakeup(s: State, task: int, running: int, woken: int) -> bool:
    """Return whether the woken `task` preempts; `running` and `woken` are the two sides' entities in one queue.

    The running entity's account is up to date.
    """
    queue = s.entities[running].queue
    cpu = s.cfs_rqs[queue].cpu
    curr = s.cpus[cpu].curr
    if s.tasks[curr].policy == IDLE_POLICY and s.tasks[task].policy != IDLE_POLICY:
        return True
    if s.tasks[task].policy != OTHER:
        return False
    if is_idle(s, running) != is_idle(s, woken):
        return is_idle(s, running)
    if not _unfair(s, queue, running, woken):
        return False
    set_next_buddy(s, woken)
    return True


@handler
def note_preempted(s: State, running: int) -> None:
    """Remember a task that a waking one preempts in a long queue, to return to it (LAST_BUDDY)."""
    queue = s.entities[running].queue
    curr = s.cpus[s.cfs_rqs[queue].cpu].curr
    own_queue = s.cfs_rqs[s.entities[curr].queue]
    if own_queue.nr_running < s.kernels[kernel_of(s, queue)].sched_nr_latency or not is_task(s, running):
        return
    at = running
    while at >= 0 and s.entities[at].on_rq == 1 and not is_idle(s, at):
        s.cfs_rqs[s.entities[at].queue].last = at
        at = parent(s, at)


@handler
def pick_next_entity(s: State, queue: int) -> int:
    """Return the entity of `queue` to run: the leftmost, unless a buddy is to be run or passed over fairly."""
    q = s.cfs_rqs[queue]
    curr = q.curr
    if curr >= 0 and s.entities[curr].on_rq == 0:
        curr = NONE
    left = q.leftmost
    if left < 0 or (curr >= 0 and s.entities[curr].vruntime < s.entities[left].vruntime):
        left = curr
    chosen = left
    if q.skip >= 0 and q.skip == left:
        second = q.leftmost
        if left != curr:
            second = tree.following(s, left)
            if second < 0 or (curr >= 0 and s.entities[curr].vruntime < s.entities[second].vruntime):
                second = curr
        if second >= 0 and not _unfair(s, queue, second, left):
            chosen = second
    if q.next >= 0 and not _unfair(s, queue, q.next, left):
        return q.next
    if q.last >= 0 and not _unfair(s, queue, q.last, left):
        return q.last
    return chosen
