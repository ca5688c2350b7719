"""FIFO and round robin: who is at the head of which list (rt.c), on exact traces."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import MS, TICK, US, job_at, machine, run

RR_SLICE = 25 * TICK
"""100 ms at HZ=250."""


def thread(b: Builder, name: str, priority: int, *jobs: tuple[int, int], policy: int = es.FIFO, **fields: int) -> int:
    """Add a thread with jobs (time, duration)."""
    task = b.server(name, 0, [0], policy, priority, **fields)
    for time, duration in jobs:
        job_at(b, task, time, duration)
    return task


def test_the_strongest_runs_and_equals_run_in_order_of_arrival() -> None:
    b = machine()
    thread(b, "busy", 60, (1 * MS, 10 * US))
    for name, priority in (("a", 50), ("b", 50), ("c", 55), ("d", 50)):
        thread(b, name, priority, (1 * MS + US, 10 * US))
    done = run(b, 2 * MS)
    assert done.switches() == [
        (1_000_000, "busy"), (1_010_000, "c"), (1_020_000, "a"), (1_030_000, "b"), (1_040_000, "d"),
        (1_050_000, "idle"),
    ]  # fmt: skip


def test_an_equal_does_not_preempt_and_a_preempted_task_stays_at_the_head() -> None:
    b = machine()
    thread(b, "running", 50, (1 * MS, 100 * US))
    thread(b, "equal", 50, (1 * MS + 20 * US, 100 * US))
    thread(b, "stronger", 51, (1 * MS + 40 * US, 10 * US))
    done = run(b, 2 * MS)
    assert done.switches() == [
        (1_000_000, "running"), (1_040_000, "stronger"), (1_050_000, "running"), (1_110_000, "equal"),
        (1_210_000, "idle"),
    ]  # fmt: skip


def test_a_preempted_task_stays_before_equals_that_came_while_the_stronger_ran() -> None:
    b = machine()
    thread(b, "running", 50, (1 * MS, 100 * US))
    thread(b, "stronger", 51, (1 * MS + 40 * US, 50 * US))
    thread(b, "equal", 50, (1 * MS + 60 * US, 100 * US))
    assert [name for _, name in run(b, 2 * MS).switches()] == ["running", "stronger", "running", "equal", "idle"]


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        ((es.FIFO, 1), (es.FIFO, 2)), ((es.FIFO, 98), (es.RR, 99)), ((es.FIFO, 99), (es.STOP, 0)),
        ((es.OTHER, -20), (es.FIFO, 1)), ((es.OTHER, -20), (es.STOP, 0)), ((es.IDLE_POLICY, 0), (es.RR, 1)),
    ],
)  # fmt: skip
def test_a_stronger_class_or_priority_preempts_at_once(weaker: tuple[int, int], stronger: tuple[int, int]) -> None:
    b = machine()
    b.hog("weaker", 0, [0], *weaker)
    thread(b, "stronger", stronger[1], (10 * MS + 1, 50 * MS), policy=stronger[0])
    assert run(b, 100 * MS).switches() == [(0, "weaker"), (10 * MS + 1, "stronger"), (60 * MS + 1, "weaker")]


def test_a_stop_task_is_never_preempted() -> None:
    b = machine()
    thread(b, "migration/0", 0, (1 * MS, 50 * MS), policy=es.STOP)
    thread(b, "strongest", 99, (2 * MS, 1 * MS))
    assert run(b, 100 * MS).switches() == [(1 * MS, "migration/0"), (51 * MS, "strongest"), (52 * MS, "idle")]


def test_fifo_has_no_slice() -> None:
    b = machine()
    b.hog("first", 0, [0], es.FIFO, 50)
    b.hog("second", 0, [0], es.FIFO, 50)
    assert run(b, 1_000 * MS).switches() == [(0, "first")]


def test_round_robin_takes_turns_of_a_slice_in_ticks() -> None:
    b = machine()
    for name in ("a", "b", "c"):
        b.hog(name, 0, [0], es.RR, 50)
    assert run(b, 5 * RR_SLICE - 1).switches() == [(n * RR_SLICE, "abcab"[n]) for n in range(5)]


def test_a_slice_ends_in_favour_of_an_equal_only() -> None:
    b = machine()
    b.hog("alone", 0, [0], es.RR, 50)
    b.hog("weaker", 0, [0], es.RR, 49)
    assert run(b, 5 * RR_SLICE).switches() == [(0, "alone")]


def test_a_fifo_task_of_the_same_priority_gets_its_turn_and_keeps_it() -> None:
    b = machine()
    b.hog("rr", 0, [0], es.RR, 50)
    b.hog("fifo", 0, [0], es.FIFO, 50)
    assert run(b, 5 * RR_SLICE).switches() == [(0, "rr"), (RR_SLICE, "fifo")]


def test_the_slice_of_a_lone_task_is_refilled_when_it_ends() -> None:
    b = machine()
    b.hog("first", 0, [0], es.RR, 50)
    thread(b, "second", 50, (RR_SLICE + 10 * MS, MS), policy=es.RR)
    assert run(b, 3 * RR_SLICE).switches() == [(0, "first"), (2 * RR_SLICE, "second"), (2 * RR_SLICE + MS, "first")]


def test_preemption_does_not_restart_the_slice_and_the_preemptors_ticks_do_not_count() -> None:
    b = machine()
    b.hog("first", 0, [0], es.RR, 50)
    b.hog("second", 0, [0], es.RR, 50)
    thread(b, "stronger", 60, (42 * MS, 20 * MS))  # ten ticks of the slice are gone, fifteen are left
    assert run(b, 150 * MS).switches() == [
        (0, "first"), (42 * MS, "stronger"), (62 * MS, "first"), (60 * MS + 15 * TICK, "second"),
    ]  # fmt: skip


def test_a_slice_that_ends_as_a_stronger_task_wakes_still_sends_its_task_to_the_tail() -> None:
    b = machine()
    b.hog("first", 0, [0], es.RR, 50)
    b.hog("second", 0, [0], es.RR, 50)
    b.periodic(
        "timed", 0, [0], es.FIFO, 60, period_ns=10 * RR_SLICE, first_ns=RR_SLICE, work=b.constant(MS), slack_ns=0
    )
    switches = run(b, RR_SLICE + 50 * MS).switches()
    assert switches[-2:] == [(RR_SLICE, "timed"), (RR_SLICE + MS, "second")]


def test_realtime_tasks_starve_fair_ones() -> None:
    b = machine()
    b.hog("realtime", 0, [0], es.FIFO, 1)
    b.hog("fair", 0, [0], es.OTHER, -20)
    done = run(b, 1_000 * MS)
    assert [int(done.task(name)["cpu_ns"]) for name in ("realtime", "fair")] == [1_000 * MS, 0]
