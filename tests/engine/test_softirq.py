"""Softirqs: rounds at the end of interrupts, ksoftirqd and its limits, threads under PREEMPT_RT. Times by hand."""

from __future__ import annotations

from typing import Any

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.clock import run_until
from rtsim.sched import entity
from tests.engine.called import called
from tests.engine.small import MS, US, Run, interrupt_at, machine, run

dequeue_timeline = called(entity.dequeue_timeline)
enqueue_timeline = called(entity.enqueue_timeline)

EVERY = range(es.VECTORS)
TIMERS = (es.VEC_TIMER, es.VEC_HRTIMER)


def raised_at(b: Builder, vector: int, time_ns: int, duration_ns: int) -> None:
    """Raise a softirq once."""
    b.source(
        f"raise{len(b.sources)}", es.NOISE_SOFTIRQ, cpu=0, duration=b.constant(duration_ns), vector=vector,
        period_ns=10**12, phase_ns=time_ns,
    )  # fmt: skip


def with_ksoftirqd(**kernel: Any) -> Builder:
    b = machine(**kernel)
    b.softirq_thread("ksoftirqd/0", 0, "ksoftirqd", es.OTHER, 0, vectors=EVERY)
    return b


def sleeper(b: Builder, first_ns: int, policy: int = es.FIFO, priority: int = 50, slack: int = 0) -> int:
    return b.periodic(
        "sleeper", 0, [0], policy, priority, period_ns=100 * MS, first_ns=first_ns, work=b.constant(US), slack_ns=slack
    )


def vectors(done: Run) -> list[tuple[int, int]]:
    """Return (time, vector) of the softirqs that ran, in order."""
    return [(row[0], row[3]) for row in done.records(es.TR_SOFTIRQ)]


def test_a_round_runs_its_vectors_in_their_order() -> None:
    b = with_ksoftirqd()
    interrupt_at(b, 0, MS - US, 2 * US)  # all are raised while it runs
    for vector in (es.VEC_RCU, es.VEC_HI, es.VEC_NET_RX, es.VEC_TIMER):
        raised_at(b, vector, MS, 10 * US)
    order = [es.VEC_HI, es.VEC_TIMER, es.VEC_NET_RX, es.VEC_RCU]
    done = run(b, 2 * MS)
    assert vectors(done) == [(MS + US + 10 * US * n, vector) for n, vector in enumerate(order)]
    assert done.times(es.TR_WAKING, "ksoftirqd/0") == []
    assert int(done.state.cpus[0]["softirq_ns"]) == 40 * US


def test_what_is_raised_meanwhile_is_another_round() -> None:
    b = with_ksoftirqd()
    raised_at(b, es.VEC_RCU, MS, 10 * US)
    raised_at(b, es.VEC_HI, MS + 5 * US, 10 * US)
    assert vectors(run(b, 2 * MS)) == [(MS, es.VEC_RCU), (MS + 10 * US, es.VEC_HI)]


def test_ten_rounds_at_most() -> None:
    b = with_ksoftirqd()
    for n in range(11):  # each is raised while the one before runs
        raised_at(b, es.VEC_NET_RX, MS + n * 10 * US - (5 * US if n else 0), 10 * US)
    done = run(b, 2 * MS)
    assert len(vectors(done)) == 11
    assert done.times(es.TR_WAKING, "ksoftirqd/0") == [MS + 100 * US]
    assert int(done.state.cpus[0]["softirq_ns"]) == 100 * US
    assert int(done.task("ksoftirqd/0")["cpu_ns"]) == 10 * US


@pytest.mark.parametrize(
    ("tick", "start", "allowed"),
    [
        (4 * MS, 4 * MS, True),  # HZ=250: until the next tick, that is 4 ms
        (4 * MS, 7 * MS, False),  # 1 ms
        (MS, 5 * MS, True),  # HZ=1000: until the second tick
        (MS, 5 * MS + 800 * US, False),
        (10 * MS, 12 * MS, True),  # HZ=100: 8 ms
    ],
)
def test_two_milliseconds_are_counted_in_jiffies(tick: int, start: int, allowed: bool) -> None:
    b = with_ksoftirqd(tick_ns=tick)
    raised_at(b, es.VEC_RCU, start, 1_300 * US)
    raised_at(b, es.VEC_RCU, start + 100 * US, 10 * US)
    woken = run(b, start + 2 * MS).times(es.TR_WAKING, "ksoftirqd/0")
    assert woken == ([] if allowed else [start + 1_300 * US])


def test_a_resched_mark_leaves_the_rest_to_ksoftirqd_behind_a_realtime_task() -> None:
    b = with_ksoftirqd()
    sleeper(b, MS + 5 * US)
    raised_at(b, es.VEC_RCU, MS, 10 * US)
    raised_at(b, es.VEC_RCU, MS + 6 * US, 20 * US)
    assert run(b, 2 * MS).switches(after_ns=MS) == [
        (MS + 10 * US, "sleeper"), (MS + 11 * US, "ksoftirqd/0"), (MS + 31 * US, "idle"),
    ]  # fmt: skip


def test_ksoftirqd_is_not_preempted_within_its_rounds() -> None:
    b = with_ksoftirqd()
    sleeper(b, MS + 5 * US)
    raised_at(b, es.VEC_RCU, MS, 10 * US)
    raised_at(b, es.VEC_HI, MS + 6 * US, 20 * US)
    raised_at(b, es.VEC_RCU, MS + 6 * US, 20 * US)
    b.periodic("late", 0, [0], es.FIFO, 60, period_ns=100 * MS, first_ns=MS + 15 * US, work=b.constant(US), slack_ns=0)
    assert run(b, 2 * MS).switches(after_ns=MS) == [
        (MS + 10 * US, "sleeper"), (MS + 11 * US, "ksoftirqd/0"), (MS + 51 * US, "late"),
        (MS + 52 * US, "ksoftirqd/0"), (MS + 52 * US, "idle"),  # it looks once more and finds nothing
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("defers", "vector", "inline"), [(1, es.VEC_RCU, False), (1, es.VEC_TASKLET, True), (0, es.VEC_RCU, True)]
)
def test_while_ksoftirqd_waits_early_kernels_leave_softirqs_to_it(defers: int, vector: int, inline: bool) -> None:
    b = with_ksoftirqd(softirq_defers=defers)
    b.hog("hog", 0, [0], es.FIFO, 1)
    for n in range(11):  # the eleventh round is ksoftirqd's, which the hog keeps from running
        raised_at(b, es.VEC_NET_RX, MS + n * 10 * US - (5 * US if n else 0), 10 * US)
    raised_at(b, vector, 2 * MS, 10 * US)
    done = run(b, 3 * MS)
    assert done.times(es.TR_WAKING, "ksoftirqd/0") == [MS + 100 * US]
    assert any(time == 2 * MS for time, _ in vectors(done)) == inline


def rt(**kernel: Any) -> Builder:
    b = machine(preempt=es.PREEMPT_RT, force_irqthreads=1, **kernel)
    others = [vector for vector in EVERY if vector not in TIMERS]
    b.softirq_thread("ksoftirqd/0", 0, "ksoftirqd", es.OTHER, 0, vectors=others)
    b.softirq_thread("ktimers/0", 0, "ktimers", es.FIFO, 1, vectors=TIMERS)
    return b


@pytest.mark.parametrize(("vector", "thread"), [(es.VEC_NET_RX, "ksoftirqd/0"), (es.VEC_TIMER, "ktimers/0")])
def test_preempt_rt_runs_softirqs_in_threads(vector: int, thread: str) -> None:
    b = rt(wake=1_000)
    raised_at(b, vector, MS, 10 * US)
    done = run(b, 2 * MS)
    assert done.switches(after_ns=MS) == [(MS + 1_000, thread), (MS + 11_000, "idle")]
    assert int(done.state.cpus[0]["softirq_ns"]) == 0


@pytest.mark.parametrize("policy", [es.OTHER, es.BATCH, es.IDLE_POLICY])
def test_sleeps_of_fair_tasks_end_in_ktimers_under_preempt_rt(policy: int) -> None:
    """As recorded on 6.1-rt: the interrupt wakes ktimers, which runs some 20 us and wakes the sleeper."""
    b = rt(irq_entry=3_000, wake=4_000, ktimers=5_000, context_switch=2_000, schedule=4_000)
    b.hog("hog", 0, [0], es.OTHER, 19)
    task = sleeper(b, MS, policy, 0, slack=50 * US)
    done = run(b, 2 * MS, [task])
    at = MS + 50 * US
    switched = at + 3_000 + 4_000 + 4_000
    assert done.times(es.TR_WAKING, "ktimers/0") == [at + 3_000]
    assert done.switches(after_ns=MS)[0] == (switched, "ktimers/0")
    assert done.times(es.TR_WAKING, "sleeper") == [switched + 2_000 + 5_000]
    assert done.switches(after_ns=MS)[1][0] == switched + 2_000 + 5_000 + 4_000 + 4_000


def test_sleeps_of_realtime_tasks_end_in_the_interrupt_under_preempt_rt() -> None:
    b = rt(irq_entry=3_000)
    sleeper(b, MS)
    done = run(b, 2 * MS)
    assert done.times(es.TR_WAKING, "sleeper") == [MS + 3_000]
    assert done.times(es.TR_WAKING, "ktimers/0") == []


def test_a_fifo_1_hog_stops_ktimers_and_with_it_fair_sleepers() -> None:
    b = rt()
    b.hog("hog", 0, [0], es.FIFO, 1)
    b.periodic("sleeper", 0, [0], es.OTHER, 0, period_ns=MS, first_ns=MS, work=b.constant(US), slack_ns=0)
    assert run(b, 10 * MS).times(es.TR_WAKING, "sleeper") == []


def test_a_threaded_handler_runs_with_its_priority_behind_a_short_interrupt() -> None:
    b = machine(irq_thread_hard=1_000)
    b.hog("weaker", 0, [0], es.FIFO, 49)
    thread = b.server("irq/eth0", 0, [0], es.FIFO, 50, kthread=1)
    b.source("eth0", es.NOISE_IRQ, cpu=0, task=thread, duration=b.constant(30 * US), period_ns=10**12, phase_ns=MS)
    done = run(b, 2 * MS)
    assert done.switches(after_ns=MS) == [(MS + 1_000, "irq/eth0"), (MS + 30_000, "weaker")]
    assert int(done.state.cpus[0]["irq_ns"]) == 1_000


@pytest.mark.parametrize(
    ("mark", "kthread", "delay_ns"),
    [
        (es.RESCHED, 0, 0),
        (es.RESCHED_LAZY, 0, 0),  # user code: at the return of the interrupt that set it
        (es.RESCHED, 1, 15 * US),  # kernel code: at the end of its section
        (es.RESCHED_LAZY, 1, 3 * MS + 15 * US),  # after the tick has made an ordinary mark of it
    ],
)
def test_where_a_mark_takes_effect_under_lazy_preemption(mark: int, kthread: int, delay_ns: int) -> None:
    b = machine(preempt=es.PREEMPT_LAZY, preempt_off=15 * US)
    for name in ("a", "b"):
        b.hog(name, 0, [0], es.OTHER, 0, kthread=kthread)
    interrupt_at(b, 0, MS, 0)
    state, names = b.build([])
    run_until(state, MS - 1)
    runs = int(state.cpus[0]["curr"])
    dequeue_timeline(state, 0, 1 - runs)
    state.entities["vruntime"][1 - runs] -= 100 * MS  # far behind: it is picked as soon as anybody asks
    enqueue_timeline(state, 0, 1 - runs)
    state.cpus["need_resched"][0] = mark
    run_until(state, 6 * MS)
    assert Run(state, names).switches(after_ns=MS - 1)[0] == (MS + delay_ns, names.tasks[1 - runs])
