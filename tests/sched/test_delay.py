"""Delayed dequeue (6.12): who blocks while it is not eligible stays queued until it is."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.state import State
from rtsim.sched import cfs_rq, core, fair
from tests.engine.small import MS
from tests.sched.queues import BASE_SLICE, On, eevdf_machine, queue, take_out, timeline


def counts(state: State) -> tuple[int, int, int]:
    q = state.cfs_rqs[0]
    return int(q["nr_running"]), int(q["h_nr_running"]), int(q["h_nr_runnable"])


def block(release: str, vruntime: int) -> State:
    """Task 0 runs at `vruntime` beside one at 0, and blocks."""
    state = queue(eevdf_machine(release), [On(vruntime, 1000), On(0, 2000)], running=True)
    left = fair.dequeue_task_fair(state, 0, 0, True)
    assert bool(left) is (int(state.entities[0]["on_rq"]) == 0)
    return state


def test_who_blocks_while_not_eligible_stays_and_is_not_runnable() -> None:
    state = block("6.12", 10)
    assert int(state.entities[0]["delayed"]) == 1
    assert counts(state) == (2, 2, 1)
    assert int(state.cpus[0]["nr_running"]) == 2


@pytest.mark.parametrize(("release", "vruntime", "lag"), [("6.12", 0, 0), ("6.6", 0, 0), ("6.6", 10, -5)])
def test_the_eligible_and_those_of_earlier_releases_leave_at_once(release: str, vruntime: int, lag: int) -> None:
    state = block(release, vruntime)
    assert int(state.entities[0]["vlag"]) == lag
    assert counts(state) == (1, 1, 1)


def delayed(vruntime: int, deadline: int, other: On) -> State:
    """Task 0, whose dequeue is delayed, and another wait."""
    state = queue(eevdf_machine("6.12"), [On(vruntime, deadline), other], running=False)
    state.entities[0]["delayed"] = 1
    state.cfs_rqs[0]["h_nr_runnable"] -= 1
    state.tasks[0]["state"] = es.SLEEPING
    return state


def test_the_pick_that_finds_it_eligible_lets_it_leave_without_the_lag_it_has_gained() -> None:
    state = delayed(0, 1, On(4, 9))
    assert fair.pick_task_fair(state, 0) == 1
    e = state.entities[0]
    assert (int(e["on_rq"]), int(e["delayed"]), int(e["vlag"])) == (0, 0, 0)
    assert counts(state) == (1, 1, 1)


def test_while_it_is_not_eligible_it_stays_and_holds_v_back() -> None:
    state = delayed(4, 1, On(0, 9))
    assert fair.pick_task_fair(state, 0) == 1
    assert timeline(state) == [0, 1]
    assert counts(state) == (2, 2, 1)


def test_who_wakes_with_lag_begins_anew_without() -> None:
    state = delayed(0, 7, On(4 * MS, 9 * MS))
    cfs_rq.requeue_delayed(state, 0)
    e = state.entities[0]
    assert (int(e["vruntime"]), int(e["deadline"])) == (4 * MS, 4 * MS + BASE_SLICE)
    assert int(e["delayed"]) == 0
    assert counts(state) == (2, 2, 2)


@pytest.mark.parametrize("vruntime", [10, 4])
def test_who_wakes_without_lag_goes_on_where_it_was(vruntime: int) -> None:
    state = delayed(vruntime, 77, On(4, 9))
    cfs_rq.requeue_delayed(state, 0)
    e = state.entities[0]
    assert (int(e["vruntime"]), int(e["deadline"]), int(e["delayed"])) == (vruntime, 77, 0)


@pytest.mark.parametrize(("still_queued", "cpu"), [(True, 0), (False, 1)])
def test_a_delayed_task_wakes_on_its_old_cpu_though_another_idles(still_queued: bool, cpu: int) -> None:
    state = queue(eevdf_machine("6.12", cpus=2), [On(0, 9), On(10, 9)], running=True)
    state.tasks["state"][1] = es.SLEEPING
    state.tasks["allowed"][1][0], state.tasks["nr_allowed"][1] = 0b11, 2
    if still_queued:
        state.entities["delayed"][1] = 1
    else:
        take_out(state, 1)
    core.try_to_wake_up(state, 1, 0)
    assert int(state.tasks["cpu"][1]) == cpu
    assert int(state.entities["on_rq"][1]) == int(still_queued)
    assert int(state.cpus["wakelist"][cpu]) == (es.NONE if still_queued else 1)  # the idle CPU queues it itself
    assert int(state.entities["queue"][1]) == 0
