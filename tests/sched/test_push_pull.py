"""Realtime tasks between CPUs: where they wake, who is pushed where, who is pulled (``rt.c``)."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.state import State
from rtsim.sched import push_pull
from tests.engine.small import MS, US, Run, job_at, machine, run
from tests.sched.topologies import structured

WAKEE = 0
ALL = range(8)


def world(running: dict[int, int], allowed: tuple[int, ...] = tuple(ALL), prio: int = 50) -> State:
    """One socket of 4 cores with 2 threads; `running` CPUs run a FIFO task of that priority, 0 = a fair one."""
    b = structured()
    b.hog("wakee", 0, allowed, es.FIFO, prio)
    for cpu in ALL:
        b.hog(f"runner{cpu}", 0, [cpu], es.FIFO if running.get(cpu, 0) else es.OTHER, running.get(cpu) or 0)
    state, _ = b.build([])
    for cpu in running:
        state.cpus[cpu]["curr"] = 1 + cpu
        state.cpus[cpu]["nr_running"] = 1
    return state


@pytest.mark.parametrize(
    ("running", "allowed", "prev", "here", "goes_to", "why"),
    [
        ({}, ALL, 3, 0, 3, "its own CPU idles"),
        ({3: 0}, ALL, 3, 0, 3, "a fair task there: it preempts that, and does not look for an idle CPU"),
        ({3: 20}, ALL, 3, 0, 2, "a pinned weaker one would have to wait: it goes to the nearest, its core"),
        ({3: 60}, ALL, 3, 0, 2, "a stronger one there"),
        ({3: 50}, ALL, 3, 0, 2, "an equal one there"),
        ({3: 60, 2: 10}, ALL, 3, 0, 0, "no CPU without realtime tasks in its core: the waker's CPU in the next domain"),
        ({3: 60, 0: 70, 2: 10}, ALL, 3, 0, 4, "nor is the waker's CPU without: the next one there"),
        ({3: 60}, (3, 7), 3, 0, 7, "within its mask"),
        (dict.fromkeys(ALL, 60), ALL, 3, 0, 3, "stronger ones everywhere: it stays, to be pushed or pulled later"),
        ({**dict.fromkeys(ALL, 60), 6: 10}, ALL, 3, 0, 6, "the weakest"),
    ],
)  # fmt: skip
def test_where_a_realtime_task_wakes(
    running: dict[int, int], allowed: tuple[int, ...], prev: int, here: int, goes_to: int, why: str
) -> None:
    state = world(running, tuple(allowed))
    state.tasks[WAKEE]["cpu"] = prev
    assert int(push_pull.select_task_rq_rt(state, WAKEE, here)) == goes_to, why


def test_a_task_woken_behind_a_stronger_one_that_may_move_pushes_nobody_that_runs() -> None:
    b = machine(cpus=2)
    b.hog("strong", 0, [0, 1], es.FIFO, 60)
    job_at(b, b.server("woken", 0, [0], es.FIFO, 50), 10 * MS, MS)
    done = run(b, 20 * MS)
    # the pinned one cannot be pushed, the running one is not: it waits, as in the kernel
    assert int(done.task("woken")["cpu_ns"]) == 0


def test_a_preempted_task_is_pushed_to_a_cpu_with_fair_tasks() -> None:
    b = machine(cpus=2)
    b.hog("fair", 0, [1], es.OTHER, 0)
    b.hog("floating", 0, [0, 1], es.FIFO, 10)
    job_at(b, b.server("strong", 0, [0], es.FIFO, 60), 10 * MS, 5 * MS)
    done = run(b, 20 * MS)
    assert [time for time in done.times(es.TR_MIGRATE, "floating") if time > 0] == [10 * MS]
    assert int(done.task("floating")["cpu_ns"]) == 20 * MS


def test_of_two_equals_the_one_that_can_go_elsewhere_makes_way_for_the_one_that_cannot() -> None:
    b = machine(cpus=2)
    b.hog("floating", 0, [0, 1], es.FIFO, 10)
    job_at(b, b.server("pinned", 0, [0], es.FIFO, 10), 10 * MS, 5 * MS)
    done = run(b, 20 * MS)
    assert int(done.task("floating")["cpu_ns"]) == 20 * MS
    assert int(done.task("pinned")["cpu_ns"]) == 5 * MS


@pytest.mark.parametrize(
    ("isolated", "ran_ms", "why"),
    [
        ((), 20, "balanced CPUs are in one root domain: it is pushed away"),
        ((2, 3), 20, "and so are isolated ones"),
        ((3,), 15, "an isolated CPU is in another: it waits"),
    ],
)
def test_realtime_tasks_stay_in_their_root_domain(isolated: tuple[int, ...], ran_ms: int, why: str) -> None:
    b = structured(1, 4, 1, isolated=isolated)
    b.hog("floating", 0, [2, 3], es.FIFO, 10)
    job_at(b, b.server("strong", 0, [2], es.FIFO, 60), 10 * MS, 5 * MS)
    assert int(run(b, 20 * MS).task("floating")["cpu_ns"]) == ran_ms * MS, why


def test_a_woken_realtime_task_is_not_placed_in_another_root_domain() -> None:
    b = structured(1, 2, 1, isolated=(1,))
    b.hog("strong", 0, [0], es.FIFO, 60)
    job_at(b, b.server("woken", 0, [0, 1], es.FIFO, 50), 10 * MS, MS)
    assert int(run(b, 20 * MS).task("woken")["cpu_ns"]) == 0


# ---- the strongest run -----------------------------------------------------------------------------------------------


def strongest_run(done: Run, cpus: int, until_ns: int) -> None:
    """At every switch but those within 1 us: no waiting task is stronger than one that runs and it could replace."""
    rows = done.records(es.TR_WAKING, es.TR_SWITCH, es.TR_BLOCK, es.TR_MIGRATE)
    running: dict[int, int] = {}
    awake: set[int] = set()
    for row, following in zip(rows, [*rows[1:], (until_ns, 0, 0, 0, 0)], strict=True):
        time, kind, cpu, task, _ = row
        if kind == es.TR_WAKING:
            awake.add(task)
        elif kind == es.TR_BLOCK:
            awake.discard(task)
        elif kind == es.TR_SWITCH:
            running[cpu] = task
            awake.update({task} - {-1})
        if following[0] - time < US:
            continue
        waiting = awake - set(running.values())
        for waits, on in product(waiting, range(cpus)):
            runs = running.get(on, -1)
            allowed = int(done.state.tasks[waits]["allowed"][0]) >> on & 1
            assert not allowed or prio(done, runs) <= prio(done, waits), (time, done.names.tasks[waits], on)


def prio(done: Run, task: int) -> int:
    return int(done.state.tasks[task]["prio"]) if task >= 0 else 140


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_strongest_tasks_run_wherever_they_may(data: st.DataObject) -> None:
    """All may run everywhere: then the N strongest that are awake run, at every instant."""
    cpus = data.draw(st.integers(2, 4))
    b = structured(1, cpus, 1, trace_length=1 << 14)
    for number in range(data.draw(st.integers(cpus, cpus + 3))):
        period = data.draw(st.integers(500, 5_000)) * US
        b.periodic(
            f"task{number}", 0, range(cpus), es.FIFO, data.draw(st.integers(1, 5)), period_ns=period,
            first_ns=data.draw(st.integers(1, 3_000)) * US, work=b.constant(period // data.draw(st.integers(1, 4))),
            slack_ns=0,
        )  # fmt: skip
    strongest_run(run(b, 30 * MS), cpus, 30 * MS)


def floaters(b: Builder, masks: list[set[int]], policies: list[int]) -> None:
    for number, (mask, policy) in enumerate(zip(masks, policies, strict=True)):
        b.periodic(
            f"task{number}", 0, mask, policy, 5, period_ns=(700 + 130 * number) * US, first_ns=(100 + 57 * number) * US,
            work=b.constant(400 * US), slack_ns=0,
        )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_nothing_runs_outside_its_mask(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    masks = data.draw(st.lists(st.sets(st.integers(0, 7), min_size=1), min_size=count, max_size=count))
    policies = [data.draw(st.sampled_from([es.FIFO, es.RR, es.OTHER, es.BATCH, es.IDLE_POLICY])) for _ in masks]
    isolated = tuple(data.draw(st.sets(st.integers(0, 7), max_size=3)))
    b = structured(isolated=isolated, fair=data.draw(st.sampled_from([es.CFS, es.EEVDF])))
    floaters(b, masks, policies)
    done = run(b, 20 * MS)
    for _, _, cpu, task, _ in done.records(es.TR_SWITCH):
        assert task < 0 or cpu in masks[task]
    for cpu in done.state.cpus:  # and no nanosecond is lost on the way
        assert sum(int(cpu[kind]) for kind in ("task_ns", "irq_ns", "softirq_ns", "hardware_ns", "idle_ns")) == 20 * MS
