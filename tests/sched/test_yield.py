"""sched_yield and KVM's directed yield: who steps back, by how much and for whom."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.sched import fair
from tests.engine.small import MS, machine
from tests.sched.queues import BASE_SLICE, On, eevdf_machine, place, queue, take_out


@pytest.mark.parametrize(
    ("release", "vruntime", "after"),
    [
        ("6.12", 0, (0, 700 + 2 * BASE_SLICE)),  # its deadline is put off by a request
        ("6.12", 9, (9, 700 + 2 * BASE_SLICE)),
        ("6.18.45", 0, (700, 700 + 2 * BASE_SLICE)),  # it gives the rest of its request up, and asks anew
        ("6.18.45", 9, (9, 700)),  # unless it is not eligible
    ],
)
def test_an_eevdf_task_of_half_the_weight_steps_back(release: str, vruntime: int, after: tuple[int, int]) -> None:
    """A request of half the weight is twice as long in virtual time."""
    state = queue(eevdf_machine(release), [On(vruntime, 700, weight=512), On(5, 2000)], running=True)
    fair.yield_task_fair(state, 0)
    e = state.entities[0]
    assert (int(e["vruntime"]), int(e["deadline"])) == after


@pytest.mark.parametrize("kind", [es.CFS, es.EEVDF])
def test_who_is_alone_does_not_step_back(kind: int) -> None:
    state = queue(machine(fair=kind), [On(0, 700)], running=True)
    fair.yield_task_fair(state, 0)
    assert int(state.entities[0]["deadline"]) == 700
    assert int(state.cfs_rqs[0]["skip"]) == es.NONE


def test_a_cfs_task_is_to_be_skipped_at_every_level() -> None:
    b = machine()
    outer = b.group("outer")
    b.hog("task", 0, [0], es.OTHER, 0, group=b.group("inner", parent=outer))
    b.hog("other", 0, [0], es.OTHER, 0)
    state, _ = b.build(watched=[])
    place(state, 1, On())
    place(state, 0, On(), running=True)
    fair.yield_task_fair(state, 0)
    outer_entity, inner_entity = 2, 3
    skips = {int(q["group"]): int(q["skip"]) for q in state.cfs_rqs}
    assert skips == {es.NONE: outer_entity, 0: inner_entity, 1: 0}


@pytest.mark.parametrize(("lead", "picked"), [(4 * MS, 2), (4 * MS + 1, 1)])
def test_yield_to_names_the_next_if_that_is_fair(lead: int, picked: int) -> None:
    state = queue(machine(), [On(), On(1), On(lead)], running=True)
    assert fair.yield_to_task_fair(state, 0, 2)
    assert fair.pick_task_fair(state, 0) == picked


def test_yield_to_a_sleeper_fails_and_nobody_steps_back() -> None:
    state = queue(machine(), [On(), On()], running=True)
    take_out(state, 1)
    assert not fair.yield_to_task_fair(state, 0, 1)
    assert int(state.cfs_rqs[0]["skip"]) == es.NONE
