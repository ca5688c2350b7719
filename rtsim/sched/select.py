"""On which CPU a woken fair task is queued: beside its waker or where it ran, there or on an idle one nearby.

Two of the kernel's rules have no subject here: capacities differ on no CPU, and no kernel thread of a single CPU wakes
others. Wake-ups come from interrupts and from tasks that go on, so none is synchronous.
"""

from __future__ import annotations

from rtsim.engine.constants import NONE, SD_WAKE_AFFINE
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched.cpus import (
    allowed_on,
    available_idle_cpu,
    capacity_of,
    in_domain,
    jiffies,
    load_of,
    sched_idle_cpu,
    shares_cache,
)
from rtsim.sched.pelt import task_h_load

__all__ = ["note_idle_core", "record_wakee", "select_idle_sibling", "select_task_rq_fair", "wake_affine", "wake_wide"]

SECOND_NS = 1_000_000_000


@handler
def select_task_rq_fair(s: State, task: int, here: int) -> int:
    """Return the CPU that `task`, woken by code on CPU `here`, is to be queued on."""
    prev = s.tasks[task].cpu
    record_wakee(s, here, task)
    target = prev
    if here != prev and allowed_on(s, task, here) and not wake_wide(s, here, task):
        domain = _affine_domain(s, here, prev)
        if domain >= 0:
            target = wake_affine(s, domain, task, here, prev, False)
    return select_idle_sibling(s, task, prev, target)


@handler
def _affine_domain(s: State, here: int, prev: int) -> int:
    """Return the smallest domain of `here` that wakes with an eye to caches and spans `prev`, -1 if there is none."""
    domain = s.cpus[here].domain
    while domain >= 0:
        if s.domains[domain].sd_flags & SD_WAKE_AFFINE and in_domain(s, domain, prev):
            return domain
        domain = s.domains[domain].parent
    return NONE


# ---- who wakes whom -------------------------------------------------------------------------------------------------


@handler
def record_wakee(s: State, here: int, task: int) -> None:
    """Count that what runs on `here`, a task or idleness, wakes another task than the last time."""
    now = jiffies(s, here)
    second = SECOND_NS // s.kernels[s.cpus[here].kernel].tick_ns
    curr = s.cpus[here].curr
    if curr >= 0:
        waker = s.tasks[curr]
        if now > waker.waker_decayed + second:
            waker.waker_flips >>= 1
            waker.waker_decayed = now
        if waker.waker_last != task:
            waker.waker_last = task
            waker.waker_flips += 1
        return
    c = s.cpus[here]
    if now > c.waker_decayed + second:
        c.waker_flips >>= 1
        c.waker_decayed = now
    if c.waker_last != task:
        c.waker_last = task
        c.waker_flips += 1


@handler
def wake_wide(s: State, here: int, task: int) -> bool:
    """Return whether waker and wakee have so many partners that one cache cannot hold them."""
    c = s.cpus[here]
    master = s.tasks[c.curr].waker_flips if c.curr >= 0 else c.waker_flips
    slave = s.tasks[task].waker_flips
    if master < slave:
        master, slave = slave, master
    factor = s.llcs[c.llc].weight if c.llc >= 0 else 1
    return slave >= factor and master >= slave * factor


# ---- beside the waker, or where it ran ------------------------------------------------------------------------------


@handler
def wake_affine(s: State, domain: int, task: int, here: int, prev: int, sync: bool) -> int:
    """Return `here` or `prev`: the one that idles, else the one with less load. `sync`: the waker is about to sleep."""
    target = _wake_affine_idle(s, here, prev, sync)
    if target < 0:
        target = _wake_affine_weight(s, domain, task, here, prev, sync)
    return here if target == here else prev


@handler
def _wake_affine_idle(s: State, here: int, prev: int, sync: bool) -> int:
    if available_idle_cpu(s, here) and shares_cache(s, here, prev):
        return prev if available_idle_cpu(s, prev) else here
    if sync and s.cpus[here].nr_running == 1:
        return here
    if available_idle_cpu(s, prev):
        return prev
    return NONE


@handler
def _wake_affine_weight(s: State, domain: int, task: int, here: int, prev: int, sync: bool) -> int:
    here_load = load_of(s, here)
    if sync:
        current_load = task_h_load(s, s.cpus[here].curr)
        if current_load > here_load:
            return here
        here_load -= current_load
    load = task_h_load(s, task)
    here_load = (here_load + load) * 100 * capacity_of(s, prev)
    prev_load = (load_of(s, prev) - load) * (100 + (s.domains[domain].imbalance_pct - 100) // 2) * capacity_of(s, here)
    if sync:
        prev_load += 1
    return here if here_load < prev_load else NONE


# ---- an idle CPU nearby ---------------------------------------------------------------------------------------------


@handler
def _unused(s: State, cpu: int) -> bool:
    return available_idle_cpu(s, cpu) or sched_idle_cpu(s, cpu)


@handler
def select_idle_sibling(s: State, task: int, prev: int, target: int) -> int:
    """Return an idle CPU that shares the cache of `target`: that itself, `prev`, or another; else `target`."""
    if _unused(s, target):
        return target
    if prev != target and shares_cache(s, prev, target) and _unused(s, prev):
        return prev
    t = s.tasks[task]
    recent = t.recent_cpu
    t.recent_cpu = prev
    known = recent != prev and recent != target and shares_cache(s, recent, target)
    if known and _unused(s, recent) and allowed_on(s, task, recent):
        return recent
    domain = s.cpus[target].llc_domain
    if domain < 0:
        return target
    idle_core = False
    if s.cpus[target].core_count > 1:
        idle_core = s.llcs[s.cpus[target].llc].idle_cores == 1
        if not idle_core and shares_cache(s, prev, target):
            idle = _select_idle_smt(s, task, domain, prev)
            if idle >= 0:
                return idle
    idle = _select_idle_core(s, task, domain, target) if idle_core else _select_idle_cpu(s, task, domain, target)
    return idle if idle >= 0 else target


@handler
def _select_idle_smt(s: State, task: int, domain: int, prev: int) -> int:
    """Return an idle sibling of `prev`, -1 if there is none."""
    c = s.cpus[prev]
    for place in range(c.core_first, c.core_first + c.core_count):
        cpu = s.members[place]
        if cpu != prev and allowed_on(s, task, cpu) and in_domain(s, domain, cpu) and _unused(s, cpu):
            return cpu
    return NONE


@handler
def _select_idle_cpu(s: State, task: int, domain: int, target: int) -> int:
    """Return the first idle CPU behind `target`; look at as many as the use of the cache makes worth while."""
    d = s.domains[domain]
    looks = s.llcs[s.cpus[target].llc].nr_idle_scan
    for step in range(1, d.weight + 1):
        cpu = s.members[d.first_member + (d.position + step) % d.weight]
        if not allowed_on(s, task, cpu):
            continue
        if looks == 0:
            return NONE
        looks -= 1
        if _unused(s, cpu):
            return cpu
    return NONE


@handler
def _select_idle_core(s: State, task: int, domain: int, target: int) -> int:
    """Return a CPU of the first wholly idle core behind `target`, or else any idle one on the way; -1: none."""
    d = s.domains[domain]
    llc = s.llcs[s.cpus[target].llc]
    if llc.nr_idle_scan == 0:
        return NONE
    idle = NONE
    for step in range(1, d.weight + 1):
        cpu = s.members[d.first_member + (d.position + step) % d.weight]
        if not allowed_on(s, task, cpu) or _core_seen(s, task, target, cpu):
            continue
        whole = True
        c = s.cpus[cpu]
        for place in range(c.core_first, c.core_first + c.core_count):
            sibling = s.members[place]
            if available_idle_cpu(s, sibling):
                if idle < 0 and allowed_on(s, task, sibling):
                    idle = sibling
                continue
            whole = False
            if idle >= 0:
                break
            if sched_idle_cpu(s, sibling) and allowed_on(s, task, sibling):
                idle = sibling
                break
        if whole:
            return cpu
    llc.idle_cores = 0
    return idle


@handler
def _core_seen(s: State, task: int, target: int, cpu: int) -> bool:
    """Return whether a sibling of `cpu` that `task` may use comes before it in the search from behind `target`."""
    c = s.cpus[cpu]
    count = s.kernels[c.kernel].cpu_count
    for place in range(c.core_first, c.core_first + c.core_count):
        sibling = s.members[place]
        if (sibling - target - 1) % count < (cpu - target - 1) % count and allowed_on(s, task, sibling):
            return True
    return False


@handler
def note_idle_core(s: State, cpu: int) -> None:
    """Note that the core of `cpu`, which goes idle, is wholly idle if it is (__update_idle_core)."""
    c = s.cpus[cpu]
    if c.llc < 0 or c.core_count == 1 or s.llcs[c.llc].idle_cores == 1:
        return
    for place in range(c.core_first, c.core_first + c.core_count):
        sibling = s.members[place]
        if sibling != cpu and not available_idle_cpu(s, sibling):
            return
    s.llcs[c.llc].idle_cores = 1
