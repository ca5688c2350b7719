"""What realtime and deadline tasks find on other CPUs, and the nearest one that suits (cpupri, cpudeadline)."""

from __future__ import annotations

from rtsim.engine.bits import trailing_zeros
from rtsim.engine.constants import DEADLINE, FIFO, NONE, RR, RT_PRIORITIES, RUNNABLE, SD_WAKE_AFFINE
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched.cpus import allowed_on, in_domain

__all__ = ["NO_RT", "highest_prio", "is_rt", "nearest", "reaches", "suits", "waiting_prio"]

NO_RT = RT_PRIORITIES
"""Priority of a CPU without realtime tasks: idle or fair tasks, it does not matter."""


@handler
def is_rt(s: State, task: int) -> bool:
    """Return whether `task` is there, and realtime."""
    return task >= 0 and FIFO <= s.tasks[task].policy <= RR


@handler
def highest_prio(s: State, cpu: int) -> int:
    """Return the priority of the strongest realtime task of `cpu`; -1 if a stop or deadline task runs there."""
    curr = s.cpus[cpu].curr
    strongest = NO_RT
    if curr >= 0 and s.tasks[curr].policy < FIFO:
        return -1
    if is_rt(s, curr) and s.tasks[curr].state == RUNNABLE:
        strongest = s.tasks[curr].prio
    return min(strongest, waiting_prio(s, cpu))


@handler
def waiting_prio(s: State, cpu: int) -> int:
    """Return the priority of the strongest realtime task that waits on `cpu`, `NO_RT` if none does."""
    for word in range(4):
        bits = s.cpus[cpu].rt_bitmap[word]
        if bits != 0:
            return 32 * word + trailing_zeros(bits) - 1
    return NO_RT


@handler
def reaches(s: State, task: int, cpu: int) -> bool:
    """Return whether `task` may use `cpu` and is looked for there: in the root domain of the CPU where it is.

    Each root domain has a cpupri and a cpudl of its own.
    """
    return s.cpus[cpu].root_domain == s.cpus[s.tasks[task].cpu].root_domain and allowed_on(s, task, cpu)


@handler
def suits(s: State, task: int, cpu: int, lowest: int) -> bool:
    """Return whether `task` may use `cpu` and would have it to itself: nothing stronger than `lowest` is there.

    A deadline task, whatever `lowest`, looks for a CPU that has none.
    """
    if not reaches(s, task, cpu):
        return False
    if s.tasks[task].policy == DEADLINE:
        return bool(s.cpus[cpu].dl_head < 0)
    return highest_prio(s, cpu) == lowest


@handler
def nearest(s: State, task: int, here: int, lowest: int) -> int:
    """Return the nearest CPU that suits `task`, -1 if none does.

    First where it was; then the CPU `here` that asks, or any, in the smallest domain; that CPU; any.
    """
    t = s.tasks[task]
    if suits(s, task, t.cpu, lowest):
        return t.cpu
    here_too = suits(s, task, here, lowest)
    domain = s.cpus[t.cpu].domain
    while domain >= 0:
        d = s.domains[domain]
        if d.sd_flags & SD_WAKE_AFFINE:
            if here_too and in_domain(s, domain, here):
                return here
            for step in range(1, d.weight):
                cpu = s.members[d.first_member + (d.position + step) % d.weight]
                if suits(s, task, cpu, lowest):
                    return cpu
        domain = d.parent
    if here_too:
        return here
    k = s.kernels[t.kernel]
    for step in range(1, k.cpu_count):
        cpu = k.cpu_base + (t.cpu - k.cpu_base + step) % k.cpu_count
        if suits(s, task, cpu, lowest):
            return cpu
    return NONE
