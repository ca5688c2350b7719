"""EEVDF (6.6 and later), flat: eligibility, deadlines, lag and run-to-parity for one queue a CPU.

Without groups and without delayed dequeue: a sleeper leaves the queue at once and keeps its lag.
"""

from __future__ import annotations

from rtsim.engine.jit import handler
from rtsim.engine.state import IDLE_POLICY, OTHER, State
from rtsim.sched.cfs import virtual

__all__ = ["average_vruntime", "check_preempt_wakeup_fair", "pick_eevdf", "place_entity", "save_lag", "update_deadline"]


@handler
def average_vruntime(s: State, cpu: int, curr: int) -> int:
    """Return V, the weighted mean of vruntime over the queue and `curr` (-1: none), rounded down."""
    base = s.cpus[cpu].min_vruntime
    total = 0
    load = 0
    task = s.cpus[cpu].fair_head
    while task >= 0:
        total += (s.tasks[task].vruntime - base) * s.tasks[task].weight
        load += s.tasks[task].weight
        task = s.tasks[task].next
    if curr >= 0:
        total += (s.tasks[curr].vruntime - base) * s.tasks[curr].weight
        load += s.tasks[curr].weight
    return base + (total // load if load > 0 else 0)


@handler
def place_entity(s: State, cpu: int, task: int, curr: int, initial: bool) -> None:
    """Set vruntime and deadline of a task being queued: V less its lag, inflated so that the lag survives."""
    k = s.kernels[s.cpus[cpu].kernel]
    t = s.tasks[task]
    lag = 0
    load = 0
    other = s.cpus[cpu].fair_head
    while other >= 0:
        load += s.tasks[other].weight
        other = s.tasks[other].next
    if curr >= 0:
        load += s.tasks[curr].weight
    if load > 0:
        lag = t.vlag * (load + t.weight) // load
    t.vruntime = average_vruntime(s, cpu, curr) - lag
    request = k.base_slice // 2 if initial else k.base_slice
    t.deadline = t.vruntime + virtual(request, t.weight)


@handler
def save_lag(s: State, cpu: int, task: int, average: int) -> None:
    """Keep the lag of a task that leaves the queue, within twice its request or a tick."""
    k = s.kernels[s.cpus[cpu].kernel]
    t = s.tasks[task]
    limit = virtual(max(2 * k.base_slice, k.tick_ns), t.weight)
    t.vlag = max(-limit, min(limit, average - t.vruntime))


@handler
def update_deadline(s: State, cpu: int, task: int) -> bool:
    """Give the running task a new request if its last one is used up; return whether others should get a chance."""
    t = s.tasks[task]
    if t.vruntime < t.deadline:
        return False
    t.deadline = t.vruntime + virtual(s.kernels[s.cpus[cpu].kernel].base_slice, t.weight)
    return s.cpus[cpu].fair_head >= 0


@handler
def pick_eevdf(s: State, cpu: int, curr: int) -> int:
    """Return the eligible task with the earliest deadline; an eligible `curr` keeps the CPU until its slice ends."""
    average = average_vruntime(s, cpu, curr)
    eligible_curr = curr >= 0 and s.tasks[curr].vruntime <= average
    if eligible_curr and s.tasks[curr].protect == s.tasks[curr].deadline:
        return curr
    task = s.cpus[cpu].fair_head  # in order of deadline
    first = task
    while task >= 0 and s.tasks[task].vruntime > average:
        task = s.tasks[task].next
    if eligible_curr and (task < 0 or s.tasks[curr].deadline < s.tasks[task].deadline):
        return curr
    if task >= 0:
        return task
    return first if first >= 0 else curr


@handler
def check_preempt_wakeup_fair(s: State, cpu: int, task: int) -> bool:
    """Return whether the woken `task` preempts the fair task that runs; `update_curr` has been called."""
    curr, woken = s.cpus[cpu].curr, s.tasks[task]
    if s.tasks[curr].policy == IDLE_POLICY and woken.policy != IDLE_POLICY:
        s.tasks[curr].protect = s.tasks[curr].deadline - 1
        return True
    if woken.policy != OTHER:
        return False
    return pick_eevdf(s, cpu, curr) == task
