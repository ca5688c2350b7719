"""Deadline tasks: order, budgets and the rules of the constant bandwidth server, on exact traces."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.sched import core
from tests.engine.small import MS, SECOND, TICK, Run, job_at, machine, run


def reserved(runtime_ms: float, deadline_ms: float, period_ms: float) -> dict[str, int]:
    times = (runtime_ms, deadline_ms, period_ms)
    return dict(zip(("dl_runtime", "dl_deadline", "dl_period"), (int(ms * MS) for ms in times), strict=True))


def thread(b: Builder, name: str, reservation: dict[str, int], *jobs: tuple[float, float]) -> int:
    """Add a deadline task with jobs (time, duration), ms."""
    task = b.server(name, 0, [0], es.DEADLINE, 0, **reservation)
    for at, length in jobs:
        job_at(b, task, int(at * MS), int(length * MS))
    return task


def entity(done: Run, task: int) -> Any:
    return done.state.dl_entities[task]


def test_the_earliest_deadline_runs_first() -> None:
    b = machine()
    thread(b, "late", reserved(20, 90, 90), (1, 10))
    thread(b, "early", reserved(20, 50, 50), (3, 4))
    thread(b, "later", reserved(20, 100, 100), (5, 1))
    assert run(b, 50 * MS).switches() == [
        (1 * MS, "late"), (3 * MS, "early"), (7 * MS, "late"), (15 * MS, "later"), (16 * MS, "idle"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "priority", "preempted"), [(es.FIFO, 99, True), (es.OTHER, -20, True), (es.STOP, 0, False)]
)
def test_deadline_tasks_stand_between_stop_and_realtime(policy: int, priority: int, preempted: bool) -> None:
    b = machine()
    job_at(b, b.server("other", 0, [0], policy, priority), MS, 10 * MS)
    thread(b, "deadline", reserved(5, 50, 50), (3, 1))
    names = [name for _, name in run(b, 40 * MS).switches()]
    assert names == (["other", "deadline", "other", "idle"] if preempted else ["other", "deadline", "idle"])


def test_a_hog_runs_its_budget_each_period_and_pays_for_what_a_tick_lets_it_overrun() -> None:
    b = machine()
    b.hog("hog", 0, [0], es.DEADLINE, 0, **reserved(10, 100, 100))
    b.hog("fair", 0, [0], es.OTHER, 0)
    done = run(b, 400 * MS)
    expected = [(0, 12 * MS), (100 * MS, 8 * MS), (200 * MS, 12 * MS), (300 * MS, 8 * MS)]
    assert done.stretches("hog", 400 * MS) == expected


def test_a_wakeup_keeps_deadline_and_budget_that_fit_the_bandwidth() -> None:
    b = machine()
    task = thread(b, "task", reserved(10, 100, 100), (1, 2), (10, 1))
    row = entity(run(b, 50 * MS), task)
    # 8 ms are left for the 91 ms to the deadline: less than a tenth
    assert (row["deadline"], row["runtime"]) == (101 * MS, 7 * MS)


def test_a_wakeup_with_too_much_budget_left_starts_a_new_period() -> None:
    b = machine()
    task = thread(b, "task", reserved(10, 100, 100), (1, 2), (50, 1))
    row = entity(run(b, 60 * MS), task)
    # 8 ms of 51 ms would be more than a tenth
    assert (row["deadline"], row["runtime"]) == (150 * MS, 9 * MS)


def test_with_a_constrained_deadline_the_budget_shrinks_instead() -> None:
    b = machine()
    task = thread(b, "task", reserved(10, 20, 100), (1, 2), (15, 1))
    row = entity(run(b, 20 * MS), task)
    # density 1/2 of the 6 ms to the deadline, 1 ms of it used
    assert (row["deadline"], row["runtime"]) == (21 * MS, 2 * MS)


def test_a_wakeup_between_a_constrained_deadline_and_the_period_waits_for_the_period() -> None:
    b = machine()
    thread(b, "task", reserved(10, 20, 100), (1, 2), (50, 1))
    assert run(b, 200 * MS).stretches("task", 200 * MS) == [(1 * MS, 2 * MS), (101 * MS, 1 * MS)]


def test_a_budget_used_up_at_the_end_of_a_job_is_given_back_while_the_task_sleeps() -> None:
    b = machine()
    task = thread(b, "task", reserved(10, 100, 100), (1, 10), (150, 1))
    done = run(b, 160 * MS)
    assert done.stretches("task", 160 * MS) == [(1 * MS, 10 * MS), (150 * MS, 1 * MS)]
    assert (entity(done, task)["deadline"], entity(done, task)["throttled"]) == (250 * MS, 0)


def test_yield_gives_the_rest_of_the_budget_up() -> None:
    b = machine()
    b.hog("hog", 0, [0], es.DEADLINE, 0, **reserved(50, 100, 100))
    done = run(b, 10 * MS + 1)
    core.yield_current(done.state, 0)
    row = entity(done, 0)
    assert (row["throttled"], row["yielded"], row["on_rq"]) == (1, 1, 0)
    assert int(done.state.sched_timers[row["timer"]]["at"]) == 100 * MS


def test_deadline_tasks_keep_the_tick_of_a_nohz_full_cpu() -> None:
    b = machine()
    b.cpus[0]["nohz_full"] = 1
    b.hog("hog", 0, [0], es.DEADLINE, 0, **reserved(40, 100, 100))
    assert run(b, 30 * MS).times(es.TR_TICK) == [n * TICK for n in range(1, 8)]


@pytest.mark.parametrize(("rt_runtime", "throttled_at"), [(es.NEVER, None), (60 * MS, 60 * MS)])
def test_deadline_tasks_draw_on_the_realtime_budget(rt_runtime: int, throttled_at: int | None) -> None:
    b = machine(rt_runtime=rt_runtime, rt_period=100 * MS)
    b.hog("fifo", 0, [0], es.FIFO, 1)
    b.hog("deadline", 0, [0], es.DEADLINE, 0, **reserved(40, 100, 100))
    b.hog("fair", 0, [0], es.OTHER, 0)
    first = [at for at, name in run(b, 99 * MS).switches() if name == "fair"]
    # 40 ms of the deadline task and 24 ms of the other: the first tick that sees more than 60 ms
    assert first == ([64 * MS] if throttled_at else [])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tasks=st.lists(st.tuples(st.integers(5, 20), st.sampled_from([40, 60, 100]), st.booleans()), min_size=1, max_size=4)
)
def test_no_budget_is_exceeded_by_more_than_a_tick(tasks: list[tuple[int, int, bool]]) -> None:
    b = machine()
    for number, (runtime, period, constrained) in enumerate(tasks):
        deadline = max(runtime, period // 2) if constrained else period
        b.hog(f"task{number}", 0, [0], es.DEADLINE, 0, **reserved(runtime, deadline, period))
    done = run(b, SECOND)
    for number, (runtime, period, _) in enumerate(tasks):
        periods = -(-1000 // period)
        assert sum(length for _, length in done.stretches(f"task{number}", SECOND)) <= periods * runtime * MS + TICK
