"""EEVDF for one flat queue, decision by decision and on exact traces (HZ=250)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsim.engine import state as es
from rtsim.engine.builder import Builder
from rtsim.engine.state import State
from rtsim.sched import eevdf, fair
from tests.engine.small import MS, SECOND, TICK, US, machine, run

BASE_SLICE = 1_400_000
"""As on two CPUs."""


def queue(weights: list[int], vruntimes: list[int], deadlines: list[int], running: bool) -> State:
    """A CPU on which task 0 runs, or nobody; the others are queued."""
    b = machine(fair=es.EEVDF, base_slice=BASE_SLICE)
    for row in range(len(weights)):
        b.hog(str(row), 0, [0], es.OTHER, 0)
    state, _ = b.build(watched=[])
    state.tasks["weight"], state.tasks["vruntime"], state.tasks["deadline"] = weights, vruntimes, deadlines
    state.tasks["protect"] = -1
    state.cpus[0]["curr"] = 0 if running else es.NONE
    for row in range(int(running), len(weights)):
        fair._link(state, 0, row)
    return state


# ---- eligibility, picks and placement -------------------------------------------------------------------------------


def test_the_earliest_deadline_among_the_eligible_is_picked() -> None:
    """V = 3, so that 1 and 2 are eligible and 6 is not."""
    state = queue([1024] * 3, [1, 2, 6], [9, 4, 7], running=False)
    assert eevdf.average_vruntime(state, 0, -1) == 3
    assert eevdf.pick_eevdf(state, 0, -1) == 1


def test_an_early_deadline_does_not_help_who_is_not_eligible() -> None:
    state = queue([1024] * 3, [1, 2, 6], [9, 8, 7], running=False)
    assert eevdf.pick_eevdf(state, 0, -1) == 1


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_picks_follow_the_definition(data: st.DataObject) -> None:
    """Against fractions-free arithmetic: eligible is sum w_j (v_j - v_i) >= 0; ties of deadlines go to the queue."""
    count = data.draw(st.integers(1, 5))
    numbers = st.integers(0, 20)
    weights = data.draw(st.lists(st.sampled_from([15, 335, 1024, 9548]), min_size=count, max_size=count))
    vruntimes = data.draw(st.lists(numbers, min_size=count, max_size=count))
    deadlines = data.draw(st.lists(numbers, min_size=count, max_size=count, unique=True))
    running = data.draw(st.booleans())
    state = queue(weights, vruntimes, deadlines, running)
    total = sum(w * v for w, v in zip(weights, vruntimes, strict=True))
    eligible = [row for row in range(count) if total >= vruntimes[row] * sum(weights)]
    assert eevdf.average_vruntime(state, 0, 0 if running else -1) == total // sum(weights)
    assert eevdf.pick_eevdf(state, 0, 0 if running else -1) == min(eligible, key=lambda row: deadlines[row])


@pytest.mark.parametrize(
    ("vruntime", "protected", "deadline", "picked"),
    [
        (0, True, 99, 0),  # eligible and within its slice: run to parity
        (0, False, 99, 1),  # eligible, its slice over: the earlier deadline wins
        (0, False, 49, 0),
        (0, False, 50, 1),  # equal deadlines: the queue wins
        (10, True, 1, 0),  # at V: still eligible
        (11, True, 1, 1),  # beyond V: not even a slice protects it
    ],
)
def test_when_the_running_task_keeps_the_cpu(vruntime: int, protected: bool, deadline: int, picked: int) -> None:
    state = queue([1024, 1024], [vruntime, min(vruntime, 10)], [deadline, 50], running=True)
    state.tasks[0]["protect"] = deadline if protected else deadline - 1
    assert eevdf.pick_eevdf(state, 0, 0) == picked


def test_placement_keeps_the_lag_by_inflating_it() -> None:
    """One runs with v = 100; lag 1 becomes 2 on placement, V moves to 99, and the lag is 1 again."""
    state = queue([1024, 1024], [100, 0], [0, 0], running=True)
    fair._unlink(state, 0, 1)
    state.tasks[1]["vlag"] = 1
    eevdf.place_entity(state, 0, 1, 0, False)
    assert int(state.tasks[1]["vruntime"]) == 98
    assert int(state.tasks[1]["deadline"]) == 98 + BASE_SLICE
    fair._link(state, 0, 1)
    assert eevdf.average_vruntime(state, 0, 0) == 99


@settings(max_examples=300, deadline=None)
@given(
    weights=st.lists(st.sampled_from([15, 335, 1024, 9548, 88761]), min_size=2, max_size=6),
    lag=st.integers(-3 * MS, 3 * MS),
    start=st.integers(0, SECOND),
)
def test_lag_survives_placement_on_any_queue(weights: list[int], lag: int, start: int) -> None:
    vruntimes = [start + 100 * row * US for row in range(len(weights))]
    state = queue(weights, vruntimes, [0] * len(weights), running=True)
    placed = len(weights) - 1
    fair._unlink(state, 0, placed)
    state.tasks[placed]["vlag"] = lag
    eevdf.place_entity(state, 0, placed, 0, False)
    fair._link(state, 0, placed)
    after = eevdf.average_vruntime(state, 0, 0) - int(state.tasks[placed]["vruntime"])
    assert abs(after - lag) <= 2  # floor divisions
    assert (
        int(state.tasks[placed]["deadline"] - state.tasks[placed]["vruntime"]) == BASE_SLICE * 1024 // weights[placed]
    )


def test_on_an_empty_queue_lag_is_lost() -> None:
    state = queue([1024], [0], [0], running=False)
    fair._unlink(state, 0, 0)
    state.cpus[0]["min_vruntime"] = 500
    state.tasks[0]["vlag"] = -300
    eevdf.place_entity(state, 0, 0, -1, False)
    assert int(state.tasks[0]["vruntime"]) == 500


def test_a_new_tasks_first_request_is_halved() -> None:
    state = queue([1024, 335], [0, 0], [0, 0], running=True)
    eevdf.place_entity(state, 0, 1, 0, True)
    assert int(state.tasks[1]["deadline"] - state.tasks[1]["vruntime"]) == BASE_SLICE // 2 * 1024 // 335


@pytest.mark.parametrize(("behind", "kept"), [(0, 0), (3 * MS, 3 * MS), (5 * MS, 4 * MS), (-9 * MS, -4 * MS)])
def test_a_sleepers_lag_is_kept_within_twice_its_request_or_a_tick(behind: int, kept: int) -> None:
    state = queue([1024], [SECOND], [0], running=True)
    eevdf.save_lag(state, 0, 0, SECOND + behind)
    assert int(state.tasks[0]["vlag"]) == kept


@pytest.mark.parametrize(
    ("vruntime", "others", "deadline", "resched"),
    [
        (9, 1, 10, False),
        (10, 1, 10 + BASE_SLICE, True),
        (12, 1, 12 + BASE_SLICE, True),
        (10, 0, 10 + BASE_SLICE, False),
    ],
)
def test_a_used_up_request_is_followed_by_a_new_one(vruntime: int, others: int, deadline: int, resched: bool) -> None:
    state = queue([1024] * (1 + others), [vruntime] * (1 + others), [10] * (1 + others), running=True)
    assert bool(eevdf.update_deadline(state, 0, 0)) is resched
    assert int(state.tasks[0]["deadline"]) == deadline


# ---- on the trace ---------------------------------------------------------------------------------------------------


def hogs(count: int, base_slice: int = BASE_SLICE) -> Builder:
    b = machine(fair=es.EEVDF, base_slice=base_slice)
    for n in range(count):
        b.hog(f"hog{n}", 0, [0], es.OTHER, 0)
    return b


def test_two_hogs_alternate_at_every_tick() -> None:
    switches = run(hogs(2), SECOND - 1).switches()
    assert switches == [(n * TICK, f"hog{n % 2}") for n in range(250)]


@pytest.mark.parametrize(("count", "base_slice", "quantum"), [(3, 2_800_000, TICK), (2, 4_000_001, 2 * TICK)])
def test_a_quantum_is_the_slice_rounded_up_to_ticks(count: int, base_slice: int, quantum: int) -> None:
    switches = run(hogs(count, base_slice), SECOND - 1).switches()[count + 1 :]
    assert {after - before for (before, _), (after, _) in pairwise(switches)} == {quantum}
    assert all(len({name for _, name in switches[n : n + count]}) == count for n in range(len(switches) - count))


def test_deadlines_are_checked_at_ticks_only() -> None:
    """With HZ=1000 a 1.4 ms slice lasts 2 ms."""
    b = machine(fair=es.EEVDF, base_slice=BASE_SLICE, tick_ns=MS)
    for n in range(2):
        b.hog(f"hog{n}", 0, [0], es.OTHER, 0)
    switches = run(b, 100 * MS).switches()[3:]
    assert {after - before for (before, _), (after, _) in pairwise(switches)} == {2 * MS}


def sleeper(b: Builder, period_ns: int, first_ns: int, work_ns: int, policy: int = es.OTHER) -> int:
    return b.periodic(
        "sleeper", 0, [0], policy, 0, period_ns=period_ns, first_ns=first_ns, work=b.constant(work_ns), slack_ns=0
    )


def lone_hog_and(first_ns: int) -> list[int]:
    """Return the latency of a sleeper without lag, first released at `first_ns`."""
    b = machine(fair=es.EEVDF, base_slice=2_800_000)
    task = sleeper(b, SECOND, first_ns, 100 * US)  # the first to run at 0, it sleeps at once and keeps no lag
    b.hog("hog", 0, [0], es.OTHER, 0)
    return run(b, first_ns + 15 * MS, [task]).samples("sleeper")


def test_against_a_lone_hog_a_sleeper_waits_for_the_end_of_its_request() -> None:
    """The hog's deadline (6.8 ms, set at the tick of 4) is before the sleeper's (5 + 2.8): it goes on to a tick."""
    assert lone_hog_and(5 * MS) == [3 * MS]


def test_a_sleeper_wins_a_tie_with_the_lone_hog() -> None:
    """Woken as the hog's request ends, both have the same deadline."""
    assert lone_hog_and(8 * MS) == [0]


def test_there_is_no_credit_for_sleep_and_no_forgiveness() -> None:
    """2 ms of work every 5 ms against a hog: who ran ahead of its share waits for V to pass it."""
    b = hogs(1)
    task = sleeper(b, 5 * MS, SECOND, 2 * MS)
    samples = run(b, 2 * SECOND, [task]).samples("sleeper")
    late = [latency for latency in samples if latency > MS]
    assert len(late) > len(samples) / 4


def waking(current: tuple[int, int], other: tuple[int, int], policy: int = es.OTHER) -> State:
    """Task 0 runs, task 1 waits and task 2 has just been queued; (vruntime, deadline) of 0 and 1, 2 is at V = 6."""
    state = queue([1024] * 3, [current[0], other[0], 6], [current[1], other[1], 20], running=True)
    state.tasks[0]["protect"] = current[1]
    state.tasks[2]["policy"] = policy
    return state


@pytest.mark.parametrize(
    ("current", "other", "policy", "preempts"),
    [
        ((10, 12), (2, 30), es.OTHER, True),  # current is not eligible, the wakee has the earliest deadline
        ((10, 12), (2, 15), es.OTHER, False),  # the other would be picked: no preemption at all
        ((6, 90), (6, 95), es.OTHER, False),  # current is eligible and protected
        ((10, 12), (2, 30), es.BATCH, False),
        ((10, 12), (2, 30), es.IDLE_POLICY, False),
    ],
)
def test_a_wakee_preempts_if_it_would_be_picked(
    current: tuple[int, int], other: tuple[int, int], policy: int, preempts: bool
) -> None:
    assert bool(eevdf.check_preempt_wakeup_fair(waking(current, other, policy), 0, 2)) is preempts


def test_an_idle_policy_task_loses_its_protection_to_anybody() -> None:
    state = waking((6, 90), (6, 95), es.BATCH)
    state.tasks[0]["policy"] = es.IDLE_POLICY
    assert eevdf.check_preempt_wakeup_fair(state, 0, 2)
    assert int(state.tasks[0]["protect"]) != int(state.tasks[0]["deadline"])
