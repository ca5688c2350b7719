"""How busy a group of CPUs is: what balancing and the placement of new tasks compare (``update_sg_lb_stats``)."""

from __future__ import annotations

from rtsim.engine.constants import NOT_IDLE
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched.cpus import CAPACITY, allowed_on, capacity_of, idle_cpu, load_of

__all__ = [
    "BUSIEST",
    "CANDIDATE",
    "FULLY_BUSY",
    "HAS_SPARE",
    "IMBALANCED",
    "LOCAL",
    "MISFIT",
    "OVERLOADED",
    "SMT_BALANCE",
    "classify",
    "considered",
    "copy_stats",
    "stats_for_balancing",
    "stats_for_new_task",
]

LOCAL, BUSIEST, CANDIDATE = 0, 1, 2
"""Rows of the statistics."""

HAS_SPARE, FULLY_BUSY, MISFIT, SMT_BALANCE, IMBALANCED, OVERLOADED = 0, 1, 2, 3, 4, 5
"""Types of groups, the one to pull from last."""


@handler
def considered(s: State, cpu: int) -> bool:
    """Return whether the balancing pass still considers `cpu`."""
    bit = cpu - s.kernels[s.cpus[cpu].kernel].cpu_base
    return (s.lb[0].cpus[bit >> 6] >> (bit & 63)) & 1 == 1


@handler
def _clear(s: State, row: int, group: int) -> None:
    g = s.lb_groups[row]
    g.load = g.util = g.runnable = g.capacity = 0
    g.nr_running = g.h_nr_running = g.idle_cpus = 0
    g.avg_load = g.reduced_load = g.smt_balance = 0
    g.weight = s.sched_groups[group].weight


@handler
def copy_stats(s: State, source: int, target: int) -> None:
    """Copy one row of statistics to another."""
    a, b = s.lb_groups[source], s.lb_groups[target]
    b.load, b.util, b.runnable, b.capacity = a.load, a.util, a.runnable, a.capacity
    b.nr_running, b.h_nr_running, b.idle_cpus, b.weight = a.nr_running, a.h_nr_running, a.idle_cpus, a.weight
    b.avg_load, b.reduced_load, b.smt_balance, b.type = a.avg_load, a.reduced_load, a.smt_balance, a.type


@handler
def _add_cpu(s: State, row: int, cpu: int) -> None:
    g = s.lb_groups[row]
    q = s.cfs_rqs[cpu]
    g.load += load_of(s, cpu)
    g.util += min(q.util_avg, CAPACITY)
    g.runnable += q.runnable_avg
    g.h_nr_running += q.h_nr_running
    g.nr_running += s.cpus[cpu].nr_running
    g.idle_cpus += int(idle_cpu(s, cpu))


@handler
def _has_capacity(s: State, row: int, imbalance_pct: int) -> bool:
    g = s.lb_groups[row]
    if g.nr_running < g.weight:
        return True
    if g.capacity * imbalance_pct < g.runnable * 100:
        return False
    return g.capacity * 100 > g.util * imbalance_pct


@handler
def _is_overloaded(s: State, row: int, imbalance_pct: int) -> bool:
    g = s.lb_groups[row]
    if g.nr_running <= g.weight:
        return False
    return g.capacity * 100 < g.util * imbalance_pct or g.capacity * imbalance_pct < g.runnable * 100


@handler
def classify(s: State, row: int, group: int, imbalance_pct: int) -> int:
    """Return the type of a group (group_classify)."""
    g = s.lb_groups[row]
    if _is_overloaded(s, row, imbalance_pct):
        return OVERLOADED
    if s.sched_groups[group].imbalance == 1:
        return IMBALANCED
    if g.smt_balance == 1:
        return SMT_BALANCE
    if g.reduced_load > 0:
        return MISFIT
    return HAS_SPARE if _has_capacity(s, row, imbalance_pct) else FULLY_BUSY


@handler
def stats_for_balancing(s: State, row: int, group: int) -> bool:
    """Work out the statistics of `group` for the balancing pass under way; return whether a CPU has several tasks."""
    lb = s.lb[0]
    d = s.domains[lb.domain]
    place = s.sched_groups[group]
    g = s.lb_groups[row]
    _clear(s, row, group)
    overload = False
    for at in range(place.first_member, place.first_member + place.weight):
        cpu = s.members[at]
        g.capacity += capacity_of(s, cpu)
        if not considered(s, cpu):
            continue
        _add_cpu(s, row, cpu)
        overload = overload or s.cpus[cpu].nr_running > 1
        alone = row != LOCAL and lb.idle != NOT_IDLE and s.cfs_rqs[cpu].h_nr_running == 1
        if alone and capacity_of(s, cpu) * d.imbalance_pct < CAPACITY * 100:
            g.reduced_load = max(g.reduced_load, load_of(s, cpu))
    if s.kernels[s.cpus[lb.dst].kernel].sibling_cores == 1 and row != LOCAL and lb.idle != NOT_IDLE:
        g.smt_balance = int(place.smt == 1 and g.h_nr_running > 1)
    g.type = classify(s, row, group, d.imbalance_pct)
    if g.type == OVERLOADED:
        g.avg_load = g.load * CAPACITY // g.capacity
    return overload


@handler
def stats_for_new_task(s: State, row: int, group: int, domain: int, task: int) -> bool:
    """Work out the statistics of the CPUs of `group` that the new `task` may use; return whether there are any."""
    place = s.sched_groups[group]
    g = s.lb_groups[row]
    _clear(s, row, group)
    found = False
    for at in range(place.first_member, place.first_member + place.weight):
        cpu = s.members[at]
        g.capacity += capacity_of(s, cpu)
        if allowed_on(s, task, cpu):
            _add_cpu(s, row, cpu)
            found = True
    g.type = classify(s, row, group, s.domains[domain].imbalance_pct)
    if g.type in (FULLY_BUSY, OVERLOADED):
        g.avg_load = g.load * CAPACITY // g.capacity
    return found
