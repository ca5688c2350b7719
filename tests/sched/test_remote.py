"""Wake-ups on other CPUs: by a list and an interrupt, or straight into the queue (``ttwu_queue``)."""

from __future__ import annotations

from typing import Any

import pytest

from rtsim.engine import calendar
from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.sched import core, remote, resched
from tests.engine.small import MS, US, Run, job_at, run
from tests.sched.topologies import structured

IPI, ENQUEUE, ENTRY = 5 * US, 3 * US, 2 * US
WOKEN = 10 * MS
"""When CPU 0, where the task slept, is busy with a realtime thread, and its timer wakes it for CPU `target`."""


def cpus(**kernel: Any) -> Builder:
    """Two sockets of one core with two threads: 0 and 1 share a cache, 2 and 3 another."""
    return structured(2, 1, 2, ipi=IPI, enqueue_remote=ENQUEUE, irq_entry=ENTRY, **kernel)


def woken_for(b: Builder, target: int, policy: int = es.FIFO) -> Run:
    """Let a task that may run on 0 and `target` wake while a stronger one has CPU 0."""
    task = b.periodic(
        "task", 0, [0, target], policy, 10, period_ns=WOKEN, first_ns=WOKEN, work=b.constant(MS), slack_ns=0
    )
    job_at(b, b.server("strong", 0, [0], es.FIFO, 60), WOKEN - 100 * US, 5 * MS)
    return run(b, 2 * WOKEN - 1, [task])


@pytest.mark.parametrize(
    ("target", "busy", "delay", "why"),
    [
        (1, False, IPI + ENTRY + ENQUEUE, "an idle CPU queues the task itself, when the interrupt has come"),
        (1, True, IPI + ENTRY, "a busy one that shares the cache: queued at once, the interrupt only reschedules"),
        (2, False, IPI + ENTRY + ENQUEUE, "an idle one elsewhere"),
        (2, True, IPI + ENTRY + ENQUEUE, "a busy one elsewhere: its queue is not touched from afar"),
    ],
)
def test_the_way_to_another_cpu(target: int, busy: bool, delay: int, why: str) -> None:
    b = cpus()
    if busy:
        b.hog("fair", 0, [target], es.OTHER, 0)
    done = woken_for(b, target)
    woken = ENTRY + WOKEN  # the timer's interrupt on CPU 0
    assert done.times(es.TR_WAKING, "task") == [woken], why
    assert done.switches(target, after_ns=WOKEN)[0] == (woken + delay, "task"), why


def test_a_realtime_kernel_queues_at_once() -> None:
    done = woken_for(cpus(ttwu_queue=0), 2)
    assert done.switches(2, after_ns=WOKEN)[0] == (WOKEN + 2 * ENTRY + IPI, "task")


def test_several_tasks_come_with_one_interrupt_first_come_first_served() -> None:
    b = cpus()
    tasks = [b.server(name, 0, [1], es.OTHER, 0) for name in ("first", "second", "third")]
    state, _ = b.build([])
    for task in tasks:
        core.try_to_wake_up(state, task, 0)
    assert calendar.slot_time(state, resched.ipi_slot(state, 1)) == IPI
    assert int(state.cpus[1]["nr_running"]) == 0
    assert [remote.next_pending(state, 1) for _ in range(4)] == [*tasks, es.NONE]


def test_a_wake_up_under_way_counts_as_a_task_of_its_cpu_for_others() -> None:
    b = structured(1, 4, 1, ipi=IPI)
    for number in range(2):
        b.periodic(
            f"task{number}", 0, range(4), es.OTHER, 0, period_ns=WOKEN, first_ns=WOKEN, work=b.constant(MS), slack_ns=0
        )
    job_at(b, b.server("strong", 0, [0], es.FIFO, 60), WOKEN - 100 * US, 5 * MS)
    done = run(b, WOKEN + 500 * US)
    assert all(int(done.task(f"task{number}")["cpu_ns"]) >= 500 * US - IPI for number in range(2))
