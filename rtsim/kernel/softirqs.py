"""Threads that a kernel has on each CPU for softirqs, by release, preemption model and command line."""

from __future__ import annotations

from dataclasses import dataclass

from rtsim.kernel.features import rule
from rtsim.kernel.kernel import Kernel

__all__ = ["SOFTIRQ_VECTORS", "SoftirqThread", "softirq_threads"]

SOFTIRQ_VECTORS = (
    "hi", "timer", "net_tx", "net_rx", "block", "irq_poll", "tasklet", "sched", "hrtimer", "rcu",
)  # fmt: skip
"""In the order in which a round runs them."""

TIMER_VECTORS = ("timer", "hrtimer")


@dataclass(frozen=True)
class SoftirqThread:
    """One of a CPU's threads: its role is its name without ``/N``."""

    role: str
    policy: str
    priority: int
    vectors: tuple[str, ...]


def softirq_threads(kernel: Kernel) -> tuple[SoftirqThread, ...]:
    """Return the threads that run softirqs on each CPU of `kernel`.

    ksoftirqd takes what interrupts leave. ktimers, SCHED_FIFO 1, has the timers' vectors under PREEMPT_RT (from the
    realtime patch of 6.1, in mainline since 6.13), and where mainline has it also with ``threadirqs``.
    """
    ktimers = kernel.preempt == "rt" and rule("ktimers_rt", kernel.release)
    ktimers = ktimers or (kernel.force_irqthreads and rule("ktimers", kernel.release))
    if not ktimers:
        return (SoftirqThread("ksoftirqd", "other", 0, SOFTIRQ_VECTORS),)
    others = tuple(vector for vector in SOFTIRQ_VECTORS if vector not in TIMER_VECTORS)
    return (SoftirqThread("ksoftirqd", "other", 0, others), SoftirqThread("ktimers", "fifo", 1, TIMER_VECTORS))
