"""Which threads run softirqs, by release, preemption model and command line."""

from __future__ import annotations

import pytest

from rtsim.kernel import Kernel
from rtsim.kernel.softirqs import SOFTIRQ_VECTORS, softirq_threads


@pytest.mark.parametrize(
    ("release", "preempt", "cmdline", "ktimers"),
    [
        ("5.15", "rt", "", False),
        ("6.1", "rt", "", True),
        ("6.1", "voluntary", "threadirqs", False),
        ("6.12", "full", "threadirqs", False),
        ("6.13", "full", "threadirqs", True),
        ("6.13", "full", "", False),
        ("7.2", "rt", "", True),
    ],
)
def test_ktimers_has_the_timers_vectors_where_it_exists(
    release: str, preempt: str, cmdline: str, ktimers: bool
) -> None:
    threads = softirq_threads(Kernel.of(release, preempt=preempt, cmdline=cmdline))
    assert [thread.role for thread in threads] == ["ksoftirqd", "ktimers"][: 1 + ktimers]
    assert sorted(vector for thread in threads for vector in thread.vectors) == sorted(SOFTIRQ_VECTORS)
    if ktimers:
        assert (threads[1].policy, threads[1].priority, threads[1].vectors) == ("fifo", 1, ("timer", "hrtimer"))


@pytest.mark.parametrize(("preempt", "cmdline", "forced"), [("rt", "", 1), ("full", "threadirqs", 1), ("full", "", 0)])
def test_irq_threads_are_forced_by_preempt_rt_and_threadirqs(preempt: str, cmdline: str, forced: bool) -> None:
    assert Kernel.of("6.1", preempt=preempt, cmdline=cmdline).force_irqthreads == forced
