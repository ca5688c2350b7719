"""The order of the scheduling classes, and the threads that the kernel itself has in them."""

import pytest

from rtsim.kernel import Kernel
from rtsim.kernel.classes import verdict
from rtsim.kernel.kthreads import kernel_threads


@pytest.mark.parametrize(
    ("wakes", "runs", "expected"),
    [
        (("stop", 0), ("fifo", 99), "yes"),
        (("deadline", 0), ("fifo", 99), "yes"),
        (("fifo", 50), ("fifo", 1), "yes"),
        (("fifo", 2), ("rr", 1), "yes"),
        (("rr", 2), ("fifo", 1), "yes"),
        (("fifo", 1), ("fifo", 1), "no"),
        (("rr", 1), ("fifo", 1), "no"),
        (("fifo", 1), ("rr", 1), "turns"),
        (("fifo", 1), ("fifo", 2), "no"),
        (("other", -20), ("fifo", 1), "no"),
        (("other", -20), ("rr", 1), "no"),
        (("fifo", 1), ("other", -20), "yes"),
        (("other", 0), ("other", 0), "turns"),
        (("batch", 0), ("other", 0), "turns"),
        (("other", 19), ("idle", 0), "yes"),
        (("idle", 0), ("other", 19), "turns"),
        (("idle", 0), ("idle", 0), "turns"),
        (("idle", 0), ("fifo", 1), "no"),
        (("stop", 0), ("stop", 0), "no"),
    ],
)
def test_who_takes_the_cpu_from_whom(wakes, runs, expected):
    assert verdict(*wakes, *runs) == expected


@pytest.mark.parametrize(
    ("release", "preempt", "thread", "schedule"),
    [
        ("6.1", "voluntary", "migration/{cpu}", ("stop", 0)),
        ("6.1", "voluntary", "ksoftirqd/{cpu}", ("other", 0)),
        ("6.1", "voluntary", "kworker/{cpu}:*H", ("other", -20)),
        ("6.1", "voluntary", "rcu_sched", ("other", 0)),
        ("6.1", "voluntary", "ktimers/{cpu}", None),
        ("6.1", "voluntary", "watchdog/{cpu}", None),
        ("4.18", "voluntary", "watchdog/{cpu}", ("fifo", 99)),
        ("6.1", "rt", "ktimers/{cpu}", ("fifo", 1)),
        ("6.1", "rt", "irq_work/{cpu}", ("fifo", 1)),
        ("5.10", "rt", "irq_work/{cpu}", None),
        ("6.1", "rt", "rcuc/{cpu}", ("fifo", 1)),
        ("6.1", "rt", "rcu_preempt", ("fifo", 1)),
        ("6.1", "rt", "ksoftirqd/{cpu}", ("other", 0)),
        ("6.1", "voluntary", "khugepaged", ("other", 19)),
        ("6.1", "voluntary", "ksmd", ("other", 5)),
    ],
)
def test_threads_of_the_kernel(release, preempt, thread, schedule):
    found = {each.name: (each.policy, each.priority) for each in kernel_threads(Kernel.of(release, preempt=preempt))}
    assert found.get(thread) == schedule


@pytest.mark.parametrize("preempt", ["voluntary", "rt"])
def test_each_thread_once(preempt):
    names = [each.name for each in kernel_threads(Kernel.of("6.1", preempt=preempt))]
    assert len(names) == len(set(names))
