"""Where a task begins: on the idlest CPU of the idlest group, from the widest domain down (``find_idlest_cpu``)."""

from __future__ import annotations

from rtsim.engine.constants import NONE, SD_BALANCE_FORK, SD_NUMA
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched.busiest import adjust_numa_imbalance
from rtsim.sched.cpus import allowed_on, available_idle_cpu, load_of, sched_idle_cpu
from rtsim.sched.group_stats import (
    BUSIEST,
    CANDIDATE,
    FULLY_BUSY,
    HAS_SPARE,
    IMBALANCED,
    LOCAL,
    OVERLOADED,
    copy_stats,
    stats_for_new_task,
)

__all__ = ["find_idlest_cpu"]

IDLEST = BUSIEST
NICE_0_WEIGHT = 1024


@handler
def find_idlest_cpu(s: State, task: int, here: int) -> int:
    """Return the CPU for a new `task` of a parent on `here`."""
    cpu = here
    domain = _widest(s, here, NONE)
    while domain >= 0:
        group = _find_idlest_group(s, domain, task, cpu)
        idlest = _find_idlest_group_cpu(s, group, task, cpu) if group >= 0 else cpu
        if idlest == cpu:
            domain = domain - 1 if domain > s.cpus[cpu].domain else NONE
            continue
        cpu = idlest
        domain = _widest(s, cpu, s.domains[domain].weight)
    return cpu


@handler
def _widest(s: State, cpu: int, below: int) -> int:
    """Return the widest domain of `cpu` for new tasks, of fewer than `below` CPUs (-1: of any number); -1: none."""
    found = NONE
    domain = s.cpus[cpu].domain
    while domain >= 0:
        d = s.domains[domain]
        if 0 <= below <= d.weight:
            break
        if d.sd_flags & SD_BALANCE_FORK:
            found = domain
        domain = d.parent
    return found


@handler
def _find_idlest_group(s: State, domain: int, task: int, here: int) -> int:
    """Return the group that is idler than the one of `here`, -1 if there is none."""
    d = s.domains[domain]
    local = d.first_group + d.local_group
    has_local = stats_for_new_task(s, LOCAL, local, domain, task)
    idlest = NONE
    for step in range(1, d.group_count):
        group = d.first_group + (d.local_group + step) % d.group_count
        if stats_for_new_task(s, CANDIDATE, group, domain, task) and (idlest < 0 or _is_idler(s)):
            idlest = group
            copy_stats(s, CANDIDATE, IDLEST)
    if idlest < 0 or not has_local:
        return idlest
    return idlest if _beats_local(s, domain) else NONE


@handler
def _is_idler(s: State) -> bool:
    """Return whether the group looked at is idler than the idlest so far (update_pick_idlest)."""
    new, idlest = s.lb_groups[CANDIDATE], s.lb_groups[IDLEST]
    if new.type != idlest.type:
        return bool(new.type < idlest.type)
    if new.type in (OVERLOADED, FULLY_BUSY):
        return bool(new.avg_load < idlest.avg_load)
    if new.type == HAS_SPARE:
        if new.idle_cpus != idlest.idle_cpus:
            return bool(new.idle_cpus > idlest.idle_cpus)
        return bool(new.util < idlest.util)
    return False


@handler
def _beats_local(s: State, domain: int) -> bool:
    """Return whether the idlest group is enough idler than the local one."""
    d = s.domains[domain]
    local, idlest = s.lb_groups[LOCAL], s.lb_groups[IDLEST]
    if local.type != idlest.type:
        return bool(local.type > idlest.type)
    if local.type in (OVERLOADED, FULLY_BUSY):
        margin = NICE_0_WEIGHT * (d.imbalance_pct - 100) // 100
        if d.sd_flags & SD_NUMA and idlest.avg_load + margin >= local.avg_load:
            return False
        if idlest.avg_load >= local.avg_load + margin:
            return False
        return bool(100 * local.avg_load > d.imbalance_pct * idlest.avg_load)
    if local.type == IMBALANCED:
        return False
    if d.sd_flags & SD_NUMA:
        apart = abs(local.idle_cpus - idlest.idle_cpus)
        if adjust_numa_imbalance(apart, local.nr_running + 1, d.imb_numa_nr) == 0:
            return False
    return bool(local.idle_cpus < idlest.idle_cpus)


@handler
def _find_idlest_group_cpu(s: State, group: int, task: int, here: int) -> int:
    """Return the CPU of `group` that went idle last, or else the one with the least load (find_idlest_group_cpu)."""
    g = s.sched_groups[group]
    if g.weight == 1:
        return s.members[g.first_member]
    least_loaded, least, idle, stamp = here, NONE, NONE, 0
    for at in range(g.first_member, g.first_member + g.weight):
        cpu = s.members[at]
        if not allowed_on(s, task, cpu):
            continue
        if sched_idle_cpu(s, cpu):
            return cpu
        if available_idle_cpu(s, cpu):
            # The idle state is taken to be the same on all, so the latest to have entered it is the warmest.
            if idle < 0 or s.cpus[cpu].idle_stamp > stamp:
                idle, stamp = cpu, s.cpus[cpu].idle_stamp
        elif idle < 0 and (least < 0 or load_of(s, cpu) < least):
            least_loaded, least = cpu, load_of(s, cpu)
    return idle if idle >= 0 else least_loaded
