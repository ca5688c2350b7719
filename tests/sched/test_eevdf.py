"""EEVDF for one queue, decision by decision and on exact traces (HZ=250); wake-ups are in ``test_eevdf_wakeups``."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.state import State
from rtsim.sched import eevdf
from tests.engine.small import MS, SECOND, TICK, US, machine, run
from tests.sched.queues import BASE_SLICE, On, eevdf_machine, place, queue, take_out

# ---- eligibility, picks and placement -------------------------------------------------------------------------------


def eevdf_queue(*entities: On, running: bool = True, release: str = "6.12") -> State:
    """A CPU on which task 0 runs, or nobody; the others wait."""
    return queue(eevdf_machine(release), entities, running=running)


def test_an_early_deadline_does_not_help_who_is_not_eligible() -> None:
    state = eevdf_queue(On(1, 9), On(2, 8), On(6, 7), running=False)
    assert eevdf.pick_eevdf(state, 0, True) == 1


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_picks_follow_the_definition(data: st.DataObject) -> None:
    """Against fractions-free arithmetic: eligible is sum w_j (v_j - v_i) >= 0; ties of deadlines go to the queue."""
    count = data.draw(st.integers(1, 7))
    numbers = st.integers(0, 20)
    weights = data.draw(st.lists(st.sampled_from([15, 335, 1024, 9548]), min_size=count, max_size=count))
    vruntimes = data.draw(st.lists(numbers, min_size=count, max_size=count))
    deadlines = data.draw(st.lists(numbers, min_size=count, max_size=count, unique=True))
    running = data.draw(st.booleans())
    state = eevdf_queue(*map(On, vruntimes, deadlines, weights), running=running)
    total = sum(w * v for w, v in zip(weights, vruntimes, strict=True))
    eligible = [row for row in range(count) if total >= vruntimes[row] * sum(weights)]
    assert [row for row in range(count) if eevdf.eligible(state, 0, vruntimes[row])] == eligible
    assert eevdf.pick_eevdf(state, 0, True) == min(eligible, key=lambda row: deadlines[row])
    assert eevdf.average_vruntime(state, 0) == total // sum(weights)
    assert eevdf.average_vruntime(state, 0) == total // sum(weights)  # its reference has moved, V has not


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
    state = eevdf_queue(On(vruntime, deadline), On(min(vruntime, 10), 50))
    state.entities[0]["protect"] = deadline if protected else deadline - 1
    assert eevdf.pick_eevdf(state, 0, True) == picked


def test_without_run_to_parity_nothing_protects_before_6_17() -> None:
    state = queue(eevdf_machine("6.12", run_to_parity=0), [On(0, 99), On(0, 50)], running=True)
    state.entities[0]["protect"] = 99
    assert eevdf.pick_eevdf(state, 0, True) == 1


@settings(max_examples=200, deadline=None)
@given(
    weights=st.lists(st.sampled_from([15, 335, 1024, 9548, 88761]), min_size=2, max_size=6),
    lag=st.integers(-3 * MS, 3 * MS),
    start=st.integers(0, SECOND),
)
def test_lag_survives_placement_on_any_queue(weights: list[int], lag: int, start: int) -> None:
    entities = [On(start + 100 * row * US, 0, weight) for row, weight in enumerate(weights)]
    state = eevdf_queue(*entities)
    placed = len(weights) - 1
    take_out(state, placed)
    state.entities[placed]["vlag"] = lag
    eevdf.place_entity(state, 0, placed, False)
    e = state.entities[placed]
    place(state, placed, On(int(e["vruntime"]), int(e["deadline"]), weights[placed]))
    assert abs(eevdf.average_vruntime(state, 0) - int(e["vruntime"]) - lag) <= 2  # floor divisions
    assert int(e["deadline"] - e["vruntime"]) == BASE_SLICE * 1024 // weights[placed]


def test_on_an_empty_queue_lag_is_lost() -> None:
    state = eevdf_queue(On(), running=False)
    take_out(state, 0)
    state.cfs_rqs[0]["min_vruntime"] = 500
    state.entities[0]["vlag"] = -300
    eevdf.place_entity(state, 0, 0, False)
    assert int(state.entities[0]["vruntime"]) == 500


def test_a_new_tasks_first_request_is_halved() -> None:
    state = eevdf_queue(On(), On(weight=335))
    take_out(state, 1)
    eevdf.place_entity(state, 0, 1, True)
    assert int(state.entities[1]["deadline"] - state.entities[1]["vruntime"]) == BASE_SLICE * 1024 // 335 // 2


def test_who_changes_cpu_keeps_what_is_left_of_its_request() -> None:
    state = eevdf_queue(On(100), On())
    take_out(state, 1)
    state.entities[1]["deadline"], state.entities[1]["rel_deadline"] = 7, 1
    eevdf.place_entity(state, 0, 1, False)
    e = state.entities[1]
    assert (int(e["vruntime"]), int(e["deadline"]), int(e["rel_deadline"])) == (100, 107, 0)


def lag_kept(release: str, behind: int, *others: On) -> int:
    """Return the lag that task 0 keeps which leaves `behind` V, beside `others` that hold V where it is."""
    state = eevdf_queue(On(SECOND - behind), On(SECOND, weight=10**6), *others, release=release)
    eevdf.save_lag(state, 0, 0)
    return int(state.entities[0]["vlag"])


@pytest.mark.parametrize(("behind", "kept"), [(3 * MS, 3 * MS), (5 * MS, 4 * MS), (-9 * MS, -4 * MS)])
def test_a_sleepers_lag_is_kept_within_twice_its_request_or_a_tick(behind: int, kept: int) -> None:
    assert lag_kept("6.12", behind) == pytest.approx(kept, rel=0.002)


def test_from_7_0_on_lag_is_kept_within_the_longest_request_of_the_queue_and_a_tick() -> None:
    assert lag_kept("7.2", 20 * MS) == BASE_SLICE + TICK
    assert lag_kept("7.2", 20 * MS, On(SECOND, slice=7 * MS)) == 7 * MS + TICK


@pytest.mark.parametrize(
    ("vruntime", "deadline", "over"), [(9, 10, False), (10, 10 + BASE_SLICE, True), (12, 12 + BASE_SLICE, True)]
)
def test_a_used_up_request_is_followed_by_a_new_one(vruntime: int, deadline: int, over: bool) -> None:
    state = eevdf_queue(On(vruntime, 10), On(vruntime, 10))
    assert bool(eevdf.update_deadline(state, 0, 0)) is over
    assert int(state.entities[0]["deadline"]) == deadline


def test_a_custom_request_stays_and_a_default_one_is_renewed() -> None:
    for custom, slice_ns in ((1, 100 * US), (0, BASE_SLICE)):
        state = eevdf_queue(On(10, 10, slice=100 * US), On(10, 10))
        state.entities[0]["custom_slice"] = custom
        eevdf.update_deadline(state, 0, 0)
        assert int(state.entities[0]["deadline"]) == 10 + slice_ns


# ---- on the trace ---------------------------------------------------------------------------------------------------


def hogs(count: int, base_slice: int = BASE_SLICE) -> Builder:
    b = machine(fair=es.EEVDF, base_slice=base_slice)
    for n in range(count):
        b.hog(f"hog{n}", 0, [0], es.OTHER, 0)
    return b


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
