"""The calendar against a plain dictionary: earliest time first, ties by slot number, whatever is armed meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtsim.engine import calendar
from rtsim.engine.builder import Builder
from rtsim.engine.constants import NEVER, NOISE_IRQ
from rtsim.engine.state import State
from tests.engine.called import called
from tests.engine.small import machine

arm = called(calendar.arm)
disarm = called(calendar.disarm)
next_event = called(calendar.next_event)
next_time = called(calendar.next_time)
slot_time = called(calendar.slot_time)
finish_event = called(calendar.finish_event)

CPUS, SOURCES = 6, 14
SLOTS = 3 * CPUS + SOURCES
"""18 and 14: heaps of three levels, with grandchildren under several children: what disarming could get wrong."""

slots = st.integers(0, SLOTS - 1)
times = st.integers(0, 12)
"""Few, so that ties are common."""
changes = st.lists(st.tuples(slots, st.none() | times), max_size=12)
"""Arm a slot for a time, or (None) disarm it."""


def empty() -> State:
    b: Builder = machine(CPUS)
    for number in range(SOURCES):
        b.source(f"source{number}", NOISE_IRQ, duration=b.constant(0), cpu=0, period_ns=1)
    state, _ = b.build(watched=[])
    assert len(state.calendar) == SLOTS
    return state


def apply(state: State, model: dict[int, int], change: tuple[int, int | None]) -> None:
    slot, time = change
    if time is None:
        disarm(state, slot)
        model.pop(slot, None)
    else:
        arm(state, slot, time)
        model[slot] = time


def earliest(model: dict[int, int]) -> int:
    return min(model, key=lambda slot: (model[slot], slot))


def check(state: State, model: dict[int, int]) -> None:
    assert [slot_time(state, slot) for slot in range(SLOTS)] == [model.get(s, NEVER) for s in range(SLOTS)]
    assert next_time(state) == min(model.values(), default=NEVER)
    if model:
        assert next_event(state) == earliest(model)
        state.m[0]["handling"] = -1  # only looked


@settings(max_examples=300, deadline=None)
@given(changes=st.lists(st.tuples(slots, st.none() | times), max_size=60))
def test_the_earliest_armed_slot_stands_first_after_every_change(changes: list[tuple[int, int | None]]) -> None:
    state, model = empty(), dict[int, int]()
    for change in changes:
        apply(state, model, change)
        check(state, model)


@settings(max_examples=300, deadline=None)
@given(armed=st.dictionaries(slots, times))
def test_events_come_in_the_order_of_time_then_slot(armed: dict[int, int]) -> None:
    state = empty()
    for slot, time in armed.items():
        arm(state, slot, time)
    order = []
    while next_time(state) != NEVER:
        order.append(next_event(state))
        finish_event(state)
    assert order == sorted(armed, key=lambda slot: (armed[slot], slot))


@settings(max_examples=300, deadline=None)
@given(order=st.permutations(range(SLOTS)), disarmed=st.lists(slots, max_size=SLOTS))
def test_disarming_keeps_the_rest_of_a_full_calendar_in_order(order: list[int], disarmed: list[int]) -> None:
    state, model = empty(), dict[int, int]()
    for slot, time in enumerate(order):
        apply(state, model, (slot, time))
    for slot in disarmed:
        apply(state, model, (slot, None))
    while model:
        assert next_event(state) == earliest(model)
        finish_event(state)
        del model[earliest(model)]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(armed=st.dictionaries(slots, times, min_size=1), handlers=st.lists(changes, max_size=12))
def test_a_handler_may_arm_and_disarm_anything_its_own_slot_included(
    armed: dict[int, int], handlers: list[list[tuple[int, int | None]]]
) -> None:
    state, model = empty(), dict(armed)
    for slot, time in armed.items():
        arm(state, slot, time)
    now = 0
    for handler in handlers:
        if not model:
            break
        handled = next_event(state)
        assert handled == earliest(model)
        now = model.pop(handled)  # what is handled is no longer armed ...
        assert slot_time(state, handled) == NEVER
        for slot, delay in handler:  # ... unless its own handler arms it anew; handlers never arm the past
            apply(state, model, (slot, None if delay is None else now + delay))
            assert slot_time(state, slot) == model.get(slot, NEVER)
        finish_event(state)
        check(state, model)


@pytest.mark.parametrize("again", [3, 7])
def test_the_handled_slot_can_be_armed_for_now_or_later(again: int) -> None:
    state = empty()
    arm(state, 4, 3)
    arm(state, 5, 3)
    assert next_event(state) == 4
    arm(state, 4, again)
    finish_event(state)
    assert slot_time(state, 4) == again
    assert next_event(state) == (4 if again == 3 else 5)
