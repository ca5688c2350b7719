"""The kernel's own threads: policy, priority and place of each, by release and preemption model.

Sources: kernel/{softirq,smpboot,stop_machine,irq_work,workqueue,watchdog}.c, kernel/rcu/tree.c, tree_nocb.h and
tree_plugin.h, mm/{vmscan,compaction,ksm,khugepaged}.c of 6.1.192 and 6.12.117, and the threads of running 6.1 and
6.1-rt kernels. What they do and how often is a profile's matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rtsim.kernel.isolation import Isolation
from rtsim.kernel.kernel import Kernel

__all__ = [
    "IRQ_THREAD_PRIORITY",
    "KTHREADS",
    "KernelThread",
    "Place",
    "cpus_of_place",
    "kernel_threads",
    "thread_named",
]

IRQ_THREAD_PRIORITY = 50
"""SCHED_FIFO priority of a handler that runs as a thread: MAX_RT_PRIO / 2 (``sched_set_fifo``)."""
AVOID_NOISE_SINCE = (6, 14)
"""Since then threads of a NUMA node keep off ``nohz_full=`` CPUs (``kthread_affine_node``)."""

Place = Literal["cpu", "kthread", "worker", "node", "offload"]


@dataclass(frozen=True)
class KernelThread:
    """One kind of kernel thread."""

    name: str
    """``{cpu}`` stands for its CPU, ``{node}`` for its NUMA node."""
    policy: str
    """stop, fifo or other."""
    priority: int
    """Of fifo; of other, the nice value."""
    place: Place
    """``cpu``: bound, one a CPU; ``kthread``: where unbound kernel threads run; ``worker``: in the mask of unbound
    workqueues; ``node``: on the CPUs of its node; ``offload``: as ``kthread``, where another CPU's callbacks are
    offloaded."""
    does: str
    rt: bool | None = None
    """Only with PREEMPT_RT, only without, or with both."""
    since: tuple[int, int] = (0, 0)
    until: tuple[int, int] = (99, 0)
    """First series without it."""
    noise: tuple[str, ...] = ()
    """Sources of noise in profiles that are this thread's work."""


KTHREADS = (
    KernelThread("migration/{cpu}", "stop", 0, "cpu", "migrations, stop-machine", noise=("watchdog",)),
    KernelThread("watchdog/{cpu}", "fifo", 99, "cpu", "soft lockup check", until=(4, 19), noise=("watchdog",)),
    KernelThread("cpuhp/{cpu}", "other", 0, "cpu", "CPU hotplug, else asleep"),
    KernelThread("ksoftirqd/{cpu}", "other", 0, "cpu", "softirqs left by interrupts", rt=False),
    KernelThread("ksoftirqd/{cpu}", "other", 0, "cpu", "softirqs of interrupts", rt=True),
    KernelThread("ktimers/{cpu}", "fifo", 1, "cpu", "timers of tasks that are not realtime", rt=True, since=(6, 1)),
    KernelThread("irq_work/{cpu}", "fifo", 1, "cpu", "irq_work that may sleep", rt=True, since=(5, 16)),
    KernelThread("rcuc/{cpu}", "fifo", 1, "cpu", "RCU callbacks of its CPU", rt=True, noise=("rcuc",)),
    KernelThread("rcub/{node}", "fifo", 1, "kthread", "boosts tasks that hold RCU back", rt=True),
    KernelThread("kworker/{cpu}:*", "other", 0, "cpu", "bound work: vmstat, drain", noise=("kworker", "vmstat")),
    KernelThread("kworker/{cpu}:*H", "other", -20, "cpu", "bound work of high priority", noise=("kworker-high",)),
    KernelThread("kworker/u*", "other", 0, "worker", "unbound work, remote ticks", noise=("kworker-unbound",)),
    KernelThread("rcu_sched", "other", 0, "kthread", "RCU grace periods", rt=False),
    KernelThread("rcu_preempt", "fifo", 1, "kthread", "RCU grace periods", rt=True),
    KernelThread("rcuo*", "other", 0, "offload", "offloaded RCU callbacks", rt=False, noise=("rcuop",)),
    KernelThread("rcuo*", "fifo", 1, "offload", "offloaded RCU callbacks", rt=True, noise=("rcuop",)),
    KernelThread("kswapd{node}", "other", 0, "node", "reclaims memory of its node"),
    KernelThread("kcompactd{node}", "other", 0, "node", "compacts memory of its node"),
    KernelThread("ksmd", "other", 5, "kthread", "merges pages of guests", noise=("ksmd",)),
    KernelThread("khugepaged", "other", 19, "kthread", "makes huge pages"),
)  # fmt: skip


def kernel_threads(kernel: Kernel) -> tuple[KernelThread, ...]:
    """Return the threads that a kernel of this release and preemption model has."""
    series, rt = kernel.release.series, kernel.preempt == "rt"
    return tuple(thread for thread in KTHREADS if thread.since <= series < thread.until and thread.rt in (None, rt))


def cpus_of_place(place: Place, isolation: Isolation, series: tuple[int, int]) -> frozenset[int]:
    """Return where threads of `place` may run; those that are bound run on any CPU, each on its own."""
    if place == "worker":
        return isolation.worker_cpus
    if place in ("kthread", "offload"):
        return isolation.kthread_cpus
    if place == "node":
        avoided = isolation.timers_leave if series >= AVOID_NOISE_SINCE else frozenset()
        return isolation.cpus - isolation.domain - avoided
    return isolation.cpus


def thread_named(source: str) -> KernelThread | None:
    """Return the kernel thread whose work a source of noise is, by the source's name; None: it is no kernel thread's.

    Examples
    --------
    >>> thread_named("kworker-unbound").place, thread_named("kswapd1").place, thread_named("redis")
    ('worker', 'node', None)
    """
    stem = source.rstrip("0123456789")
    for thread in KTHREADS:
        own = re.split(r"[/{*]", thread.name)[0]
        if source in thread.noise or stem == own or (thread.name == f"{own}*" and stem.startswith(own)):
            return thread
    return None
