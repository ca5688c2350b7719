"""Where timers are queued and when ticks come."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import MS, TICK, US, add_kernel, run
from tests.sched.test_deadline import reserved


def two_cpus(*, migration: int = 1, isolated: bool = False, nohz_full: bool = True, **costs: int) -> Builder:
    """CPU 0 keeps house, CPU 1 is nohz_full."""
    b = Builder(trace_length=1 << 14)
    add_kernel(b, 2, timer_migration=migration, **costs)
    b.cpu("host/cpu0", 0)
    b.cpu("host/cpu1", 0, nohz_full=nohz_full, isolated=isolated)
    return b


@pytest.mark.parametrize(
    ("busy", "migration", "isolated", "nohz_full", "first_ns", "cpu"),
    [
        (True, 1, False, True, 6 * MS, 0),  # the tick of the busy CPU comes before it
        (True, 1, False, True, 3 * MS, 1),  # it would be the first to expire there
        (False, 1, False, True, 6 * MS, 1),  # an idle CPU has no tick: nothing comes before
        (True, 0, False, True, 6 * MS, 1),  # kernel.timer_migration=0
        (True, 1, True, True, 6 * MS, 0),  # no domain: any housekeeping CPU
        (True, 1, False, False, 6 * MS, 1),  # timers of housekeeping CPUs stay
    ],
)
def test_timers_of_nohz_full_cpus_go_to_busy_housekeeping_cpus(
    busy: bool, migration: int, isolated: bool, nohz_full: bool, first_ns: int, cpu: int
) -> None:
    b = two_cpus(migration=migration, isolated=isolated, nohz_full=nohz_full)
    if busy:
        b.hog("hog", 0, [0], es.OTHER, 0)
    b.periodic("sleeper", 0, [1], es.FIFO, 50, period_ns=100 * MS, first_ns=first_ns, work=b.constant(US), slack_ns=0)
    done = run(b, 7 * MS)
    (expired,) = done.records(es.TR_TIMER)
    assert (expired[0], expired[2]) == (first_ns, cpu)
    assert (first_ns, "sleeper") in done.switches(1)


@pytest.mark.parametrize(("isolated", "busy", "cpu"), [(True, 0, 1), (True, 1, 1), (False, 0, 0), (False, 1, 1)])
def test_timers_stay_on_their_node_unless_only_another_has_a_busy_cpu(isolated: bool, busy: int, cpu: int) -> None:
    """CPUs 0 and 1 keep house, each on its node; the timers are those of CPU 2, on the node of CPU 1."""
    b = Builder(trace_length=1 << 14)
    add_kernel(b, 3, timer_migration=1)
    for node in (0, 1):
        b.cpu(f"host/cpu{node}", 0, node=node)
    b.cpu("host/cpu2", 0, nohz_full=True, isolated=isolated, node=1)
    b.hog("hog", 0, [busy], es.OTHER, 0)
    for house in (0, 1):  # what expires there before, though the CPU idles
        b.periodic(f"first{house}", 0, [house], es.FIFO, 50, period_ns=MS, first_ns=MS, work=b.constant(US), slack_ns=0)
    sleeper = b.periodic("sleeper", 0, [2], es.FIFO, 50, period_ns=5 * MS, first_ns=0, work=b.constant(US), slack_ns=0)
    done = run(b, 6 * MS)
    (expired,) = (row for row in done.records(es.TR_TIMER) if row[3] == sleeper and row[0] == 5 * MS)
    assert expired[2] == cpu


FAIR, FIFO, RR, DEADLINE = es.OTHER, es.FIFO, es.RR, es.DEADLINE


@pytest.mark.parametrize(
    ("policies", "ticks", "why"),
    [
        ((), False, "it idles"),
        ((FAIR,), False, "a single fair task"),
        ((FAIR, FAIR), True, "fair tasks take turns"),
        ((es.BATCH, es.IDLE_POLICY), True, "of whatever policy"),
        ((FIFO,), False, "a single FIFO task"),
        ((FIFO, FIFO), False, "FIFO tasks do not take turns"),
        ((FIFO, FAIR, FAIR), False, "nor do fair ones behind them"),
        ((RR,), False, "a single round-robin task"),
        ((RR, RR), True, "round-robin tasks take turns"),
        ((RR, RR, FIFO), True, "whatever else is there"),
        ((RR, FAIR, FAIR), False, "fair tasks behind one do not"),
        ((DEADLINE,), True, "a budget is enforced at ticks"),
        ((DEADLINE, FIFO), True, "whatever else is there"),
    ],
)
def test_when_a_nohz_full_cpu_ticks(policies: tuple[int, ...], ticks: bool, why: str) -> None:
    b = two_cpus()
    for number, policy in enumerate(policies):
        reservation = reserved(50, 100, 100) if policy == DEADLINE else {}
        b.hog(f"task{number}", 0, [1], policy, 5 if policy in (FIFO, RR) else 0, **reservation)
    done = run(b, 30 * MS)
    assert any(cpu == 1 and time > TICK for time, _, cpu, _, _ in done.records(es.TR_TICK)) == ticks, why


@pytest.mark.parametrize("offset", [0, 500 * US, 2 * MS])
def test_ticks_are_multiples_of_1_hz_later_by_the_skew(offset: int) -> None:
    b = Builder(trace_length=1 << 14)
    add_kernel(b, 1)
    b.cpu("host/cpu0", 0, tick_offset_ns=offset)
    b.hog("hog", 0, [0], es.OTHER, 0)
    first = offset if offset else TICK
    assert run(b, 13 * MS).times(es.TR_TICK) == list(range(first, 13 * MS, TICK))


@pytest.mark.parametrize(("polls", "delay_ns"), [(1, 100), (0, 800 + 100 + 300)])
def test_a_polling_idle_cpu_needs_no_reschedule_interrupt(polls: int, delay_ns: int) -> None:
    """It sees the mark: neither the flight of an interrupt nor its entry delays it, only leaving the state."""
    b = Builder(trace_length=1 << 14)
    add_kernel(b, 2, ipi=800, irq_entry=300, idle_exit=100, idle_polls=polls)
    b.cpu("host/cpu0", 0)
    b.cpu("host/cpu1", 0)
    lock = b.lock()
    holder = b.server("holder", 0, [0], es.FIFO, 50, lock=lock)
    waiter = b.server("waiter", 0, [1], es.FIFO, 50, lock=lock)
    for task, time in ((holder, MS), (waiter, MS + 10 * US)):
        b.source(
            f"job{task}", es.NOISE_THREAD, task=task, locked=True, duration=b.constant(100 * US), period_ns=10**12,
            phase_ns=time,
        )  # fmt: skip
    done = run(b, 2 * MS)
    woken = done.times(es.TR_WAKING, "waiter")[-1]
    assert [time for time, name in done.switches(1) if name == "waiter"][-1] == woken + delay_ns
