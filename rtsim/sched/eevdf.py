"""EEVDF (6.6 and later): eligibility, virtual deadlines, lag, and what protects a running entity.

V is the weighted mean of the vruntimes in a queue, the running entity and those whose dequeue is delayed included; an
entity is eligible while its own is not above V. Among the eligible the earliest virtual deadline wins (``fair.c``).
"""

from __future__ import annotations

from rtsim.engine.constants import OTHER, PARITY_MOVED, PARITY_VPROT
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched.entity import divide, is_idle, kernel_of, least_slice, longest_slice, scaled_down, virtual

__all__ = [
    "average_vruntime",
    "cancel_protection",
    "check_preempt_wakeup_fair",
    "eligible",
    "lost_protection",
    "pick_eevdf",
    "place_entity",
    "place_reweighted",
    "protect",
    "protected",
    "reweight",
    "save_lag",
    "turn_left",
    "update_deadline",
]


@handler
def average_vruntime(s: State, queue: int) -> int:
    """Return V, rounded down, and make it the queue's reference (avg_vruntime)."""
    q = s.cfs_rqs[queue]
    total, load = q.avg_vruntime, q.avg_load
    if q.curr >= 0 and s.entities[q.curr].on_rq == 1:
        e = s.entities[q.curr]
        total += (e.vruntime - q.min_vruntime) * e.weight
        load += e.weight
    if load > 0:
        delta = total // load
        q.avg_vruntime -= q.avg_load * delta
        q.min_vruntime += delta
    return q.min_vruntime


@handler
def eligible(s: State, queue: int, vruntime: int) -> bool:
    """Return whether an entity at `vruntime` is eligible, without rounding (vruntime_eligible)."""
    q = s.cfs_rqs[queue]
    total, load = q.avg_vruntime, q.avg_load
    if q.curr >= 0 and s.entities[q.curr].on_rq == 1:
        e = s.entities[q.curr]
        total += (e.vruntime - q.min_vruntime) * e.weight
        load += e.weight
    return total >= (vruntime - q.min_vruntime) * load


@handler
def _clamped_lag(s: State, queue: int, entity: int, average: int) -> int:
    """Return the lag of `entity`, within what the release allows (entity_lag)."""
    k = s.kernels[kernel_of(s, queue)]
    e = s.entities[entity]
    span = longest_slice(s, queue) + k.tick_ns if k.lag_of_queue == 1 else max(2 * e.slice, k.tick_ns)
    limit = virtual(span, e.weight)
    return max(-limit, min(limit, average - e.vruntime))


@handler
def save_lag(s: State, queue: int, entity: int) -> None:
    """Keep the lag of an entity that leaves (update_entity_lag)."""
    s.entities[entity].vlag = _clamped_lag(s, queue, entity, average_vruntime(s, queue))


@handler
def place_entity(s: State, queue: int, entity: int, initial: bool) -> None:
    """Set vruntime and deadline of an entity that joins: V less its lag, inflated so that the lag survives."""
    q = s.cfs_rqs[queue]
    k = s.kernels[kernel_of(s, queue)]
    e = s.entities[entity]
    average = average_vruntime(s, queue)
    if e.custom_slice == 0:
        e.slice = k.base_slice
    lag = 0
    if q.nr_running > 0 and e.vlag != 0:
        load = q.avg_load
        if q.curr >= 0 and s.entities[q.curr].on_rq == 1:
            load += s.entities[q.curr].weight
        lag = divide(e.vlag * (load + e.weight), max(load, 1))
    e.vruntime = average - lag
    if e.rel_deadline == 1:
        e.deadline += e.vruntime
        e.rel_deadline = 0
        return
    request = virtual(e.slice, e.weight)
    e.deadline = e.vruntime + (request // 2 if initial else request)


@handler
def reweight(s: State, entity: int, average: int, load: int) -> None:
    """Scale lag and relative deadline of a queued `entity` that gets `load`, so that V stays (reweight_eevdf).

    `average` is V before the entity, if it waits, was taken out of the order. Loads are 1024 times finer than weights.
    """
    e = s.entities[entity]
    if average != e.vruntime:
        lag = _clamped_lag(s, e.queue, entity, average)
        e.vruntime = average - divide(lag * e.load, load)
    e.deadline = average + divide((e.deadline - average) * e.load, load)


@handler
def place_reweighted(s: State, entity: int, average: int, load: int) -> None:
    """Place a queued `entity` anew with its new load: what 6.13 to 6.18.44 did instead of `reweight`.

    The running entity then counts in the mean that it is placed by (the defect that 101f3498b4bd reverts).
    """
    e = s.entities[entity]
    q = s.cfs_rqs[e.queue]
    e.vlag = divide(_clamped_lag(s, e.queue, entity, average) * e.load, load)
    e.deadline = divide((e.deadline - e.vruntime) * e.load, load)
    e.rel_deadline = 1
    e.weight = scaled_down(load)
    q.nr_running -= 1
    place_entity(s, e.queue, entity, False)
    q.nr_running += 1


@handler
def update_deadline(s: State, queue: int, entity: int) -> bool:
    """Give the running `entity` a new request if its last one is used up; return whether it was."""
    e = s.entities[entity]
    if e.vruntime < e.deadline:
        return False
    if e.custom_slice == 0:
        e.slice = s.kernels[kernel_of(s, queue)].base_slice
    e.deadline = e.vruntime + virtual(e.slice, e.weight)
    average_vruntime(s, queue)
    return True


@handler
def protect(s: State, queue: int, entity: int) -> None:
    """Protect an `entity` that begins to run (set_protect_slice)."""
    k = s.kernels[kernel_of(s, queue)]
    e = s.entities[entity]
    e.protect = e.deadline
    if k.protection < PARITY_VPROT:
        return
    slice_ns = min(e.slice, least_slice(s, queue) if k.run_to_parity == 1 else k.quantum)
    if slice_ns != e.slice:
        e.protect = min(e.protect, e.vruntime + virtual(slice_ns, e.weight))


@handler
def protected(s: State, queue: int, entity: int) -> bool:
    """Return whether the running `entity` is still protected (protect_slice)."""
    e = s.entities[entity]
    if s.kernels[kernel_of(s, queue)].protection < PARITY_VPROT:
        return e.protect == e.deadline
    return e.protect > e.vruntime


@handler
def cancel_protection(s: State, queue: int, entity: int) -> None:
    """Let the running `entity` be preempted by whoever has the earlier deadline (cancel_protect_slice)."""
    if protected(s, queue, entity):
        e = s.entities[entity]
        e.protect = e.deadline + 1 if s.kernels[kernel_of(s, queue)].protection < PARITY_VPROT else e.vruntime


@handler
def _shorten_protection(s: State, queue: int, entity: int) -> None:
    """Protect the running `entity` for the shortest slice in the queue from now on (update_protect_slice)."""
    e = s.entities[entity]
    e.protect = min(e.protect, e.vruntime + virtual(least_slice(s, queue), e.weight))


@handler
def lost_protection(s: State, queue: int, entity: int) -> bool:
    """Return whether the running `entity` has to give way for having lost its protection (did_preempt_short)."""
    k = s.kernels[kernel_of(s, queue)]
    if k.preempt_short == 0 or protected(s, queue, entity):
        return False
    return k.protection >= PARITY_VPROT or not eligible(s, queue, s.entities[entity].vruntime)


@handler
def turn_left(s: State, queue: int) -> int:
    """Return the virtual time until what runs in `queue` has used its request up, or has to give way before (ns)."""
    q = s.cfs_rqs[queue]
    k = s.kernels[kernel_of(s, queue)]
    e = s.entities[q.curr]
    left = e.deadline - e.vruntime
    if k.preempt_short == 0 or q.nr_running < 2:
        return left
    if k.protection >= PARITY_VPROT:
        return min(left, e.protect - e.vruntime)
    if not protected(s, queue, q.curr) and q.avg_load > 0:
        # eligible up to the mean of the others: its own weight stands on both sides of the comparison
        left = min(left, q.min_vruntime + q.avg_vruntime // q.avg_load + 1 - e.vruntime)
    return left


@handler
def pick_eevdf(s: State, queue: int, heed_protection: bool) -> int:
    """Return the eligible entity of `queue` with the earliest deadline, or the running one while it is protected."""
    q = s.cfs_rqs[queue]
    curr = q.curr
    if curr >= 0 and s.entities[curr].on_rq == 0:
        curr = -1
    if q.nr_running == 1:
        return curr if curr >= 0 else q.leftmost
    if curr >= 0 and not eligible(s, queue, s.entities[curr].vruntime):
        curr = -1
    k = s.kernels[kernel_of(s, queue)]
    heed = heed_protection and (k.run_to_parity == 1 or k.protection >= PARITY_VPROT)
    if curr >= 0 and heed and protected(s, queue, curr):
        return curr
    best = _first_eligible(s, queue)
    if best < 0 or (curr >= 0 and s.entities[curr].deadline < s.entities[best].deadline):
        return curr
    return best


@handler
def _first_eligible(s: State, queue: int) -> int:
    """Return the waiting entity with the earliest deadline that is eligible, -1 if none is."""
    q = s.cfs_rqs[queue]
    if q.leftmost >= 0 and eligible(s, queue, s.entities[q.leftmost].vruntime):
        return q.leftmost
    at = q.root
    while at >= 0:
        left = s.entities[at].left
        if left >= 0 and eligible(s, queue, s.entities[left].min_vruntime):
            at = left
            continue
        if eligible(s, queue, s.entities[at].vruntime):
            return at
        at = s.entities[at].right
    return -1


@handler
def _overrides(s: State, queue: int, running: int, woken: int) -> bool:
    """Return whether `woken`, having the shorter slice, ends the protection of `running` (do_preempt_short)."""
    r, w = s.entities[running], s.entities[woken]
    if s.kernels[kernel_of(s, queue)].preempt_short == 0 or w.slice >= r.slice:
        return False
    if not eligible(s, queue, w.vruntime):
        return False
    return w.deadline < r.deadline or not eligible(s, queue, r.vruntime)


@handler
def check_preempt_wakeup_fair(s: State, task: int, running: int, woken: int) -> bool:
    """Return whether the woken `task` preempts; `running` and `woken` are the two sides' entities in one queue.

    The running entity's account is up to date.
    """
    queue = s.entities[running].queue
    k = s.kernels[kernel_of(s, queue)]
    if is_idle(s, running) != is_idle(s, woken):
        if is_idle(s, woken):
            return False
        cancel_protection(s, queue, running)
        return True
    if s.tasks[task].policy != OTHER:
        return False
    if k.protection < PARITY_VPROT:
        if _overrides(s, queue, running, woken):
            cancel_protection(s, queue, running)
        return pick_eevdf(s, queue, True) == woken
    short = k.preempt_short == 1 and s.entities[woken].slice < s.entities[running].slice
    if pick_eevdf(s, queue, not short) == woken:
        if short:
            cancel_protection(s, queue, running)
        return True
    if k.run_to_parity == 1 and (short or k.protection == PARITY_MOVED):
        _shorten_protection(s, queue, running)
    return False
