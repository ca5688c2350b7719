"""What holds in any hierarchy of groups at any time."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from rtsim.engine.clock import step
from tests.engine.small import MS, TICK
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
