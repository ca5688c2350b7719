"""From which group and CPU balancing pulls, and how much (``find_busiest_group``, ``find_busiest_queue``)."""

from __future__ import annotations

from rtsim.engine.constants import NEWLY_IDLE, NONE, NOT_IDLE, SD_NUMA, SD_PREFER_SIBLING, SD_SHARE_LLC
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched.cpus import CAPACITY, capacity_of, jiffies, load_of, update_cpu_capacity
from rtsim.sched.detach import MIGRATE_LOAD, MIGRATE_TASK, MIGRATE_UTIL
from rtsim.sched.group_stats import (
    BUSIEST,
    CANDIDATE,
    FULLY_BUSY,
    HAS_SPARE,
    IMBALANCED,
    LOCAL,
    MISFIT,
    OVERLOADED,
    SMT_BALANCE,
    considered,
    copy_stats,
    stats_for_balancing,
)

__all__ = ["adjust_numa_imbalance", "find_busiest_group", "find_busiest_queue"]

NUMA_IMBALANCE_MIN = 2
MS = 1_000_000


# ---- statistics of a domain -----------------------------------------------------------------------------------------


@handler
def _update_sd_lb_stats(s: State) -> None:
    """Work out the local and the busiest group of the domain."""
    lb = s.lb[0]
    d = s.domains[lb.domain]
    lb.busiest = NONE
    lb.local = d.first_group + d.local_group
    lb.total_load = lb.total_capacity = 0
    util = 0
    overload = False
    has_child = s.cpus[d.cpu].domain != lb.domain
    if not has_child:
        _refresh_capacity(s, d.cpu)
    for step in range(d.group_count):
        group = d.first_group + (d.local_group + step) % d.group_count
        row = LOCAL if group == lb.local else CANDIDATE
        overload = stats_for_balancing(s, row, group) or overload
        if row == CANDIDATE and _is_busier(s, group):
            lb.busiest = group
            copy_stats(s, CANDIDATE, BUSIEST)
        g = s.lb_groups[row]
        lb.total_load += g.load
        lb.total_capacity += g.capacity
        util += g.util
    lb.prefer_sibling = int(has_child and s.domains[lb.domain - 1].sd_flags & SD_PREFER_SIBLING != 0)
    if d.parent < 0:
        s.kernels[s.cpus[d.cpu].kernel].overload = int(overload)
    if lb.idle != NEWLY_IDLE:
        _update_idle_cpu_scan(s, util)


@handler
def _refresh_capacity(s: State, cpu: int) -> None:
    """Work out the capacity of the balancing `cpu`, new idle once in a balancing interval (update_group_capacity)."""
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    now = jiffies(s, cpu)
    if s.lb[0].idle == NEWLY_IDLE and now < c.capacity_due:
        return
    c.capacity_due = now + max(-(-s.domains[c.domain].interval * MS // k.tick_ns), 1)
    update_cpu_capacity(s, cpu)


@handler
def _update_idle_cpu_scan(s: State, util: int) -> None:
    """Decide how many CPUs a search for an idle one looks at: the fewer, the more their cache's CPUs are used."""
    d = s.domains[s.lb[0].domain]
    llc = s.cpus[s.lb[0].dst].llc
    if llc < 0 or s.llcs[llc].weight != d.weight:
        return
    each = util // d.weight
    used = min(each * each * d.imbalance_pct * d.imbalance_pct // (10_000 * CAPACITY), CAPACITY)
    s.llcs[llc].nr_idle_scan = (CAPACITY - used) * d.weight // CAPACITY


@handler
def _is_busier(s: State, group: int) -> bool:
    """Return whether the group looked at is busier than the busiest so far (update_sd_pick_busiest)."""
    lb = s.lb[0]
    new, busiest = s.lb_groups[CANDIDATE], s.lb_groups[BUSIEST]
    if new.h_nr_running == 0:
        return False
    if lb.busiest < 0:
        return True
    if new.type != busiest.type:
        return bool(new.type > busiest.type)
    sibling_cores = s.kernels[s.cpus[lb.dst].kernel].sibling_cores == 1
    if new.type == OVERLOADED:
        return bool(new.avg_load > busiest.avg_load)
    if new.type == IMBALANCED:
        return False
    if new.type == MISFIT:
        return bool(new.reduced_load >= busiest.reduced_load)
    if new.type == FULLY_BUSY or (new.type == SMT_BALANCE and new.idle_cpus == 0 and busiest.idle_cpus == 0):
        if sibling_cores:
            return bool(new.avg_load > busiest.avg_load or s.sched_groups[lb.busiest].smt == 0)
        return bool(new.avg_load > busiest.avg_load)
    smt = s.sched_groups[group].smt
    if new.type == HAS_SPARE and sibling_cores and smt != s.sched_groups[lb.busiest].smt:
        return not (smt == 1 and new.h_nr_running <= 1)
    if new.idle_cpus != busiest.idle_cpus:
        return bool(new.idle_cpus < busiest.idle_cpus)
    return bool(new.nr_running > busiest.nr_running)


# ---- the imbalance --------------------------------------------------------------------------------------------------


@handler
def adjust_numa_imbalance(imbalance: int, dst_running: int, imb_numa_nr: int) -> int:
    """Return what of an imbalance between nodes is worth moving tasks: nothing of a small one while they are few."""
    if dst_running > imb_numa_nr:
        return imbalance
    return 0 if imbalance <= NUMA_IMBALANCE_MIN else imbalance


@handler
def _sibling_imbalance(s: State) -> int:
    """Return how many tasks more a group has, by the cores of each (sibling_imbalance)."""
    lb = s.lb[0]
    local, busiest = s.lb_groups[LOCAL], s.lb_groups[BUSIEST]
    if s.kernels[s.cpus[lb.dst].kernel].sibling_cores == 0:
        return max(busiest.nr_running - local.nr_running, 0)
    if lb.idle == NOT_IDLE or busiest.nr_running == 0:
        return 0
    here, there = s.sched_groups[lb.local].cores, s.sched_groups[lb.busiest].cores
    if here == there:
        return max(busiest.nr_running - local.nr_running, 0)
    imbalance = max(here * busiest.nr_running - there * local.nr_running, 0)
    imbalance = (2 * imbalance + here + there) // (here + there)
    if imbalance <= 1 and local.nr_running == 0 and busiest.nr_running > 1:
        imbalance = 2
    return imbalance


@handler
def _spare_imbalance(s: State) -> None:
    """Set the imbalance where the local group has CPUs to spare."""
    lb = s.lb[0]
    d = s.domains[lb.domain]
    local, busiest = s.lb_groups[LOCAL], s.lb_groups[BUSIEST]
    if busiest.type > FULLY_BUSY and not d.sd_flags & SD_SHARE_LLC:
        lb.migration = MIGRATE_UTIL
        lb.imbalance = max(local.capacity - local.util, 0)
        if lb.idle != NOT_IDLE and lb.imbalance == 0:
            lb.migration = MIGRATE_TASK
            lb.imbalance = 1
        return
    lb.migration = MIGRATE_TASK
    if busiest.weight == 1 or lb.prefer_sibling == 1:
        lb.imbalance = _sibling_imbalance(s)
    else:
        lb.imbalance = max(local.idle_cpus - busiest.idle_cpus, 0)
    if d.sd_flags & SD_NUMA:
        lb.imbalance = adjust_numa_imbalance(lb.imbalance, local.nr_running + 1, d.imb_numa_nr)
    lb.imbalance >>= 1


@handler
def _calculate_imbalance(s: State) -> None:
    lb = s.lb[0]
    local, busiest = s.lb_groups[LOCAL], s.lb_groups[BUSIEST]
    lb.imbalance = 0
    if busiest.type == MISFIT:
        lb.migration = MIGRATE_LOAD
        lb.imbalance = busiest.reduced_load
    elif busiest.type == SMT_BALANCE or busiest.type == IMBALANCED:
        lb.migration = MIGRATE_TASK
        lb.imbalance = 1
    elif local.type == HAS_SPARE:
        _spare_imbalance(s)
    else:
        if local.type < OVERLOADED:
            local.avg_load = local.load * CAPACITY // local.capacity
            lb.avg_load = lb.total_load * CAPACITY // lb.total_capacity
            if local.avg_load >= busiest.avg_load or local.avg_load >= lb.avg_load:
                return
        lb.migration = MIGRATE_LOAD
        surplus = (busiest.avg_load - lb.avg_load) * busiest.capacity
        lb.imbalance = min(surplus, (lb.avg_load - local.avg_load) * local.capacity) // CAPACITY


@handler
def _loads_are_balanced(s: State) -> bool:
    """Return whether the local group, overloaded itself, has enough to do beside the busiest."""
    lb = s.lb[0]
    local, busiest = s.lb_groups[LOCAL], s.lb_groups[BUSIEST]
    if local.avg_load >= busiest.avg_load:
        return True
    lb.avg_load = lb.total_load * CAPACITY // lb.total_capacity
    if local.avg_load >= lb.avg_load:
        return True
    return bool(100 * busiest.avg_load <= s.domains[lb.domain].imbalance_pct * local.avg_load)


@handler
def _is_balanced(s: State) -> bool:
    """Return whether nothing is to be moved from the busiest group to the local one."""
    lb = s.lb[0]
    local, busiest = s.lb_groups[LOCAL], s.lb_groups[BUSIEST]
    if busiest.type == MISFIT or busiest.type == IMBALANCED:
        return False
    if local.type > busiest.type or (local.type == OVERLOADED and _loads_are_balanced(s)):
        return True
    if lb.prefer_sibling == 1 and local.type == HAS_SPARE and _sibling_imbalance(s) > 1:
        return False
    if busiest.type == OVERLOADED:
        return False
    if lb.idle == NOT_IDLE:
        return True
    if busiest.type == SMT_BALANCE and s.sched_groups[lb.local].smt != s.sched_groups[lb.busiest].smt:
        return False
    if busiest.weight > 1 and local.idle_cpus <= busiest.idle_cpus + 1:
        return True
    return bool(busiest.h_nr_running == 1)


@handler
def find_busiest_group(s: State) -> int:
    """Return the group to pull from, -1 if the domain is balanced; the imbalance is set."""
    lb = s.lb[0]
    lb.imbalance = 0
    _update_sd_lb_stats(s)
    if lb.busiest < 0 or _is_balanced(s):
        return NONE
    _calculate_imbalance(s)
    return lb.busiest if lb.imbalance > 0 else NONE


@handler
def find_busiest_queue(s: State) -> int:
    """Return the CPU of the busiest group that has most of what is to be moved, -1 if none has any."""
    lb = s.lb[0]
    d = s.domains[lb.domain]
    group = s.sched_groups[lb.busiest]
    busiest, most, most_capacity = NONE, 0, 1
    for at in range(group.first_member, group.first_member + group.weight):
        cpu = s.members[at]
        running = s.cfs_rqs[cpu].h_nr_running
        if running == 0 or not considered(s, cpu):
            continue
        if lb.migration == MIGRATE_LOAD:
            load, capacity = load_of(s, cpu), capacity_of(s, cpu)
            if running == 1 and load > lb.imbalance and capacity * d.imbalance_pct >= CAPACITY * 100:
                continue
            if load * most_capacity > most * capacity:
                busiest, most, most_capacity = cpu, load, capacity
        elif lb.migration == MIGRATE_UTIL:
            util = min(s.cfs_rqs[cpu].util_avg, CAPACITY)
            if running > 1 and util > most:
                busiest, most = cpu, util
        elif running > most:
            busiest, most = cpu, running
    return busiest
