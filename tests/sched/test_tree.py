"""The timeline against a sorted list: order, first, extremes of subtrees, and depth."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsim.engine import constants as es
from rtsim.engine.state import State
from rtsim.sched import tree
from tests.engine.small import machine
from tests.sched.queues import timeline

Key = tuple[int, int, int]
"""Key, vruntime and slice of an entity."""


def empty(entities: int) -> State:
    b = machine()
    for row in range(entities):
        b.hog(str(row), 0, [0], es.OTHER, 0)
    return b.build(watched=[])[0]


def insert(state: State, row: int, key: Key) -> None:
    e = state.entities[row]
    e["key"], e["vruntime"], e["slice"] = key
    tree.insert(state, 0, row)


def check_subtree(state: State, row: int, up: int) -> tuple[int, int, int]:
    """Check what each entity knows of its subtree, the heap and the links; return (least vruntime, slices)."""
    e = state.entities[row]
    assert int(e["up"]) == up
    known = (int(e["vruntime"]), int(e["slice"]), int(e["slice"]))
    for child in (int(e["left"]), int(e["right"])):
        if child >= 0:
            assert int(state.entities[child]["heap"]) <= int(e["heap"])
            below = check_subtree(state, child, row)
            known = (min(known[0], below[0]), min(known[1], below[1]), max(known[2], below[2]))
    assert (int(e["min_vruntime"]), int(e["min_slice"]), int(e["max_slice"])) == known
    return known


def depth(state: State, row: int) -> int:
    if row < 0:
        return 0
    return 1 + max(depth(state, int(state.entities[row]["left"])), depth(state, int(state.entities[row]["right"])))


numbers = st.integers(-3, 12)
operations = st.lists(st.tuples(st.integers(0, 15), st.tuples(numbers, numbers, numbers)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(operations=operations)
def test_insertions_and_removals_keep_order_first_and_extremes(operations: list[tuple[int, Key]]) -> None:
    """Each operation puts an entity in, or takes it out if it is there; equals stay in order of arrival."""
    state = empty(16)
    expected: list[tuple[int, int, int]] = []
    for arrival, (row, key) in enumerate(operations):
        present = next((entry for entry in expected if entry[2] == row), None)
        if present is None:
            insert(state, row, key)
            expected.append((key[0], arrival, row))
        else:
            tree.erase(state, 0, row)
            expected.remove(present)
        order = [row for _, _, row in sorted(expected)]
        assert timeline(state) == order
        assert int(state.cfs_rqs[0]["leftmost"]) == (order[0] if order else es.NONE)
        if order:
            check_subtree(state, int(state.cfs_rqs[0]["root"]), es.NONE)
            assert [tree.following(state, row) for row in order] == [*order[1:], es.NONE]


@settings(max_examples=50, deadline=None)
@given(slices=st.lists(numbers, min_size=2, max_size=12), changed=st.data())
def test_a_changed_slice_is_known_up_to_the_root(slices: list[int], changed: Any) -> None:
    state = empty(len(slices))
    for row, slice_ns in enumerate(slices):
        insert(state, row, (row, 0, slice_ns))
    row = changed.draw(st.integers(0, len(slices) - 1))
    state.entities[row]["slice"] = changed.draw(numbers)
    tree.propagate(state, row)
    check_subtree(state, int(state.cfs_rqs[0]["root"]), es.NONE)


@pytest.mark.parametrize("order", ["ascending", "descending", "equal"])
def test_the_depth_of_2000_entities_is_logarithmic_in_any_order_of_arrival(order: str) -> None:
    state = empty(2000)
    for row in range(2000):
        insert(state, row, ({"ascending": row, "descending": -row, "equal": 0}[order], 0, 0))
    assert depth(state, int(state.cfs_rqs[0]["root"])) <= 3 * math.log2(2000)
