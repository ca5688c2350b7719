"""EEVDF: whether a woken task preempts, by release; and what protects the one that runs."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.state import State
from rtsim.sched import eevdf
from tests.engine.small import MS, US
from tests.sched.queues import BASE_SLICE, On, eevdf_machine, queue

SHORT = 100 * US
ALL = ("6.6", "6.12", "6.17", "7.2")


def waking(release: str, current: On, other: On, wakee: On, *, protected: bool = True) -> State:
    """Task 0 runs, task 1 waits and task 2 has just been queued."""
    state = queue(eevdf_machine(release), [current, other, wakee], running=True)
    state.entities[0]["protect"] = current.deadline if protected else current.deadline - 1
    return state


def preempts(state: State) -> bool:
    return bool(eevdf.check_preempt_wakeup_fair(state, 2, 0, 2))


@pytest.mark.parametrize("release", ALL)
@pytest.mark.parametrize(
    ("current", "other", "policy", "expected"),
    [
        ((10, 12), (2, 30), es.OTHER, True),  # current is not eligible, the wakee has the earliest deadline
        ((10, 12), (2, 15), es.OTHER, False),  # the other would be picked: no preemption at all
        ((6, 90), (6, 95), es.OTHER, False),  # current is eligible and protected
        ((10, 12), (2, 30), es.BATCH, False),
        ((10, 12), (2, 30), es.IDLE_POLICY, False),
    ],
)
def test_a_wakee_preempts_if_it_would_be_picked(
    release: str, current: tuple[int, int], other: tuple[int, int], policy: int, expected: bool
) -> None:
    assert preempts(waking(release, On(*current), On(*other), On(6, 20, policy=policy))) is expected


@pytest.mark.parametrize("release", ALL)
def test_an_idle_policy_task_loses_its_protection_to_anybody(release: str) -> None:
    state = waking(release, On(6, 90, policy=es.IDLE_POLICY), On(6, 95), On(6, 20, policy=es.BATCH))
    assert preempts(state)
    assert not eevdf.protected(state, 0, 0)


@pytest.mark.parametrize("release", ALL)
def test_an_idle_policy_wakee_preempts_nobody_else(release: str) -> None:
    assert not preempts(waking(release, On(10, 90), On(10, 95), On(0, 1, policy=es.IDLE_POLICY)))


# ---- shorter slices (PREEMPT_SHORT) ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "slice_ns", "expected"),
    [
        ("6.6", SHORT, False), ("6.12", SHORT, True), ("6.12", BASE_SLICE, False), ("6.17", SHORT, True),
        ("6.17", BASE_SLICE, False), ("7.2", SHORT, True), ("7.2", BASE_SLICE, False),
    ],
)  # fmt: skip
def test_a_shorter_slice_overrides_protection_since_6_12(release: str, slice_ns: int, expected: bool) -> None:
    state = waking(release, On(0, 9 * MS), On(0, 9 * MS + 1), On(0, slice_ns, slice=slice_ns))
    assert preempts(state) is expected
    assert bool(eevdf.protected(state, 0, 0)) is not expected


def test_a_shorter_slice_that_is_not_eligible_overrides_nothing() -> None:
    state = waking("6.12", On(0, 9 * MS), On(0, 9 * MS + 1), On(2, 3, slice=SHORT))
    assert not preempts(state)
    assert eevdf.protected(state, 0, 0)


def test_up_to_6_16_protection_is_gone_even_if_another_would_be_picked() -> None:
    """The other waits with the earliest deadline: the wakee does not win, but the running task has lost."""
    entities = On(0, 9 * MS), On(0, 1), On(0, 2, slice=SHORT)
    state = waking("6.12", *entities)
    assert not preempts(state)
    assert not eevdf.protected(state, 0, 0)
    state = waking("6.17", *entities)
    assert not preempts(state)
    assert eevdf.protected(state, 0, 0)


# ---- protection by a virtual time (6.17) and its moves (7.2) --------------------------------------------------------


def protection(release: str, others: list[On], own: On | None = None, **kernel: int) -> int:
    """Return up to where task 0 is protected when it begins to run at 1000."""
    on = own or On(1000, 1000 + BASE_SLICE)
    state = queue(eevdf_machine(release, **kernel), [on, *others], running=True)
    state.cfs_rqs[0]["curr"] = es.NONE  # as in set_next_entity: not yet the queue's
    eevdf.protect(state, 0, 0)
    return int(state.entities[0]["protect"])


@pytest.mark.parametrize(
    ("release", "slices", "parity", "until"),
    [
        ("6.12", [SHORT], 1, 1000 + BASE_SLICE),  # the deadline, whoever waits
        ("6.17", [BASE_SLICE], 1, 1000 + BASE_SLICE),
        ("6.17", [2 * BASE_SLICE], 1, 1000 + BASE_SLICE),
        ("6.17", [BASE_SLICE, SHORT], 1, 1000 + SHORT),  # the shortest slice in the queue
        ("6.17", [], 1, 1000 + BASE_SLICE),
        ("6.17", [BASE_SLICE, SHORT], 0, 1000 + 700 * US),  # without run to parity the quantum
        ("7.2", [BASE_SLICE, SHORT], 1, 1000 + SHORT),
    ],
)
def test_how_far_a_task_that_begins_to_run_is_protected(
    release: str, slices: list[int], parity: int, until: int
) -> None:
    others = [On(1000, 1000 + slice_ns, slice=slice_ns) for slice_ns in slices]
    assert protection(release, others, run_to_parity=parity) == until


def test_protection_never_exceeds_the_deadline_and_counts_in_virtual_time() -> None:
    late = On(1000, 1000 + SHORT // 2)
    assert protection("6.17", [On(slice=SHORT)], late) == 1000 + SHORT // 2
    heavy = On(1000, 1000 + MS, weight=2048)
    assert protection("6.17", [On(slice=SHORT)], heavy) == 1000 + SHORT // 2


@pytest.mark.parametrize(
    ("release", "slice_ns", "until"),
    [
        ("6.17", SHORT, 500 + SHORT),  # a losing wakee with a shorter slice moves it
        ("6.17", BASE_SLICE, 9 * MS),  # one with an equal slice does not
        ("7.2", SHORT, 500 + SHORT),
        ("7.2", BASE_SLICE, 500 + BASE_SLICE),  # since 7.0 any does
    ],
)
def test_a_wakee_that_loses_moves_the_protection_of_the_running_task(release: str, slice_ns: int, until: int) -> None:
    """The wakee is not eligible: it loses whatever its slice."""
    state = waking(release, On(500, 9 * MS), On(500, 10 * MS), On(9 * MS, 99 * MS, slice=slice_ns))
    assert not preempts(state)
    assert int(state.entities[0]["protect"]) == until


@pytest.mark.parametrize(
    ("release", "vruntime", "protect", "lost"),
    [
        ("6.6", 9, 0, False),  # nothing but the end of its slice sends it away
        ("6.12", 9, 0, True), ("6.12", 9, 50, False),  # not eligible; protected all the same
        ("6.12", 1, 0, False),  # eligible
        ("6.17", 9, 9, True), ("6.17", 9, 10, False), ("6.17", 1, 1, True),  # eligible or not
    ],
)  # fmt: skip
def test_when_a_running_task_has_to_give_way_for_lost_protection(
    release: str, vruntime: int, protect: int, lost: bool
) -> None:
    state = queue(eevdf_machine(release), [On(vruntime, 50), On(5, 60)], running=True)
    state.entities[0]["protect"] = protect
    assert bool(eevdf.lost_protection(state, 0, 0)) is lost
