"""Waking, marking and switching: what the classes share, on exact traces."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import MS, SECOND, TICK, US, add_kernel, interrupt_at, job_at, machine, run


def sleeper(b: Builder, policy: int, priority: int, slack_ns: int = 0, cpus: tuple[int, ...] = (0,)) -> int:
    """A task released every millisecond that computes for 10 us."""
    return b.periodic(
        "sleeper", 0, cpus, policy, priority, period_ns=MS, first_ns=MS, work=b.constant(10 * US), slack_ns=slack_ns
    )


def test_a_timer_within_its_slack_goes_off_with_an_earlier_interrupt() -> None:
    """Every fourth release coincides with the tick that a hog keeps alive."""
    b = machine()
    b.hog("hog", 0, [0], es.IDLE_POLICY, 0)
    samples = run(b, 17 * MS, [sleeper(b, es.OTHER, 0, 50 * US)]).samples("sleeper")
    assert samples == [50 * US, 50 * US, 50 * US, 0] * 4


def test_all_costs_of_a_switch_come_before_user_space() -> None:
    b = machine(context_switch=1_600, syscall_exit=200, irq_entry=600, timer_irq=400, wake=1_000)
    b.hog("hog", 0, [0], es.OTHER, 0)
    done = run(b, 2 * MS - 1, [sleeper(b, es.FIFO, 50)])
    assert done.switches(after_ns=10 * US) == [
        (1_000_000 + 2_000, "sleeper"),  # after the interrupt
        (1_000_000 + 2_000 + 1_800 + 10_000, "hog"),  # after switch, return to user space and 10 us of work
    ]
    assert done.samples("sleeper") == [3_800]


def test_interrupts_delay_the_work_of_a_task_and_nothing_is_lost() -> None:
    b = machine()
    task = sleeper(b, es.FIFO, 50)
    interrupt_at(b, 0, MS + 4 * US, 7 * US)
    interrupt_at(b, 0, MS + 5 * US, 3 * US, es.NOISE_HARDWARE)  # stalls the interrupt itself
    done = run(b, 2 * MS - 1, [task])
    assert done.switches(after_ns=0) == [(MS, "sleeper"), (MS + 20 * US, "idle")]
    cpu = done.state.cpus[0]
    assert (int(cpu["task_ns"]), int(cpu["irq_ns"]), int(cpu["hardware_ns"])) == (10 * US, 7 * US, 3 * US)


def test_an_interrupt_that_came_during_another_is_taken_before_the_softirq_goes_on() -> None:
    b = machine(cpus=2, irq_entry=5 * US)
    sleeper(b, es.FIFO, 50, cpus=(0, 1))
    interrupt_at(b, 0, MS - 2 * US, 100 * US, es.NOISE_SOFTIRQ)  # its interrupt ends 3 us after the timer expired
    (woken, *_) = run(b, MS + 200 * US).times(es.TR_WAKING, "sleeper")
    assert woken == MS + (3 + 5) * US  # after its own entry


def test_a_remote_wake_up_takes_an_inter_processor_interrupt() -> None:
    b = machine(cpus=2, ipi=800, irq_entry=600, timer_irq=400, wake=1_000, idle_exit=2_000, context_switch=1_600)
    task = sleeper(b, es.FIFO, 50, cpus=(0, 1))
    b.hog("hog", 0, [0], es.FIFO, 50)
    done = run(b, 2 * MS - 1, [task])
    # the timer goes off where the task slept, and wakes it after the interrupt's entry; it is queued on the idle CPU,
    # which leaves its idle state for the IPI
    assert done.switches(1) == [(MS + 1_000 + 800 + 2_600, "sleeper"), (MS + 4_400 + 1_600 + 10_000, "idle")]
    assert done.samples("sleeper") == [4_400 + 1_600]
    assert int(done.task("sleeper")["migrations"]) == 1


def test_who_blocks_switches_away_voluntarily_and_who_is_preempted_does_not() -> None:
    b = machine()
    b.hog("hog", 0, [0], es.OTHER, 0)
    sleeper(b, es.FIFO, 50)
    done = run(b, 10 * MS + 500 * US)
    assert [int(done.task("sleeper")[f]) for f in ("wakeups", "voluntary", "involuntary")] == [10, 11, 0]
    assert [int(done.task("hog")[f]) for f in ("wakeups", "voluntary", "involuntary")] == [0, 0, 10]


LATE = [3 * MS, 2 * MS + 100 * US, 1 * MS + 200 * US, 300 * US, 0, 0]
"""Latencies of the releases at 1, 2, ... ms when the CPU is free from 4 ms on and each takes 100 us."""


@pytest.mark.parametrize(("catch_up", "skipped", "latencies"), [(True, 0, LATE), (False, 3, [3 * MS, 0, 0])])
def test_missed_releases_are_served_late_or_skipped(catch_up: bool, skipped: int, latencies: list[int]) -> None:
    b = machine()
    task = b.periodic(
        "task", 0, [0], es.FIFO, 50,
        period_ns=MS, first_ns=MS, work=b.constant(100 * US), slack_ns=0, catch_up=catch_up,
    )  # fmt: skip
    job_at(b, b.server("longer", 0, [0], es.FIFO, 60), MS - 1, 3 * MS + 1)
    done = run(b, 6 * MS + 500 * US, [task])
    assert int(done.task("task")["skipped"]) == skipped
    assert done.samples("task") == latencies


# ---- the tick -------------------------------------------------------------------------------------------------------


def ticks(b: Builder, until_ns: int) -> list[int]:
    return run(b, until_ns).times(es.TR_TICK)


def test_the_tick_stands_on_multiples_of_its_period_and_stops_in_idle() -> None:
    b = machine()
    job_at(b, b.server("thread", 0, [0], es.FIFO, 1), 5 * MS, 9 * MS)
    assert ticks(b, SECOND) == [2 * TICK, 3 * TICK]


@pytest.mark.parametrize(
    ("policies", "ticking"),
    [
        ([es.OTHER], False), ([es.OTHER, es.OTHER], True), ([es.FIFO, es.OTHER], False), ([es.FIFO, es.FIFO], False),
        ([es.RR], False), ([es.RR, es.RR], True), ([es.RR, es.OTHER], False),
    ],
)  # fmt: skip
def test_a_nohz_full_cpu_ticks_only_if_somebody_waits_for_a_slice(policies: list[int], ticking: bool) -> None:
    b = Builder(trace_length=1 << 14)
    add_kernel(b, 1)
    b.cpu("host/cpu0", 0, nohz_full=True)
    for number, policy in enumerate(policies):
        b.hog(f"hog{number}", 0, [0], policy, 5)
    assert bool(ticks(b, SECOND)) is ticking
