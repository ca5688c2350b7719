"""Deadline tasks between CPUs: where they wake, who is pushed where, who is pulled (``deadline.c``)."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsim.engine import constants as es
from rtsim.engine.state import State
from rtsim.sched import dl_push_pull
from tests.engine.small import MS, US, Run, job_at, machine, run
from tests.sched.test_deadline import reserved
from tests.sched.topologies import structured

WAKEE = 0
ALL = range(8)
NOT_DEADLINE = 0
"""In place of a deadline: a FIFO task runs there."""


def world(deadlines_ms: dict[int, int], allowed: tuple[int, ...], pinned: tuple[int, ...] = ()) -> State:
    """One socket of 4 cores with 2 threads; CPUs run deadline tasks of these deadlines, the wakee's is 50 ms."""
    b = structured()
    b.hog("wakee", 0, allowed, es.DEADLINE, 0, **reserved(1, 100, 100))
    for cpu in ALL:
        policy = es.DEADLINE if deadlines_ms.get(cpu) else es.FIFO
        b.hog(f"runner{cpu}", 0, [cpu] if cpu in pinned else ALL, policy, 99, **reserved(1, 100, 100))
    state, _ = b.build([])
    state.dl_entities[WAKEE]["deadline"] = 50 * MS
    for cpu, deadline_ms in deadlines_ms.items():
        runner = 1 + cpu
        state.tasks[runner]["cpu"] = cpu
        state.cpus[cpu]["curr"] = runner
        if deadline_ms != NOT_DEADLINE:
            state.dl_entities[runner]["deadline"] = deadline_ms * MS
            state.dl_entities[runner]["next"] = es.NONE
            state.cpus[cpu]["dl_head"] = runner
            state.cpus[cpu]["dl_nr_running"] = 1
    return state


BUSY = dict.fromkeys(ALL, 20)


@pytest.mark.parametrize(
    ("deadlines", "allowed", "pinned", "prev", "here", "goes_to", "why"),
    [
        ({}, ALL, (), 3, 0, 3, "its own CPU idles"),
        ({3: NOT_DEADLINE}, ALL, (), 3, 0, 3, "a realtime task there, which it preempts"),
        ({3: 80}, ALL, (), 3, 0, 3, "a later one there, which may go elsewhere itself"),
        ({3: 80}, ALL, (3,), 3, 0, 2, "a later one there that may not: the nearest, its core"),
        ({3: 20}, ALL, (), 3, 0, 2, "an earlier one there"),
        ({3: 50}, ALL, (), 3, 0, 2, "an equal one there"),
        ({3: 20, 2: 80}, ALL, (), 3, 0, 0, "no CPU without deadline tasks in its core: the waker's in the next domain"),
        ({3: 20, 2: 80, 0: 80}, ALL, (), 3, 0, 4, "nor is the waker's CPU without: the next one there"),
        ({3: 20}, (3, 7), (), 3, 0, 7, "within its mask"),
        (BUSY, ALL, (), 3, 0, 3, "earlier ones everywhere: it stays, to be pushed or pulled later"),
        ({**BUSY, 5: 70, 6: 90}, ALL, (), 3, 0, 6, "the latest"),
        ({**BUSY, 5: 70, 6: 90}, (3, 5), (), 3, 0, 3, "only the latest is looked at, which is outside its mask"),
    ],
)  # fmt: skip
def test_where_a_deadline_task_wakes(
    deadlines: dict[int, int], allowed: tuple[int, ...], pinned: tuple[int, ...], prev: int, here: int, goes_to: int,
    why: str,
) -> None:  # fmt: skip
    state = world(deadlines, tuple(allowed), pinned)
    state.tasks[WAKEE]["cpu"] = prev
    assert int(dl_push_pull.select_task_rq_dl(state, WAKEE, here)) == goes_to, why


def test_a_preempted_task_is_pushed_to_a_cpu_of_a_later_one_and_comes_back_when_there_is_room() -> None:
    b = machine(cpus=2)
    b.hog("late", 0, [0, 1], es.DEADLINE, 0, **reserved(40, 100, 100))
    b.hog("middle", 0, [0, 1], es.DEADLINE, 0, **reserved(20, 50, 50))
    job_at(b, b.server("early", 0, [0, 1], es.DEADLINE, 0, **reserved(10, 20, 20)), 5 * MS, 3 * MS)
    done = run(b, 12 * MS)
    moves = [(time, done.names.tasks[task], cpu) for time, _, cpu, task, _ in done.records(es.TR_MIGRATE)]
    assert moves == [(0, "late", 1), (5 * MS, "middle", 1), (8 * MS, "late", 0)]
    assert [int(done.task(name)["cpu_ns"]) for name in ("late", "middle", "early")] == [9 * MS, 12 * MS, 3 * MS]
    times = done.state.cpu_times[[done.task(name)["times_row"] for name in ("late", "middle")]]
    assert times.tolist() == [[0, 5 * MS], [5 * MS, 0]], "what they ran on the CPU they have left"


def test_a_throttled_task_makes_room_for_one_that_waits_elsewhere() -> None:
    b = machine(cpus=2)
    b.hog("short", 0, [1], es.DEADLINE, 0, **reserved(6, 30, 100))
    b.hog("pinned", 0, [0], es.DEADLINE, 0, **reserved(20, 40, 100))
    b.hog("floating", 0, [0, 1], es.DEADLINE, 0, **reserved(20, 100, 100))
    done = run(b, 20 * MS)
    # the tick at 8 ms finds the budget of 6 ms used up
    assert done.stretches("floating", 20 * MS, cpu=1) == [(8 * MS, 12 * MS)]


def test_a_task_with_a_new_budget_is_pushed_off_the_cpu_of_an_earlier_one() -> None:
    b = machine(cpus=2)
    job_at(b, b.server("pinned", 0, [0], es.DEADLINE, 0, **reserved(15, 16, 100)), 2 * MS, 10 * MS)
    b.hog("fair", 0, [1], es.OTHER, 0)
    job_at(b, b.server("floating", 0, [0, 1], es.DEADLINE, 0, **reserved(4, 10, 10)), MS, 20 * MS)
    done = run(b, 14 * MS)
    # The tick at 8 ms finds 3 ms more than its budget used. With the next one, at 11 ms, its deadline is behind the
    # other's; the tick at 12 ms finds that used up, too.
    assert done.stretches("floating", 14 * MS) == [(1 * MS, 7 * MS)]
    assert done.stretches("floating", 14 * MS, cpu=1) == [(11 * MS, 1 * MS)]


# ---- the earliest run ------------------------------------------------------------------------------------------------


def earliest_run(done: Run, cpus: int) -> None:
    """At the end, no task that waits has an earlier deadline than one that runs where it may."""
    state = done.state
    running = [int(state.cpus[cpu]["curr"]) for cpu in range(cpus)]
    for task, on in product(range(len(state.tasks)), range(cpus)):
        waits = state.dl_entities[task]["on_rq"] == 1 and task not in running
        allowed = int(state.tasks[task]["allowed"][0]) >> on & 1
        if not waits or not allowed or state.cpus[on]["need_resched"]:
            continue
        runs = running[on]
        assert runs >= 0, f"{done.names.tasks[task]} waits, CPU {on} idles"
        assert state.dl_entities[runs]["deadline"] <= state.dl_entities[task]["deadline"], (task, on)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_earliest_run_wherever_they_may(data: st.DataObject) -> None:
    """All may run everywhere, as the kernel asks of deadline tasks: then the N earliest run, whenever one looks."""
    cpus = data.draw(st.integers(2, 4))
    b = structured(1, cpus, 1)
    for number in range(data.draw(st.integers(cpus, cpus + 3))):
        period = data.draw(st.integers(5, 40))
        b.periodic(
            f"task{number}", 0, range(cpus), es.DEADLINE, 0, period_ns=period * MS + number * US,
            first_ns=data.draw(st.integers(1, 3_000)) * US, slack_ns=0,
            work=b.constant(period * MS // data.draw(st.integers(2, 5))), **reserved(period / 2, period, period),
        )  # fmt: skip
    earliest_run(run(b, data.draw(st.integers(5_000, 60_000)) * US), cpus)
