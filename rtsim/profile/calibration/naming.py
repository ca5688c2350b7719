"""Who a thread in a trace is: a source of noise by name and CPU, part of the workload, or the model's own work."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["MEASURING", "ThreadName", "irq_of_thread", "is_workload", "policy_of", "runs_softirqs", "thread_name"]

MEASURING = (
    "cyclictest", "rtla", "timerlat*", "osnoise*", "oslat", "hwlatdetect", "rt-app", "rtwl", "trace-cmd", "perf",
    "rtsim", "CPU */KVM", "qemu-*", "swapper*",
)  # fmt: skip
"""Threads that are measured or measure, and those of virtual machines: a scenario says what they do."""

_KWORKER = re.compile(r"kworker/(?:(u\d+)|(\d+)):\d+(H?)")
_OF_CPU = re.compile(r"(.*\D)/(\d+)")
_IRQ = re.compile(r"irq/(\d+)-(.*)")
_SOFTIRQ = re.compile(r"(ksoftirqd|ktimers|ktimersd)/\d+")
LOWEST_REALTIME = 99
"""Kernel priorities up to this one are realtime; 0 is shared by the stopper threads and FIFO 99."""
NICE_0 = 120


class ThreadName(NamedTuple):
    """Name of a source, and the CPU of an instance where the thread's name holds one."""

    name: str
    cpu: int | None


def thread_name(comm: str) -> ThreadName:
    """Return what a thread is called as a source.

    Examples
    --------
    >>> thread_name("kworker/3:1H"), thread_name("migration/2"), thread_name("kworker/u8:2-flush")
    (ThreadName(name='kworker-high', cpu=3), ThreadName(name='migration', cpu=2), \
ThreadName(name='kworker-unbound', cpu=None))
    """
    if match := _KWORKER.match(comm):
        kind = "-unbound" if match[1] else "-high" if match[3] else ""
        return ThreadName(f"kworker{kind}", int(match[2]) if match[2] else None)
    if match := _OF_CPU.fullmatch(comm):
        return ThreadName(match[1], int(match[2]))
    return ThreadName(comm or "unknown", None)


def irq_of_thread(comm: str) -> int | None:
    """Return the number of the interrupt whose handler is this thread, None if it is another thread."""
    match = _IRQ.match(comm)
    return int(match[1]) if match else None


def runs_softirqs(comm: str) -> bool:
    """Return whether the thread only runs softirqs, which are sources of their own."""
    return _SOFTIRQ.fullmatch(comm) is not None


def is_workload(comm: str, patterns: tuple[re.Pattern[str], ...]) -> bool:
    """Return whether a thread's name is one of `patterns`, or a name cut off after 15 characters."""
    return any(pattern.fullmatch(comm) for pattern in patterns)


def policy_of(comm: str, prio: int | None) -> tuple[str, int]:
    """Return policy and priority (of other: the nice value) of a thread with this kernel priority."""
    if comm.startswith("migration/") or (prio is not None and prio < 0):
        return "stop", 0
    if prio is None or prio > LOWEST_REALTIME:
        return "other", 0 if prio is None else prio - NICE_0
    return "fifo", max(LOWEST_REALTIME - prio, 1)
