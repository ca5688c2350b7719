"""CPUs that idle without a tick: one of them is kicked to balance for all when a busy one has reason to."""

from __future__ import annotations

from rtsim.engine.bits import trailing_zeros
from rtsim.engine.constants import (
    AFFINITY_WORDS,
    CPU_IDLE,
    NOHZ_BALANCE_KICK,
    NOHZ_STATS_KICK,
    NONE,
    NOT_IDLE,
    VEC_SCHED,
)
from rtsim.engine.jit import handler
from rtsim.engine.random import cost
from rtsim.engine.state import State
from rtsim.sched import resched
from rtsim.sched.balance import rebalance_domains
from rtsim.sched.cpus import CAPACITY, capacity_of, idle_cpu, jiffies
from rtsim.sched.pelt import update_blocked

__all__ = ["enter_idle", "nohz_idle_balance", "trigger_load_balance"]

STATS_PERIOD_NS = 32_000_000
"""How long aged loads of idle CPUs serve."""


@handler
def enter_idle(s: State, cpu: int) -> None:
    """Note that `cpu` idles and stops its tick (nohz_balance_enter_idle)."""
    c = s.cpus[cpu]
    if c.domain < 0:
        return
    k = s.kernels[c.kernel]
    c.has_blocked = 1
    k.nohz_has_blocked = 1
    if c.nohz_idle == 1:
        return
    c.nohz_idle = 1
    _mark(s, cpu)
    k.nohz_cpus += 1
    if c.llc >= 0:
        s.llcs[c.llc].nr_busy -= 1


@handler
def _mark(s: State, cpu: int) -> None:
    """Change whether `cpu` is among those that idle without a tick."""
    k = s.kernels[s.cpus[cpu].kernel]
    bit = cpu - k.cpu_base
    k.nohz_mask[bit >> 6] ^= 1 << (bit & 63)


@handler
def _exit_idle(s: State, cpu: int) -> None:
    """Note that `cpu` ticks again (nohz_balance_exit_idle)."""
    c = s.cpus[cpu]
    if c.nohz_idle == 0:
        return
    c.nohz_idle = 0
    _mark(s, cpu)
    s.kernels[c.kernel].nohz_cpus -= 1
    if c.llc >= 0:
        s.llcs[c.llc].nr_busy += 1


@handler
def _next_idle(s: State, kernel: int, bit: int) -> int:
    """Return the first CPU from number `bit` of the kernel on that idles without a tick, -1 if there is none."""
    k = s.kernels[kernel]
    word = bit >> 6
    if word >= AFFINITY_WORDS:
        return NONE
    bits = k.nohz_mask[word] & (-1 << (bit & 63))
    while bits == 0:
        word += 1
        if word == AFFINITY_WORDS:
            return NONE
        bits = k.nohz_mask[word]
    return k.cpu_base + 64 * word + trailing_zeros(bits)


@handler
def trigger_load_balance(s: State, cpu: int) -> None:
    """Balance at the tick of a busy `cpu` if it is due, and have an idle one balance if there is reason to.

    Where softirqs are ksoftirqd's, it balances when it comes to run; a softirq raised again meanwhile stays one.
    """
    c = s.cpus[cpu]
    if c.domain < 0:
        return
    _nohz_balancer_kick(s, cpu)
    if jiffies(s, cpu) < c.next_balance:
        return
    k = s.kernels[c.kernel]
    if k.force_irqthreads == 0 or c.ksoftirqd < 0:
        rebalance_domains(s, cpu, NOT_IDLE)
    elif c.softirq_pending & 1 << VEC_SCHED == 0:
        c.softirq_pending |= 1 << VEC_SCHED
        c.softirq_work[VEC_SCHED] += cost(s, cpu, k.softirq_entry) + cost(s, cpu, k.sched_softirq)


@handler
def _nohz_balancer_kick(s: State, cpu: int) -> None:
    _exit_idle(s, cpu)
    k = s.kernels[s.cpus[cpu].kernel]
    if k.nohz_cpus == 0:
        return
    now = jiffies(s, cpu)
    kick = NOHZ_STATS_KICK if k.nohz_has_blocked == 1 and now > k.nohz_blocked else 0
    if now >= k.nohz_balance and _has_reason(s, cpu):
        kick = NOHZ_STATS_KICK | NOHZ_BALANCE_KICK
    if kick != 0:
        _kick(s, cpu, kick)


@handler
def _has_reason(s: State, cpu: int) -> bool:
    """Return whether `cpu` has tasks for others, or shares its cache with another busy one (nohz_balancer_kick)."""
    c = s.cpus[cpu]
    if c.nr_running >= 2:
        return True
    reduced = capacity_of(s, cpu) * s.domains[c.domain].imbalance_pct < CAPACITY * 100
    if reduced and s.cfs_rqs[cpu].h_nr_running >= 1:
        return True
    return bool(c.llc >= 0 and s.llcs[c.llc].nr_busy > 1)


@handler
def _kick(s: State, cpu: int, kick: int) -> None:
    """Interrupt the first idle CPU that keeps house for others (kick_ilb)."""
    kernel = s.cpus[cpu].kernel
    k = s.kernels[kernel]
    if kick & NOHZ_BALANCE_KICK:
        k.nohz_balance = jiffies(s, cpu) + 1
    idle = _next_idle(s, kernel, 0)
    while idle >= 0:
        if idle != cpu and idle_cpu(s, idle) and s.cpus[idle].nohz_full == 0:
            if s.cpus[idle].nohz_kick == 0:
                resched.send_ipi(s, idle)
            s.cpus[idle].nohz_kick |= kick
            return
        idle = _next_idle(s, kernel, idle - k.cpu_base + 1)


@handler
def nohz_idle_balance(s: State, cpu: int) -> None:
    """Balance for every CPU that idles without a tick, beginning behind `cpu`, which was asked to."""
    c = s.cpus[cpu]
    kick = c.nohz_kick
    c.nohz_kick = 0
    if not idle_cpu(s, cpu):
        return
    k = s.kernels[c.kernel]
    now = jiffies(s, cpu)
    second = 1_000_000_000 // k.tick_ns
    following = now + 60 * second
    k.nohz_has_blocked = 0
    start = cpu - k.cpu_base + 1
    for part in range(2):
        other = _next_idle(s, c.kernel, start if part == 0 else 0)
        while other >= 0 and (part == 0 or other - k.cpu_base < start):
            if idle_cpu(s, other):
                following = min(following, _balance_for(s, other, now, kick))
            if c.need_resched != 0:
                k.nohz_has_blocked = 1
                return
            other = _next_idle(s, c.kernel, other - k.cpu_base + 1)
    k.nohz_balance = following
    k.nohz_blocked = now + -(-STATS_PERIOD_NS // k.tick_ns)


@handler
def _balance_for(s: State, cpu: int, now: int, kick: int) -> int:
    """Age the load of the idle `cpu`, if it has any, and balance it if due; return when it is due next."""
    c = s.cpus[cpu]
    if c.has_blocked == 1:
        _age(s, cpu, now)
        s.kernels[c.kernel].nohz_has_blocked |= c.has_blocked
    if now >= c.next_balance and kick & NOHZ_BALANCE_KICK:
        resched.update_rq_clock(s, cpu)
        rebalance_domains(s, cpu, CPU_IDLE)
    return c.next_balance


@handler
def _age(s: State, cpu: int, now: int) -> None:
    """Age the load of the idle `cpu`, at most once a tick (update_nohz_stats)."""
    c = s.cpus[cpu]
    if now <= c.blocked_updated:
        return
    c.blocked_updated = now
    resched.update_rq_clock(s, cpu)
    update_blocked(s, cpu)
    c.has_blocked = int(s.cfs_rqs[cpu].load_avg + s.cfs_rqs[cpu].util_avg > 0)
