"""What the scheduler asks about CPUs: who may use them, whether they idle, what they share and have to give."""

from __future__ import annotations

from rtsim.engine.constants import CAPACITY, DEADLINE, RR, RUNNABLE
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import pelt

__all__ = [
    "CAPACITY",
    "allowed_on",
    "available_idle_cpu",
    "capacity_of",
    "core_is_idle",
    "idle_cpu",
    "in_domain",
    "is_balanced",
    "jiffies",
    "load_of",
    "runs_realtime",
    "sched_idle_cpu",
    "shares_cache",
    "update_cpu_capacity",
]


@handler
def jiffies(s: State, cpu: int) -> int:
    """Return the number of ticks since the start by the clock of the kernel of `cpu`."""
    return s.m[0].now // s.kernels[s.cpus[cpu].kernel].tick_ns


@handler
def allowed_on(s: State, task: int, cpu: int) -> bool:
    """Return whether the affinity mask of `task` holds `cpu`."""
    bit = cpu - s.kernels[s.tasks[task].kernel].cpu_base
    return (s.tasks[task].allowed[bit >> 6] >> (bit & 63)) & 1 == 1


@handler
def is_balanced(s: State, cpu: int) -> bool:
    """Return whether `cpu` takes part in balancing: it is in a scheduling domain, and balancing shows in some way."""
    c = s.cpus[cpu]
    return c.domain >= 0 and s.kernels[c.kernel].balances == 1


@handler
def in_domain(s: State, domain: int, cpu: int) -> bool:
    """Return whether `domain` spans `cpu`."""
    bit = cpu - s.kernels[s.cpus[cpu].kernel].cpu_base
    return (s.domains[domain].span[bit >> 6] >> (bit & 63)) & 1 == 1


@handler
def shares_cache(s: State, cpu: int, other: int) -> bool:
    """Return whether two CPUs share a last-level cache (cpus_share_cache)."""
    return cpu == other or (s.cpus[cpu].llc >= 0 and s.cpus[cpu].llc == s.cpus[other].llc)


@handler
def idle_cpu(s: State, cpu: int) -> bool:
    """Return whether `cpu` idles and nothing is on its way to it."""
    c = s.cpus[cpu]
    return c.curr < 0 and c.nr_running == 0 and c.wakelist < 0


@handler
def available_idle_cpu(s: State, cpu: int) -> bool:
    """Return whether `cpu` idles and, in a guest, its vCPU is not waiting for a host CPU."""
    c = s.cpus[cpu]
    if not idle_cpu(s, cpu):
        return False
    return c.carrier < 0 or c.executing == 1 or s.tasks[c.carrier].state != RUNNABLE


@handler
def sched_idle_cpu(s: State, cpu: int) -> bool:
    """Return whether `cpu` has nothing but SCHED_IDLE tasks to run."""
    running = s.cpus[cpu].nr_running
    return running > 0 and running == s.cfs_rqs[cpu].h_nr_idle


@handler
def core_is_idle(s: State, cpu: int) -> bool:
    """Return whether all other CPUs of the core of `cpu` idle (is_core_idle)."""
    c = s.cpus[cpu]
    for place in range(c.core_first, c.core_first + c.core_count):
        sibling = s.members[place]
        if sibling != cpu and not idle_cpu(s, sibling):
            return False
    return True


@handler
def load_of(s: State, cpu: int) -> int:
    """Return the load average of the fair tasks of `cpu` (cpu_load)."""
    return s.cfs_rqs[cpu].load_avg


@handler
def runs_realtime(s: State, cpu: int) -> bool:
    """Return whether a realtime or deadline task runs on `cpu`."""
    curr = s.cpus[cpu].curr
    return curr >= 0 and DEADLINE <= s.tasks[curr].policy <= RR


@handler
def capacity_of(s: State, cpu: int) -> int:
    """Return what realtime and deadline tasks left of `cpu` to fair ones when it last balanced, of `CAPACITY`."""
    return s.cpus[cpu].capacity


@handler
def update_cpu_capacity(s: State, cpu: int) -> None:
    """Work out what realtime and deadline tasks leave of `cpu`; interrupts are not taken off (scale_rt_capacity)."""
    pelt.update_rt(s, cpu, runs_realtime(s, cpu))
    s.cpus[cpu].capacity = max(CAPACITY - s.cpus[cpu].rt_avg, 1)
