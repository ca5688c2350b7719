"""An interrupt's actions, each at its instant, and the switch that follows: exact times by hand."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import MS, TICK, US, Run, interrupt_at, job_at, machine, run


def sleeper(
    b: Builder, name: str, first_ns: int, *, policy: int = es.FIFO, priority: int = 50, slack: int = 0, **rest: int
) -> int:
    """A task released once at `first_ns`, then computing for a microsecond."""
    return b.periodic(
        name, 0, [0], policy, priority, period_ns=100 * MS, first_ns=first_ns, work=b.constant(US), slack_ns=slack,
        **rest,
    )  # fmt: skip


def events(done: Run, *kinds: int, after_ns: int = 0) -> list[tuple[int, str]]:
    """Return (time since `after_ns`, kind) of the records of `kinds`."""
    return [(row[0] - after_ns, es.TR_NAMES[row[1]]) for row in done.records(*kinds) if row[0] >= after_ns]


def test_entry_wake_ups_exit_and_switch_come_at_their_instants() -> None:
    """As in the recordings: waking 3 us after expiry, the next 7.5 us later, exit 7 us after it, then the switch."""
    b = machine(irq_entry=1_000, timer_irq=2_000, wake=7_500, schedule=4_000, context_switch=2_000)
    first = sleeper(b, "first", MS, priority=60)
    sleeper(b, "second", MS)
    done = run(b, 2 * MS, [first])
    kinds = (es.TR_IRQ, es.TR_TIMER, es.TR_WAKING, es.TR_IRQ_EXIT, es.TR_SWITCH, es.TR_SAMPLE)
    assert events(done, *kinds, after_ns=MS)[:8] == [
        (0, "irq_entry"),
        (3_000, "hrtimer_expire"),
        (3_000, "sched_waking"),
        (10_500, "hrtimer_expire"),
        (10_500, "sched_waking"),
        (18_000, "irq_exit"),
        (22_000, "sched_switch"),
        (24_000, "sample"),
    ]
    assert int(done.state.watches[0]["total"][es.H_WAKING]) == 22_000 - 3_000
    assert done.causes("first") == {"irq": 18_000, "switch": 6_000}


def test_a_weaker_task_woken_first_does_not_run_in_between() -> None:
    b = machine(wake=7_500)
    sleeper(b, "weak", MS, priority=10)
    sleeper(b, "strong", MS + 1, priority=60)
    assert run(b, 2 * MS).switches(after_ns=MS - 1)[:2] == [(MS + 15_000, "strong"), (MS + 16_000, "weak")]


@pytest.mark.parametrize(
    ("second_ns", "slack", "served_ns"),
    [
        (MS + 9_000, 0, 10_500),  # its hard expiry has passed when the first is done: the clock is read again
        (MS + 2_900, 50_000, 10_500),  # its window was open when the clock was read
        (MS + 9_000, 50_000, None),  # its window opened later: it waits for its hard expiry
        (MS + 20_000, 0, None),  # too late for this interrupt
    ],
)
def test_timers_that_expire_during_the_interrupt(second_ns: int, slack: int, served_ns: int | None) -> None:
    b = machine(irq_entry=3_000, wake=7_500)
    sleeper(b, "first", MS)
    sleeper(b, "second", second_ns, slack=slack, priority=60)
    done = run(b, 2 * MS)
    own = second_ns + slack + 3_000
    assert done.times(es.TR_WAKING, "second") == [own if served_ns is None else MS + served_ns]


def test_an_interrupt_that_cannot_keep_up_gives_up_after_three_readings() -> None:
    b = machine(wake=10_000)
    for number in range(5):
        sleeper(b, f"task{number}", MS + number * 9_000)
    done = run(b, 2 * MS)
    begins = [time for time in done.times(es.TR_IRQ) if time >= MS]
    # read at 0, 10 and 20 us, given up at 30 us, and left alone for as long as it took
    assert [time - MS for time in begins][:2] == [0, 60_000]
    assert [done.times(es.TR_WAKING, f"task{n}")[0] - MS for n in range(5)] == [0, 10_000, 20_000, 60_000, 70_000]


@pytest.mark.parametrize(("period", "order"), [(TICK, ["tick", "timer"]), (2 * TICK, ["timer", "tick"])])
def test_at_equal_expiry_what_was_queued_first_goes_off_first(period: int, order: list[str]) -> None:
    """The tick queues itself a tick ahead: after who has slept longer, before who has slept less."""
    b = machine()
    b.hog("hog", 0, [0], es.OTHER, 0)
    b.periodic("sleeper", 0, [0], es.FIFO, 50, period_ns=period, first_ns=0, work=b.constant(US), slack_ns=0)
    names = {es.TR_TICK: "tick", es.TR_TIMER: "timer"}
    done = run(b, 5 * period)
    assert [names[row[1]] for row in done.records(es.TR_TICK, es.TR_TIMER) if row[0] == 4 * period] == order


def test_timers_come_before_device_handlers_and_those_before_other_wake_ups() -> None:
    b = machine(wake=2_000, irq_entry=1_000)
    sleeper(b, "sleeper", MS)
    server = b.server("server", 0, [0], es.FIFO, 60)
    interrupt_at(b, 0, MS - 500, 10_000)  # all that follows comes while it is in progress, and waits for it
    interrupt_at(b, 0, MS + 600, 5_000)
    job_at(b, server, MS + 550, US)
    done = run(b, 2 * MS)
    start = MS - 500 + 11_000 + 1_000
    assert done.times(es.TR_WAKING, "sleeper") == [start]
    assert done.times(es.TR_WAKING, "server") == [start + 2_000 + 5_000]


@pytest.mark.parametrize(
    ("runs", "levels", "exit_ns"), [(None, 0, 1_000), (es.FIFO, 0, 1_000), (es.OTHER, 0, 3_400), (es.OTHER, 2, 7_400)]
)
def test_what_a_wake_up_costs_depends_on_who_runs_and_how_deep_the_task_is(
    runs: int | None, levels: int, exit_ns: int
) -> None:
    b = machine(wake=1_000, preempt_fair=2_400, cgroup_level=2_000)
    if runs is not None:
        b.hog("hog", 0, [0], runs, 1)
    group = es.NONE
    for level in range(levels):
        group = b.group(f"/{level}", parent=group)
    fair = runs == es.OTHER
    sleeper(b, "sleeper", MS, policy=es.OTHER if fair else es.FIFO, priority=0 if fair else 50, group=group)
    assert next(time for time in run(b, 2 * MS).times(es.TR_IRQ_EXIT) if time >= MS) == MS + exit_ns


LATER = 21 * MS
"""A task that sleeps until then preempts a fair one; no tick comes."""


@pytest.mark.parametrize(("policy", "charges_ns"), [(es.OTHER, 2 * 2_400), (es.FIFO, 1_700)])
def test_fair_wake_ups_charge_the_running_task_each_and_others_leave_it_to_schedule(
    policy: int, charges_ns: int
) -> None:
    b = machine(wake=1_000, schedule=500, preempt_fair=2_400, put_fair=1_700)
    b.hog("hog", 0, [0], es.OTHER, 0)
    for name in ("first", "second"):
        sleeper(b, name, LATER, policy=policy, priority=0 if policy == es.OTHER else 1)
    switches = run(b, LATER + MS).switches(after_ns=LATER)
    assert switches[0][0] == LATER + 2 * 1_000 + 500 + charges_ns


@pytest.mark.parametrize(
    ("sleeps", "runs", "levels"),
    # queueing, then switching to the woken task and from the one that ran, up to the group they share
    [("/a/b", "", 2 + 2), ("", "/a/b", 2), ("/a/b", "/c", 2 + 2 + 1), ("/a/b", "/a/d", 2 + 1 + 1), ("/a/b", "/a/b", 2)],
)
def test_a_wake_up_walks_the_levels_that_change(sleeps: str, runs: str, levels: int) -> None:
    b = machine(wake=1_000, schedule=500, cgroup_level=100)
    rows = {"": es.NONE}
    for path in ("/a", "/a/b", "/a/d", "/c"):
        rows[path] = b.group(path, parent=rows[path.rpartition("/")[0]])
    b.hog("hog", 0, [0], es.OTHER, 0, group=rows[runs])
    sleeper(b, "sleeper", LATER, policy=es.OTHER, priority=0, group=rows[sleeps])
    leaves, enters = run(b, LATER + MS).switches(after_ns=LATER)[:2]
    assert leaves == (LATER + 1_500 + 100 * levels, "sleeper")
    # blocking takes it off all its levels, and switches between the same ones
    dequeued = sleeps.count("/")
    changed = levels - dequeued
    assert enters[0] - leaves[0] == US + 500 + 100 * (dequeued + changed)


def test_time_in_schedule_belongs_to_the_task_that_leaves() -> None:
    b = machine(schedule=3_000, context_switch=2_000)
    b.hog("hog", 0, [0], es.OTHER, 0)
    sleeper(b, "sleeper", MS)
    done = run(b, 2 * MS)
    assert done.switches(after_ns=MS) == [(MS + 3_000, "sleeper"), (MS + 9_000, "hog")]
    assert int(done.task("sleeper")["cpu_ns"]) == (2_000 + 3_000) + (2_000 + US + 3_000)  # at the start it only sleeps
    assert int(done.task("hog")["cpu_ns"]) + int(done.task("sleeper")["cpu_ns"]) == 2 * MS - 3_000  # first: idle's
