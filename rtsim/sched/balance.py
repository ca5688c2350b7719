"""Load balancing: a CPU pulls fair tasks from the busiest of its domain, or has the running one pushed to it.

The periodic part runs with the tick that it is due at (the kernel raises a softirq for it, on the same CPU and before
the reschedule that follows), and takes no time: a pass costs microseconds, of one tick in many.
"""

from __future__ import annotations

from rtsim.engine.constants import AFFINITY_WORDS, CPU_IDLE, NEWLY_IDLE, NONE, NOT_IDLE, SD_SHARE_CPUCAPACITY
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import detach, migrate, resched
from rtsim.sched.busiest import find_busiest_group, find_busiest_queue
from rtsim.sched.cpus import (
    CAPACITY,
    allowed_on,
    capacity_of,
    core_is_idle,
    idle_cpu,
    in_domain,
    jiffies,
    sched_idle_cpu,
)
from rtsim.sched.group_stats import considered
from rtsim.sched.pelt import update_blocked

__all__ = ["age_newidle_cost", "balance_interval", "load_balance", "push_active", "rebalance_domains"]

MS = 1_000_000
SECOND_NS = 1_000_000_000
MAX_PINNED_INTERVAL = 512
"""ms, between attempts where affinities keep all tasks."""


# ---- one pass over one domain ---------------------------------------------------------------------------------------


@handler
def _begin(s: State, domain: int, cpu: int, idle: int) -> None:
    lb = s.lb[0]
    lb.domain, lb.dst, lb.idle, lb.src = domain, cpu, idle, NONE
    lb.all_pinned = lb.some_pinned = lb.dst_pinned = lb.active = lb.loop = 0
    lb.tasks = NONE
    for word in range(AFFINITY_WORDS):
        lb.cpus[word] = s.domains[domain].span[word]


@handler
def _leave_out(s: State, cpu: int) -> None:
    """Consider `cpu` no more in this pass."""
    bit = cpu - s.kernels[s.cpus[cpu].kernel].cpu_base
    s.lb[0].cpus[bit >> 6] &= ~(1 << (bit & 63))


@handler
def _should_we_balance(s: State) -> bool:
    """Return whether the target is the one of its group to pull: when it runs dry; else the first idle, else the first.

    From 6.6 on, one of an idle core comes before one whose sibling is busy.
    """
    lb = s.lb[0]
    d = s.domains[lb.domain]
    if not considered(s, lb.dst):
        return False
    if lb.idle == NEWLY_IDLE:
        return bool(s.cpus[lb.dst].nr_running == 0 and s.cpus[lb.dst].wakelist < 0)
    cores = s.kernels[s.cpus[lb.dst].kernel].sibling_cores == 1 and not d.sd_flags & SD_SHARE_CPUCAPACITY
    group = s.sched_groups[d.first_group + d.local_group]
    beside_busy = NONE
    for at in range(group.first_member, group.first_member + group.weight):
        other = s.members[at]
        if not idle_cpu(s, other) or not considered(s, other):
            continue
        if cores and not core_is_idle(s, other):
            if beside_busy < 0:
                beside_busy = other
            continue
        return bool(other == lb.dst)
    if beside_busy >= 0:
        return bool(beside_busy == lb.dst)
    return bool(s.members[group.first_member] == lb.dst)


@handler
def _set_group_imbalance(s: State, domain: int, imbalance: int) -> None:
    """Tell the level above whether affinities have kept this domain from being balanced."""
    parent = s.domains[domain].parent
    if parent >= 0:
        s.sched_groups[s.domains[parent].first_group + s.domains[parent].local_group].imbalance = imbalance


@handler
def _only_own_group_left(s: State) -> bool:
    """Return whether the pass considers no CPU outside the local group."""
    lb = s.lb[0]
    d = s.domains[lb.domain]
    group = s.sched_groups[d.first_group + d.local_group]
    inside = 0
    for at in range(group.first_member, group.first_member + group.weight):
        inside += int(considered(s, s.members[at]))
    for at in range(d.first_member, d.first_member + d.weight):
        inside -= int(considered(s, s.members[at]))
    return inside == 0


@handler
def _move_tasks(s: State, domain: int) -> int:
    """Move tasks from the source, to another CPU of the group where affinities demand it; return how many."""
    lb = s.lb[0]
    moved = 0
    lb.loop_max = min(s.kernels[s.cpus[lb.src].kernel].nr_migrate, s.cpus[lb.src].nr_running)
    while True:
        resched.update_rq_clock(s, lb.src)
        moved += detach.detach_tasks(s)
        detach.attach_tasks(s)
        if lb.dst_pinned == 0 or lb.imbalance <= 0:
            break
        _leave_out(s, lb.dst)
        lb.dst = lb.new_dst
        lb.dst_pinned = lb.loop = 0
    if lb.some_pinned == 1 and lb.imbalance > 0:
        _set_group_imbalance(s, domain, 1)
    return moved


@handler
def _need_active_balance(s: State) -> bool:
    """Return whether the running task of the source is worth being pushed away."""
    lb = s.lb[0]
    d = s.domains[lb.domain]
    if lb.migration == detach.MIGRATE_TASK and d.failed > d.cache_nice_tries + 2:
        return True
    if lb.idle == NOT_IDLE or s.cfs_rqs[lb.src].h_nr_running != 1:
        return False
    capacity = capacity_of(s, lb.src) * d.imbalance_pct
    return bool(capacity < CAPACITY * 100 and capacity < capacity_of(s, lb.dst) * 100)


@handler
def _start_active_balance(s: State, cpu: int) -> bool:
    """Ask the stopper of the source to push its running task to `cpu`; return False if that may not run there."""
    source = s.lb[0].src
    curr = s.cpus[source].curr
    if curr >= 0 and not allowed_on(s, curr, cpu):
        return False
    s.lb[0].all_pinned = 0
    if s.cpus[source].active_balance == 0:
        s.cpus[source].active_balance = 1
        s.cpus[source].push_cpu = cpu
        resched.resched_curr(s, source)
    return True


@handler
def _lengthen_interval(s: State, domain: int) -> None:
    """Wait longer for the next pass: this one had nothing to do."""
    d = s.domains[domain]
    if s.lb[0].idle == NEWLY_IDLE:
        return
    if (s.lb[0].all_pinned == 1 and d.interval < MAX_PINNED_INTERVAL) or d.interval < d.max_interval:
        d.interval *= 2


@handler
def _balanced(s: State, domain: int) -> None:
    """End a pass that found nothing to move."""
    if s.lb[0].all_pinned == 0:
        _set_group_imbalance(s, domain, 0)
    s.domains[domain].failed = 0
    _lengthen_interval(s, domain)


@handler
def load_balance(s: State, cpu: int, domain: int, idle: int) -> int:
    """Pull tasks to `cpu` within `domain`; return how many, -1 if another CPU of its group is to do so."""
    d = s.domains[domain]
    _begin(s, domain, cpu, idle)
    lb = s.lb[0]
    while True:
        if not _should_we_balance(s):
            _balanced(s, domain)
            return -1
        group = find_busiest_group(s)
        source = find_busiest_queue(s) if group >= 0 else NONE
        if source < 0:
            _balanced(s, domain)
            return 0
        lb.src = source
        lb.all_pinned = 1
        moved = 0
        if s.cpus[source].nr_running <= 1:
            break
        moved = _move_tasks(s, domain)
        if lb.all_pinned == 0:
            break
        _leave_out(s, source)
        if _only_own_group_left(s):
            d.failed = 0
            _lengthen_interval(s, domain)
            return 0
        lb.loop = 0
    return _finish(s, cpu, domain, moved)


@handler
def _finish(s: State, cpu: int, domain: int, moved: int) -> int:
    """End a pass that had a source: count failures, push the running task if that is all that helps."""
    d = s.domains[domain]
    if moved > 0:
        d.failed = 0
    else:
        if s.lb[0].idle != NEWLY_IDLE:
            d.failed += 1
        if _need_active_balance(s) and not _start_active_balance(s, cpu):
            _lengthen_interval(s, domain)
            return 0
    d.interval = d.min_interval
    return moved


# ---- the stopper ----------------------------------------------------------------------------------------------------


@handler
def push_active(s: State, cpu: int) -> None:
    """Push a task from `cpu` to where it was asked for, the one that just ran included.

    The kernel's active_load_balance_cpu_stop.
    """
    c = s.cpus[cpu]
    c.active_balance = 0
    if c.nr_running == 0:
        return
    domain = s.cpus[c.push_cpu].domain
    while domain >= 0 and not in_domain(s, domain, cpu):
        domain = s.domains[domain].parent
    if domain < 0:
        return
    _begin(s, domain, c.push_cpu, CPU_IDLE)
    s.lb[0].src = cpu
    s.lb[0].active = 1
    resched.update_rq_clock(s, cpu)
    task = detach.detach_one_task(s)
    if task >= 0:
        s.domains[domain].failed = 0
        migrate.attach_task(s, task)


# ---- all domains of a CPU -------------------------------------------------------------------------------------------


@handler
def balance_interval(s: State, domain: int, busy: bool) -> int:
    """Return the ticks between passes: the more, the busier the CPU is (get_sd_balance_interval)."""
    d = s.domains[domain]
    k = s.kernels[s.cpus[d.cpu].kernel]
    interval = d.interval * d.busy_factor if busy else d.interval
    interval = -(-interval * MS // k.tick_ns) - int(busy)
    longest = SECOND_NS // k.tick_ns * k.cpu_count // 10
    return max(min(interval, longest), 1)


@handler
def age_newidle_cost(s: State, domain: int, now: int) -> bool:
    """Forget 1 % of the cost of new idle balancing each second; return whether it was time to."""
    d = s.domains[domain]
    second = SECOND_NS // s.kernels[s.cpus[d.cpu].kernel].tick_ns
    if now <= d.cost_decayed + second:
        return False
    d.newidle_cost = d.newidle_cost * 253 // 256
    d.cost_decayed = now
    return True


@handler
def rebalance_domains(s: State, cpu: int, idle: int) -> None:
    """Balance every domain of `cpu` that is due."""
    now = jiffies(s, cpu)
    busy = idle != CPU_IDLE and not sched_idle_cpu(s, cpu)
    goes_on = True
    aged = False
    cost = 0
    following = now + 60 * SECOND_NS // s.kernels[s.cpus[cpu].kernel].tick_ns
    update_blocked(s, cpu)
    domain = s.cpus[cpu].domain
    while domain >= 0:
        d = s.domains[domain]
        aged = age_newidle_cost(s, domain, now)
        cost += d.newidle_cost
        if goes_on:
            if now >= d.last_balance + balance_interval(s, domain, busy):
                moved = load_balance(s, cpu, domain, idle)
                goes_on = moved >= 0
                if moved > 0:
                    idle = CPU_IDLE if idle_cpu(s, cpu) else NOT_IDLE
                    busy = idle != CPU_IDLE and not sched_idle_cpu(s, cpu)
                d.last_balance = now
            following = min(following, d.last_balance + balance_interval(s, domain, busy))
        elif not aged:
            break
        domain = d.parent
    if aged:
        s.cpus[cpu].max_idle_cost = max(s.kernels[s.cpus[cpu].kernel].migration_cost, cost)
    s.cpus[cpu].next_balance = following
