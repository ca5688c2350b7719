"""What holds in any hierarchy of groups at any time, and the shares that come out in the long run."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from rtsim.engine import constants as es
from rtsim.engine.clock import run_until, step
from rtsim.kernel.weights import nice_weight
from tests.engine.small import MS, SECOND, TICK
from tests.sched.hierarchies import (
    PERIOD,
    Hierarchy,
    build,
    check_cpus,
    check_queue,
    check_tasks,
    hierarchies,
    used_by,
)

STRIDE = 7
"""Events between two looks at the state."""

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
THOROUGH = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check_run(spec: Hierarchy, until_ns: int) -> None:
    """Run in strides and check all that holds at any time after each."""
    state = build(spec)
    floors = state.cfs_rqs["min_vruntime"].copy()
    while step(state, until_ns, STRIDE) == STRIDE:
        for row in range(len(state.cfs_rqs)):
            check_queue(state, row)
        check_tasks(state)
        if spec.release is None:
            assert (state.cfs_rqs["min_vruntime"] >= floors).all()
            floors = state.cfs_rqs["min_vruntime"].copy()
    check_cpus(state)
    periods = int(state.m[0]["now"]) // PERIOD + 1
    for row, (_, _, quota) in enumerate(spec.groups):
        if quota:
            assert used_by(spec, state, row) <= quota * periods + spec.cpus * TICK


@QUICK
@given(spec=hierarchies())
def test_queues_lags_counts_and_budgets_hold_at_any_time(spec: Hierarchy) -> None:
    check_run(spec, 60 * MS)


@pytest.mark.slow
@THOROUGH
@given(spec=hierarchies())
def test_queues_lags_counts_and_budgets_hold_at_any_time_in_many_hierarchies(spec: Hierarchy) -> None:
    check_run(spec, 300 * MS)


def expected_shares(spec: Hierarchy) -> list[float]:
    """Return each hog's part of the CPU: at each level its weight over those of its busy siblings."""
    busy: set[int] = set()
    for group, *_ in spec.tasks:
        while group >= 0 and group not in busy:
            busy.add(group)
            group = spec.groups[group][0]
    siblings: dict[int, int] = {}
    for group, nice, *_ in spec.tasks:
        siblings[group] = siblings.get(group, 0) + nice_weight(nice)
    for row in busy:
        parent, weight, _ = spec.groups[row]
        siblings[parent] = siblings.get(parent, 0) + weight
    found = []
    for group, nice, *_ in spec.tasks:
        share = nice_weight(nice) / siblings[group]
        while group >= 0:
            parent, weight, _ = spec.groups[group]
            share *= weight / siblings[parent]
            group = parent
        found.append(share)
    return found


def check_shares(spec: Hierarchy, seconds: int) -> None:
    state = build(spec)
    run_until(state, SECOND)
    before = state.tasks["cpu_ns"].copy()
    run_until(state, (1 + seconds) * SECOND)
    used = ((state.tasks["cpu_ns"] - before) / (seconds * SECOND)).tolist()
    assert used == pytest.approx(expected_shares(spec), abs=0.005)
    assert es.NONE not in [int(cpu["curr"]) for cpu in state.cpus]


@QUICK
@given(spec=hierarchies(hogs_only=True))
def test_shares_of_hogs_are_their_weights_level_by_level(spec: Hierarchy) -> None:
    check_shares(spec, 60)


@pytest.mark.slow
@THOROUGH
@given(spec=hierarchies(hogs_only=True))
def test_shares_of_hogs_are_their_weights_in_many_hierarchies(spec: Hierarchy) -> None:
    check_shares(spec, 200)
