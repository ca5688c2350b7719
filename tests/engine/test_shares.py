"""The shares of hogs in any hierarchy of groups: in the long run, their weights."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from rtsim.engine import constants as es
from rtsim.engine.clock import run_until
from rtsim.kernel.weights import nice_weight
from tests.engine.small import SECOND
from tests.sched.hierarchies import Hierarchy, build, hierarchies

MANY = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SECONDS = 200


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


@MANY
@given(spec=hierarchies(hogs_only=True))
def test_shares_of_hogs_are_their_weights_level_by_level(spec: Hierarchy) -> None:
    state = build(spec)
    run_until(state, SECOND)
    before = state.tasks["cpu_ns"].copy()
    run_until(state, (1 + SECONDS) * SECOND)
    used = ((state.tasks["cpu_ns"] - before) / (SECONDS * SECOND)).tolist()
    assert used == pytest.approx(expected_shares(spec), abs=0.005)
    assert es.NONE not in [int(cpu["curr"]) for cpu in state.cpus]
