"""CFS for one queue on a CPU of a large machine (latency 24 ms, least slice 3 ms, wake-up granularity 4 ms)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.state import State
from rtsim.kernel.weights import nice_weight
from rtsim.sched import cfs
from tests.engine.small import MS, SECOND, US, machine, run
from tests.sched.queues import On, queue


def stretches(switches: list[tuple[int, str]]) -> list[tuple[str, int]]:
    """Return (task, how long it ran) from one switch to the next."""
    return [(name, after - before) for (before, name), (after, _) in pairwise(switches)]


# ---- slices and ticks -----------------------------------------------------------------------------------------------


# ---- wake-up preemption ---------------------------------------------------------------------------------------------


def hog_and_sleeper(period_ns: int, first_ns: int, work_ns: int, nice: int = 0, policy: int = es.OTHER) -> Builder:
    b = machine()
    b.hog("hog", 0, [0], es.OTHER, 0)
    b.periodic(
        "sleeper", 0, [0], policy, nice, period_ns=period_ns, first_ns=first_ns, work=b.constant(work_ns), slack_ns=0
    )
    return b


SLEEPER = 1
"""Row of the sleeper."""


def test_who_slept_a_second_preempts_at_once() -> None:
    done = run(hog_and_sleeper(SECOND, SECOND + MS, 100 * US), 3 * SECOND, [SLEEPER])
    assert done.samples("sleeper") == [0, 0]


def test_who_has_used_its_share_waits_until_the_hogs_slice_ends() -> None:
    """Placed 12 ms behind the hog it runs for 11, sleeps for 1 and is 2 ms behind then: less than the granularity."""
    done = run(hog_and_sleeper(12 * MS, SECOND, 11 * MS), SECOND + 25 * MS, [SLEEPER])
    assert done.switches()[-3:] == [(SECOND, "sleeper"), (SECOND + 11 * MS, "hog"), (SECOND + 24 * MS, "sleeper")]
    assert done.samples("sleeper") == [0, 12 * MS]


@pytest.mark.parametrize(("policy", "nice"), [(es.BATCH, 0), (es.IDLE_POLICY, 0), (es.OTHER, 10)])
def test_batch_idle_and_light_sleepers_do_not_preempt(policy: int, nice: int) -> None:
    """At nice 10 the granularity is 37 ms of the hog's time: no credit for sleep is that large."""
    done = run(hog_and_sleeper(SECOND, SECOND + MS, 100 * US, nice, policy), SECOND + 100 * MS, [SLEEPER])
    (latency,) = done.samples("sleeper")
    assert latency >= 3 * MS


def test_anybody_preempts_an_idle_policy_task() -> None:
    b = machine()
    b.hog("idle", 0, [0], es.IDLE_POLICY, 0)
    task = b.periodic(
        "batch", 0, [0], es.BATCH, 19, period_ns=SECOND, first_ns=SECOND + MS, work=b.constant(US), slack_ns=0
    )
    assert run(b, 2 * SECOND, [task]).samples("batch") == [0]


def cfs_queue(*entities: On) -> State:
    """A CPU on which task 0 runs and the others wait."""
    return queue(machine(), entities, running=True)


def niced(*nices: int) -> list[On]:
    return [On(weight=nice_weight(nice)) for nice in nices]


@pytest.mark.parametrize(
    ("nice", "granularity"),
    [(0, 4 * MS), (-10, 4 * MS * 1024 // 9548), (10, 4 * MS * 1024 // 110)],
)
def test_a_wakee_preempts_when_it_is_more_than_its_granularity_behind(nice: int, granularity: int) -> None:
    for behind, preempts in ((granularity, False), (granularity + 1, True)):
        state = cfs_queue(On(behind), On(0, weight=nice_weight(nice)))
        assert bool(cfs.check_preempt_wakeup(state, 1, 0, 1)) is preempts
        assert int(state.cfs_rqs[0]["next"]) == (1 if preempts else es.NONE)


def test_a_success_on_a_queue_of_eight_makes_the_preempted_task_the_last_buddy() -> None:
    for count, last in ((7, es.NONE), (8, 0)):
        state = cfs_queue(On(5 * MS), *[On()] * (count - 1))
        cfs.note_preempted(state, 0)
        assert int(state.cfs_rqs[0]["last"]) == last


@pytest.mark.parametrize(
    ("lead", "next_buddy", "last_buddy", "picked"),
    [
        (4 * MS, 2, es.NONE, 2), (4 * MS + 1, 2, es.NONE, 1),  # within a granularity of the leftmost, or not
        (4 * MS, es.NONE, 2, 2), (4 * MS + 1, es.NONE, 2, 1),
        (0, 2, 1, 2), (0, es.NONE, es.NONE, 1),
    ],
)  # fmt: skip
def test_a_buddy_is_picked_if_that_is_fair(lead: int, next_buddy: int, last_buddy: int, picked: int) -> None:
    state = cfs_queue(On(50 * MS), On(0), On(lead))
    state.cfs_rqs[0]["next"], state.cfs_rqs[0]["last"] = next_buddy, last_buddy
    assert cfs.pick_next_entity(state, 0) == picked


def test_the_running_task_stays_unless_somebody_is_strictly_or_equally_behind() -> None:
    assert cfs.pick_next_entity(cfs_queue(On(4), On(5)), 0) == 0
    assert cfs.pick_next_entity(cfs_queue(On(5), On(5)), 0) == 1


@pytest.mark.parametrize(
    ("vruntimes", "picked"),
    [
        ((0, 4 * MS, 9 * MS), 1), ((0, 4 * MS + 1, 9 * MS), 0),  # the runner skips itself for the second
        ((5 * MS, 0, 9 * MS), 1),  # who is to be skipped is not the first: nothing to do
    ],
)  # fmt: skip
def test_the_skip_buddy_is_passed_over_if_that_is_fair(vruntimes: tuple[int, ...], picked: int) -> None:
    state = cfs_queue(*map(On, vruntimes))
    state.cfs_rqs[0]["skip"] = 0
    assert cfs.pick_next_entity(state, 0) == picked


def test_a_skip_buddy_that_waits_first_is_passed_over_for_the_second_or_for_the_runner() -> None:
    for runner, picked in ((9 * MS, 2), (1 * MS, 0)):
        state = cfs_queue(On(runner), On(0), On(2 * MS))
        state.cfs_rqs[0]["skip"] = 1
        assert cfs.pick_next_entity(state, 0) == picked


# ---- placement and ticks, decision by decision ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "placed"), [(0, 988 * MS), (988 * MS - 1, 988 * MS), (988 * MS + 1, 988 * MS + 1), (2 * SECOND, 2 * SECOND)]
)
def test_a_sleeper_is_placed_at_most_12_ms_behind_the_queue(own: int, placed: int) -> None:
    state = cfs_queue(On(), On(own))
    state.cfs_rqs[0]["min_vruntime"] = SECOND
    cfs.place_entity(state, 0, 1, False)
    assert int(state.entities[1]["vruntime"]) == placed


def test_an_idle_sleeper_is_placed_half_the_least_slice_behind() -> None:
    state = cfs_queue(On(), On(policy=es.IDLE_POLICY, weight=3))
    state.cfs_rqs[0]["min_vruntime"] = SECOND
    cfs.place_entity(state, 0, 1, False)
    assert int(state.entities[1]["vruntime"]) == SECOND - 1_500 * US


def test_a_new_task_starts_a_virtual_slice_ahead() -> None:
    state = cfs_queue(*niced(0, 5))
    state.cfs_rqs[0]["min_vruntime"] = SECOND
    cfs.place_entity(state, 0, 1, True)
    slice_ns = 24 * MS * 335 // 1359
    assert int(state.entities[1]["vruntime"]) == SECOND + slice_ns * 1024 // 335


def test_slices_are_shares_of_the_period_and_3_ms_at_least() -> None:
    state = cfs_queue(*niced(0, 5, 19))
    slices = [cfs.slice_ns(state, 0, task) for task in range(3)]
    assert slices == [24 * MS * 1024 // 1374, 24 * MS * 335 // 1374, 3 * MS]
    assert cfs.slice_ns(cfs_queue(*niced(*[0] * 9)), 0, 4) == 3 * MS
    assert cfs.slice_ns(cfs_queue(*niced(-5, *[0] * 9)), 0, 0) == 30 * MS * 3121 // (3121 + 9 * 1024)


def test_an_idle_entity_among_others_has_the_least_slice_of_idle_ones() -> None:
    state = queue(machine(idle_min_granularity=750 * US), [On(), On(policy=es.IDLE_POLICY, weight=3)], running=True)
    assert cfs.slice_ns(state, 0, 1) == 750 * US


@pytest.mark.parametrize(
    ("ran", "lead", "ends"),
    [
        (12 * MS, 0, False), (12 * MS + 1, 0, True),  # the slice itself
        (3 * MS - 1, 13 * MS, False), (3 * MS, 12 * MS, False), (3 * MS, 12 * MS + 1, True),  # far ahead after 3 ms
    ],
)  # fmt: skip
def test_when_a_tick_ends_the_slice(ran: int, lead: int, ends: bool) -> None:
    state = cfs_queue(On(lead), On(0))
    state.entities[0]["sum_exec"] = ran
    assert bool(cfs.check_preempt_tick(state, 0, 0)) is ends


def test_a_switch_inside_a_group_begins_no_new_turn_of_the_group() -> None:
    """Slices of 24 ms / 4 = 6 ms inside, which ticks make 8; the group itself has 12, which ticks make 16."""
    b = machine()
    group = b.group("group")
    for name in ("a", "b"):
        b.hog(name, 0, [0], es.OTHER, 0, group=group)
    b.hog("beside", 0, [0], es.OTHER, 0)
    ran = stretches(run(b, SECOND).switches())[1:]
    assert ran[:9] == [("beside", 16 * MS), ("a", 8 * MS), ("b", 8 * MS)] * 3
