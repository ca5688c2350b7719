"""FIFO tasks on random sets: responses within their bound, and nobody waits behind a weaker one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from rtsim.engine import constants as es
from rtsim.measure.bounds import PeriodicTask, response_time
from tests.engine.small import MS, US, Run, machine, run

HORIZON_NS = 50 * MS


@st.composite
def task_sets(draw: st.DrawFn) -> list[PeriodicTask]:
    """Draw two to five tasks of distinct priorities that leave some of the CPU."""
    count = draw(st.integers(2, 5))
    periods = [draw(st.integers(2, 40)) * 100 * US for _ in range(count)]
    works = [max(draw(st.integers(1, 90)) * period // (100 * count), 1) for period in periods]
    return [PeriodicTask(50 + n, work, period) for n, (work, period) in enumerate(zip(works, periods, strict=True))]


def responses(tasks: list[PeriodicTask], phases: list[int]) -> tuple[Run, list[int]]:
    """Simulate the tasks; return the longest response of each (ns)."""
    b = machine(trace_length=1 << 14)
    rows = [
        b.periodic(
            f"task{n}", 0, [0], es.FIFO, task.priority, period_ns=task.period_ns, first_ns=MS + phase,
            work=b.constant(task.work_ns), slack_ns=0, catch_up=True,
        )
        for n, (task, phase) in enumerate(zip(tasks, phases, strict=True))
    ]  # fmt: skip
    done = run(b, HORIZON_NS, rows)
    return done, [int(done.state.watches[n]["most"][es.H_RESPONSE]) for n in range(len(rows))]


def check_bounds(tasks: list[PeriodicTask], phases: list[int]) -> None:
    bounds = response_time(tasks)
    _, anyhow = responses(tasks, phases)
    _, together = responses(tasks, [0] * len(tasks))
    for bound, random_ns, critical_ns in zip(bounds, anyhow, together, strict=True):
        assert bound is not None
        assert random_ns <= bound
        assert critical_ns == bound


CASES = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
PHASES: SearchStrategy[list[int]] = st.lists(st.integers(0, 4 * MS), min_size=5, max_size=5)


@settings(max_examples=100, **CASES)  # type: ignore[arg-type]
@given(tasks=task_sets(), phases=PHASES)
def test_responses_stay_within_the_bound_and_reach_it_at_the_critical_instant(
    tasks: list[PeriodicTask], phases: list[int]
) -> None:
    check_bounds(tasks, phases[: len(tasks)])


@pytest.mark.slow
@settings(max_examples=10_000, **CASES)  # type: ignore[arg-type]
@given(tasks=task_sets(), phases=PHASES)
def test_ten_thousand_sets_stay_within_their_bounds(tasks: list[PeriodicTask], phases: list[int]) -> None:
    check_bounds(tasks, phases[: len(tasks)])


@settings(max_examples=20, **CASES)  # type: ignore[arg-type]
@given(tasks=task_sets(), phases=PHASES)
def test_no_runnable_fifo_task_waits_behind_a_weaker_one(tasks: list[PeriodicTask], phases: list[int]) -> None:
    done, _ = responses(tasks, phases[: len(tasks)])
    awake: set[int] = set(range(len(tasks)))  # all start runnable
    running, since = es.NONE, 0
    for time, kind, _, task, _ in done.records(es.TR_WAKING, es.TR_SWITCH, es.TR_BLOCK):
        if time > since:  # what stands between instants
            assert running == max(awake, default=es.NONE), (since, time)
        since = time
        if kind == es.TR_WAKING:
            awake.add(task)
        elif kind == es.TR_BLOCK:
            awake.discard(task)
        else:
            running = task
