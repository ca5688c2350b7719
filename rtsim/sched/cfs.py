"""CFS (up to 6.5), flat: the rules of 6.1's ``fair.c`` for one queue a CPU, without groups."""

from __future__ import annotations

from rtsim.engine.jit import handler
from rtsim.engine.state import IDLE_POLICY, OTHER, State

__all__ = ["check_preempt_wakeup", "check_tick", "pick_next_entity", "place_entity", "virtual"]

NICE_0_WEIGHT = 1024
SCHED_NR_LATENCY = 8


@handler
def virtual(duration: int, weight: int) -> int:
    """Return the virtual time of `duration` ns for `weight`."""
    if weight == NICE_0_WEIGHT:
        return duration
    return duration * NICE_0_WEIGHT // weight


@handler
def slice_ns(s: State, cpu: int, task: int) -> int:
    """Return the slice of `task` (sched_slice): its share of the period, never below the least granularity."""
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    period = k.sched_latency if c.nr_fair <= SCHED_NR_LATENCY else c.nr_fair * k.min_granularity
    return max(period * s.tasks[task].weight // max(c.load, 1), k.min_granularity)


@handler
def place_entity(s: State, cpu: int, task: int, initial: bool) -> None:
    """Set the vruntime a task is queued with: credit for sleepers, a debit for new tasks."""
    c = s.cpus[cpu]
    t = s.tasks[task]
    vruntime = c.min_vruntime
    if initial:
        vruntime += virtual(slice_ns(s, cpu, task), t.weight)
    elif t.policy == IDLE_POLICY:
        vruntime -= s.kernels[c.kernel].min_granularity // 2
    else:
        vruntime -= s.kernels[c.kernel].sched_latency // 2
    t.vruntime = max(t.vruntime, vruntime)


@handler
def check_tick(s: State, cpu: int) -> bool:
    """Return whether the running task's slice is over (check_preempt_tick)."""
    c = s.cpus[cpu]
    if c.fair_head < 0:
        return False
    t = s.tasks[c.curr]
    ran = t.exec_sum - t.exec_at_pick
    ideal = slice_ns(s, cpu, c.curr)
    if ran > ideal:
        if c.buddy_next == c.curr:
            c.buddy_next = -1
        if c.buddy_last == c.curr:
            c.buddy_last = -1
        return True
    if ran < s.kernels[c.kernel].min_granularity:
        return False
    return t.vruntime - s.tasks[c.fair_head].vruntime > ideal


@handler
def check_preempt_wakeup(s: State, cpu: int, task: int) -> bool:
    """Return whether the woken `task` preempts the fair task that runs; `update_curr` has been called."""
    c = s.cpus[cpu]
    curr, woken = s.tasks[c.curr], s.tasks[task]
    if curr.policy == IDLE_POLICY and woken.policy != IDLE_POLICY:
        return True
    if woken.policy != OTHER:
        return False
    granularity = virtual(s.kernels[c.kernel].wakeup_granularity, woken.weight)
    if curr.vruntime - woken.vruntime <= granularity:
        return False
    c.buddy_next = task
    if c.nr_fair >= SCHED_NR_LATENCY:
        c.buddy_last = c.curr
    return True


@handler
def pick_next_entity(s: State, cpu: int, curr: int) -> int:
    """Return the fair task to run; `curr` is the running one if it stays runnable, else -1."""
    c = s.cpus[cpu]
    left = c.fair_head
    if left < 0 or (curr >= 0 and s.tasks[curr].vruntime < s.tasks[left].vruntime):
        left = curr
    limit = s.tasks[left].vruntime + virtual(s.kernels[c.kernel].wakeup_granularity, s.tasks[left].weight)
    if c.buddy_next >= 0 and s.tasks[c.buddy_next].vruntime <= limit:
        return c.buddy_next
    if c.buddy_last >= 0 and s.tasks[c.buddy_last].vruntime <= limit:
        return c.buddy_last
    return left
