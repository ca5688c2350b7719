"""The run queue's clock: when it is read, and what tasks are charged by it."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.sched import resched
from tests.engine.small import MS, US, Run, interrupt_at, machine, run

SWITCH = 20 * US


def hog_and_wakee(**kernel: int) -> Run:
    """A hog, and a sleeper that preempts it at 97 ms; interrupts and switches are long."""
    b = machine(irq_entry=5 * US, timer_irq=10 * US, wake=3 * US, context_switch=SWITCH, **kernel)
    b.hog("hog", 0, [0], es.OTHER, 0)
    work = b.constant(50 * MS)
    b.periodic("wakee", 0, [0], es.OTHER, 0, period_ns=100 * MS, first_ns=97 * MS, work=work, slack_ns=0)
    return run(b, 100 * MS)


@pytest.mark.parametrize(("skip", "after_ns"), [(1, 0), (0, 3 * US)])
def test_the_wakee_is_charged_from_the_wake_up_test_on(skip: int, after_ns: int) -> None:
    """Not from the schedule() that follows, after the interrupt, 3 us later. The switch is the wakee's too."""
    done = hog_and_wakee(clock_skip=skip)
    (woken,) = done.times(es.TR_WAKING, "wakee")
    hog = done.state.entities[0]
    assert int(hog["exec_start"]) == woken + after_ns


def charged(b: Builder, until_ns: int) -> list[int]:
    return [int(ns) for ns in run(b, until_ns).state.entities["sum_exec"]]


@pytest.mark.parametrize(("accounting", "rest"), [(0, 0), (1, 20 * 700 * US)])
def test_interrupts_are_charged_to_the_task_they_hit_unless_they_are_accounted(accounting: int, rest: int) -> None:
    b = machine(irq_time_accounting=accounting)
    b.hog("hog", 0, [0], es.OTHER, 0)
    for number in range(20):
        interrupt_at(b, 0, number * 4 * MS + MS, 700 * US)
    b.hog("other", 0, [0], es.IDLE_POLICY, 0)  # keeps ticks going
    assert sum(charged(b, 80 * MS)) == pytest.approx(80 * MS - rest, abs=5 * US)


def test_the_task_clock_waits_where_an_interrupt_was_not_yet_known() -> None:
    """An interrupt of 50 ns ends just after a reading in its midst: the clock does not go back, nor lose the rest."""
    b = machine(irq_time_accounting=1)
    b.hog("hog", 0, [0], es.OTHER, 0)
    state, _ = b.build(watched=[])
    readings = []
    for now, irq_ns in ((100, 0), (110, 50), (140, 50), (200, 50)):
        state.m[0]["now"], state.cpus[0]["irq_ns"] = now, irq_ns
        resched.update_rq_clock(state, 0)
        readings.append(int(resched.clock_task(state, 0)))
    assert readings == [100, 100, 100, 150]
