"""Each operation of a task's program on a machine without costs: when it takes effect, and what it makes others do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder, Op
from rtsim.engine.jit import INTERPRETED
from rtsim.sched import core
from tests.engine.small import MS, US, Run, machine, run

RUN, END = Op(es.OP_RUN, es.NONE), Op(es.OP_EXIT)
BLOCK = Op(es.OP_BLOCK)


def task(b: Builder, name: str, ops: Sequence[Op], cpu: int = 0, priority: int = 1, **fields: int) -> int:
    """Add a FIFO task on one CPU."""
    return b.program(name, 0, [cpu], es.FIFO, priority, ops, **fields)


def work(b: Builder, ns: int) -> Op:
    return Op(es.OP_RUN, b.constant(ns))


def released(done: Run, name: str) -> list[int]:
    """Return when samples of `name` ended: it was woken and is in user space."""
    return done.times(es.TR_SAMPLE, name)


def test_a_task_runs_its_loops_and_ends() -> None:
    b = machine()
    ops = [work(b, 100 * US), Op(es.OP_LOOP, 0, 3), work(b, 50 * US), Op(es.OP_LOOP, 0, 2), END]
    task(b, "a", ops)
    done = run(b, 5 * MS)
    assert int(done.task("a")["cpu_ns"]) == 2 * (3 * 100 + 50) * US
    assert done.switches()[-1] == (700 * US, "idle")


def test_a_task_starts_when_it_is_told_to() -> None:
    b = machine()
    b.hog("hog", 0, [0], es.FIFO, 1, first_ns=3 * MS)
    done = run(b, 5 * MS)
    assert done.switches()[-1] == (3 * MS, "hog")
    assert int(done.task("hog")["cpu_ns"]) == 2 * MS


def test_sleep_counts_from_its_call_and_takes_the_slack() -> None:
    b = machine()
    a = task(b, "a", [work(b, 100 * US), Op(es.OP_SLEEP, 1 * MS), BLOCK, Op(es.OP_JUMP, 0)], slack=50 * US)
    done = run(b, 2_300 * US, [a])
    assert released(done, "a") == [1_150 * US, 2_300 * US]
    assert done.samples("a") == [50 * US, 50 * US]
    assert done.causes("a") == {"timer_slack": 100 * US}


def test_programming_the_timer_is_charged_to_the_task_before_it_leaves() -> None:
    b = machine(hrtimer_program=2 * US)
    a = task(b, "a", [work(b, 100 * US), Op(es.OP_SLEEP, 1 * MS), BLOCK, RUN])
    done = run(b, 2 * MS, [a])
    assert done.times(es.TR_BLOCK, "a") == [102 * US]
    assert released(done, "a") == [1_100 * US]  # the sleep counts from the call, not from the end of programming


def test_a_timer_that_has_gone_off_while_it_was_programmed_does_not_block() -> None:
    b = machine(hrtimer_program=2 * US)
    a = task(b, "a", [Op(es.OP_SLEEP, 1 * US), BLOCK, RUN])
    done = run(b, 1 * MS, [a])
    assert done.times(es.TR_BLOCK, "a") == []
    assert done.samples("a") == [1 * US]


@pytest.mark.parametrize(
    ("mode", "releases"),
    [
        ("catch_up", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("skip", [0, 1, 4, 5, 6, 7, 8]),
        ("relative", [0, 1, 2, 4.5, 5.5, 6.5, 7.5, 8.5]),
    ],
)
def test_timers_after_an_activation_that_takes_too_long(mode: str, releases: list[float]) -> None:
    """A period of 1 ms; the second activation works for 2.5 ms, the others for 0.1 ms."""
    b = machine()
    timer = b.timer(relative=mode == "relative")
    tick = [Op(es.OP_TIMER, timer, 1 * MS), BLOCK]
    ops = [work(b, 100 * US), *tick, work(b, 2_500 * US), *tick, work(b, 100 * US), *tick, Op(es.OP_JUMP, 6)]
    a = task(b, "a", ops, catch_up=int(mode == "catch_up"))
    done = run(b, 9 * MS - 1, [a])
    ended = zip(released(done, "a"), done.samples("a"), strict=True)
    assert [time - latency for time, latency in ended] == [ms * MS for ms in releases[1:]]
    assert int(done.task("a")["skipped"]) == (2 if mode == "skip" else 0)


def test_a_shared_timer_counts_for_all_who_use_it() -> None:
    b = machine(cpus=2)
    timer = b.timer()
    ops = [Op(es.OP_TIMER, timer, 1 * MS), BLOCK, Op(es.OP_JUMP, 0)]
    rows = [task(b, name, ops, cpu) for cpu, name in enumerate("ab")]
    done = run(b, 5 * MS - 1, rows)
    assert released(done, "a") == [1 * MS, 3 * MS]
    assert released(done, "b") == [2 * MS, 4 * MS]


def test_runtime_ends_at_the_first_look_at_the_clock_after_its_time() -> None:
    b = machine()
    task(b, "a", [Op(es.OP_RUNTIME, 1 * MS), END])
    b.hog("hog", 0, [0], es.FIFO, 2, first_ns=500 * US)
    assert int(run(b, 400 * US).task("a")["cpu_ns"]) == 400 * US
    b = machine()
    task(b, "a", [Op(es.OP_RUNTIME, 1 * MS), END])
    b.program("other", 0, [0], es.FIFO, 2, [Op(es.OP_START), BLOCK, work(b, 2 * MS), END], first=500 * US)
    done = run(b, 5 * MS)
    assert int(done.task("a")["cpu_ns"]) == 16 * 32 * US  # the chunk under way at 0.5 ms ends after the preemption


@pytest.mark.skipif(not INTERPRETED, reason="replaces a handler")
@pytest.mark.parametrize(("slice_ns", "readings"), [(3 * US, [5, 10, 12]), (7 * US, [10, 12]), (12 * US, [12])])
def test_a_task_that_reads_its_clock_sees_the_end_of_its_slice_at_the_next_reading(
    monkeypatch: pytest.MonkeyPatch, slice_ns: int, readings: list[int]
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(core, "slice_end_in", lambda s, cpu: slice_ns)
    monkeypatch.setattr(core, "account_curr", lambda s, cpu: seen.append(int(s.m[0].now)))
    b = machine()
    task(b, "a", [Op(es.OP_RUN, b.constant(12 * US), 5 * US), END])
    done = run(b, 1 * MS)
    assert [*seen, done.switches()[-1][0]] == [us * US for us in readings]


@pytest.mark.parametrize(("reads_every_ns", "end_ns"), [(5 * US, 112 * US), (0, 115 * US)])
def test_interrupts_count_as_work_for_a_task_that_reads_its_own_cpu_clock(reads_every_ns: int, end_ns: int) -> None:
    b = machine(wake=3 * US)
    task(b, "a", [Op(es.OP_RUN, b.constant(112 * US), reads_every_ns), END], priority=2)
    b.program("woken", 0, [0], es.FIFO, 1, [Op(es.OP_START), BLOCK, END], first=100 * US)
    assert run(b, 1 * MS).switches()[-2][0] == end_ns


def test_a_mutex_is_handed_on_in_order() -> None:
    b = machine(cpus=3)
    mutex = b.lock()
    lock, unlock = Op(es.OP_LOCK, mutex), Op(es.OP_UNLOCK, mutex)
    for cpu, name in enumerate("abc"):
        task(b, name, [work(b, (1 + cpu) * 100 * US), lock, work(b, 1 * MS), unlock, END], cpu)
    done = run(b, 5 * MS)
    assert done.times(es.TR_LOCK_WAIT) == [200 * US, 300 * US]
    assert [done.switches(cpu)[-1] for cpu in range(3)] == [
        (1_100 * US, "idle"), (2_100 * US, "idle"), (3_100 * US, "idle"),
    ]  # fmt: skip


def test_freeing_a_mutex_lets_a_stronger_waiter_run_at_once() -> None:
    b = machine()
    mutex = b.lock()
    lock, unlock = Op(es.OP_LOCK, mutex), Op(es.OP_UNLOCK, mutex)
    task(b, "weak", [lock, work(b, 1 * MS), unlock, RUN])
    task(b, "strong", [Op(es.OP_START), BLOCK, lock, work(b, 1 * MS), unlock, END], priority=2, first=100 * US)
    done = run(b, 5 * MS)
    assert done.switches(after_ns=0) == [
        (100 * US, "strong"), (100 * US, "weak"), (1 * MS, "strong"), (2 * MS, "weak"),
    ]  # fmt: skip


def test_inversion_without_priority_inheritance() -> None:
    """The strong task waits for the mutex of a weak one, which waits for the CPU of one in between."""
    b = machine()
    mutex = b.lock()
    lock, unlock = Op(es.OP_LOCK, mutex), Op(es.OP_UNLOCK, mutex)
    start = [Op(es.OP_START), BLOCK]
    task(b, "weak", [lock, work(b, 1 * MS), unlock, END])
    task(b, "middle", [*start, work(b, 10 * MS), END], priority=2, first=300 * US)
    task(b, "strong", [*start, lock, END], priority=3, first=200 * US)
    done = run(b, 20 * MS)
    assert done.switches()[-3:] == [(11 * MS, "strong"), (11 * MS, "weak"), (11 * MS, "idle")]


def waiting(condition: int, mutex: int) -> list[Op]:
    return [Op(es.OP_LOCK, mutex), Op(es.OP_WAIT, condition, mutex), Op(es.OP_LOCK, mutex), Op(es.OP_UNLOCK, mutex)]


@pytest.mark.parametrize(("wake", "woken"), [(es.OP_SIGNAL, ["a"]), (es.OP_BROADCAST, ["a", "b"])])
def test_conditions(wake: int, woken: list[str]) -> None:
    b = machine(cpus=3)
    mutex, condition = b.lock(), b.lock()
    rows = [task(b, name, [*waiting(condition, mutex), RUN], cpu) for cpu, name in enumerate("ab")]
    task(b, "waker", [work(b, 1 * MS), Op(wake, condition), END], 2)
    done = run(b, 5 * MS, rows)
    assert [name for name in "ab" if released(done, name) == [1 * MS]] == woken
    assert [name for name in "ab" if int(done.task(name)["cpu_ns"]) == 4 * MS] == woken


def test_the_response_of_a_resumed_task_ends_where_it_waits_again() -> None:
    b = machine(cpus=2)
    mutex, condition = b.lock(), b.lock()
    a = task(b, "a", [*waiting(condition, mutex), work(b, 300 * US), Op(es.OP_JUMP, 0)])
    task(b, "waker", [work(b, 1 * MS), Op(es.OP_BROADCAST, condition), Op(es.OP_JUMP, 0)], 1)
    done = run(b, 3_500 * US, [a])
    watch = done.state.watches[0]
    assert list(watch["count"])[es.H_RESPONSE] == 3
    assert watch["least"][es.H_RESPONSE] == watch["most"][es.H_RESPONSE] == 300 * US


def test_a_barrier_holds_all_until_the_last_one() -> None:
    b = machine(cpus=3)
    mutex, barrier = b.lock(), b.lock(missing=2)
    meet = [
        Op(es.OP_LOCK, mutex), Op(es.OP_BARRIER, barrier, mutex), Op(es.OP_LOCK, mutex), Op(es.OP_LEAVE, barrier),
        Op(es.OP_UNLOCK, mutex),
    ]  # fmt: skip
    for cpu, name in enumerate("abc"):
        task(b, name, [work(b, (1 + cpu) * MS), *meet, Op(es.OP_LOOP, 0, 2), END], cpu)
    done = run(b, 10 * MS)
    idle = [[time for time, name in done.switches(cpu) if name == "idle"] for cpu in range(3)]
    assert [times[0] for times in idle] == [1 * MS, 2 * MS, 6 * MS]  # the last one never waits
    assert [times[-1] for times in idle] == [6 * MS] * 3


def test_yield_goes_behind_those_of_the_same_priority() -> None:
    b = machine()
    for name in "ab":
        task(b, name, [work(b, 1 * MS), Op(es.OP_YIELD), Op(es.OP_JUMP, 0)])
    done = run(b, 4 * MS - 1)
    assert done.switches() == [(0, "a"), (1 * MS, "b"), (2 * MS, "a"), (3 * MS, "b")]


def test_a_task_leaves_a_cpu_that_its_new_mask_does_not_hold() -> None:
    b = machine(cpus=3)
    move = Op(es.OP_AFFINITY, b.mask([1, 2]), 2)
    b.program("a", 0, [0], es.FIFO, 1, [work(b, 1 * MS), move, work(b, 1 * MS), Op(es.OP_EXIT)])
    done = run(b, 5 * MS)
    assert done.switches(0)[-1] == (1 * MS, "idle")
    assert done.switches(1) == [(1 * MS, "a"), (2 * MS, "idle")]
    assert int(done.task("a")["migrations"]) == 1


def test_a_task_that_polls_the_clock_samples_what_it_misses() -> None:
    b = machine(context_switch=1 * US)
    oslat = b.program("oslat", 0, [0], es.FIFO, 1, [RUN], polls=1)
    b.periodic("other", 0, [0], es.FIFO, 2, period_ns=1 * MS, first_ns=1 * MS, work=b.constant(70 * US), slack_ns=0)
    done = run(b, 4 * MS - 1, [oslat])
    assert done.samples("oslat") == [72 * US] * 3
    assert done.causes("oslat") == {"switch": 6 * US, "thread:other": 210 * US}
