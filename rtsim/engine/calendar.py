"""The event calendar: two 4-ary heaps over a fixed set of slots, each armed for one time or not at all.

A slot is one thing that can happen (this CPU's stretch ends, that source strikes). Slots are numbered by rank of their
kind, then by entity, so that (time, slot) is the documented order of ties (time, rank, entity). What CPUs do next lies
microseconds ahead and changes all the time; what noise sources do next lies far ahead and hardly ever does: a heap each
keeps the busy one small. Re-arming moves a slot where it stands. The slot whose event is being handled keeps its place,
being the minimum, until its handler has re-armed it or has returned.
"""

from __future__ import annotations

from rtsim.engine.constants import NEVER
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State

__all__ = ["arm", "disarm", "finish_event", "next_event", "next_time", "slot_time", "source_slot"]


@handler
def source_slot(s: State, source: int) -> int:
    """Return the slot of the next arrival of noise source `source`."""
    return s.m[0].source_slots + source


@handler
def _heap_of(s: State, slot: int) -> int:
    return 0 if slot < s.m[0].source_slots else 1


@handler
def _first(s: State, heap: int) -> int:
    """Return the position of the root of `heap`."""
    return 0 if heap == 0 else s.m[0].source_slots


@handler
def _before(time_a: int, slot_a: int, time_b: int, slot_b: int) -> bool:
    # no branches: which comes first is as good as random, and a mispredicted branch costs more than both tests
    return (time_a < time_b) | ((time_a == time_b) & (slot_a < slot_b))


@handler
def _sift_up(s: State, first: int, position: int, time: int, slot: int) -> None:
    entries = s.calendar
    while position > first:
        parent = first + ((position - first - 1) >> 2)
        above = entries[parent]
        if not _before(time, slot, above.time, above.slot):
            break
        entries[position].time = above.time
        entries[position].slot = above.slot
        entries[above.slot].position = position
        position = parent
    entries[position].time = time
    entries[position].slot = slot
    entries[slot].position = position


@handler
def _sift_down(s: State, first: int, end: int, position: int, time: int, slot: int) -> None:
    entries = s.calendar
    while True:
        child = first + 4 * (position - first) + 1
        if child >= end:
            break
        best, best_time, best_slot = child, entries[child].time, entries[child].slot
        for other in range(child + 1, min(child + 4, end)):
            other_time, other_slot = entries[other].time, entries[other].slot
            if _before(other_time, other_slot, best_time, best_slot):
                best, best_time, best_slot = other, other_time, other_slot
        if not _before(best_time, best_slot, time, slot):
            break
        entries[position].time = best_time
        entries[position].slot = best_slot
        entries[best_slot].position = position
        position = best
    entries[position].time = time
    entries[position].slot = slot
    entries[slot].position = position


@handler
def arm(s: State, slot: int, time: int) -> None:
    """Let `slot` happen at `time`, instead of when it was armed for."""
    m = s.m[0]
    if m.handling == slot:
        m.handling = -1
    heap = _heap_of(s, slot)
    first = _first(s, heap)
    position = s.calendar[slot].position
    if position < 0:
        position = first + m.heap_size[heap]
        m.heap_size[heap] += 1
        _sift_up(s, first, position, time, slot)
    elif time < s.calendar[position].time:
        _sift_up(s, first, position, time, slot)
    else:
        _sift_down(s, first, first + m.heap_size[heap], position, time, slot)


@inlined
def disarm(s: State, slot: int) -> None:
    """Let `slot` not happen."""
    m = s.m[0]
    position = s.calendar[slot].position
    if position < 0 or m.handling == slot:
        return
    heap = _heap_of(s, slot)
    first = _first(s, heap)
    s.calendar[slot].position = -1
    m.heap_size[heap] -= 1
    end = first + m.heap_size[heap]
    if position == end:
        return
    time, moved = s.calendar[end].time, s.calendar[end].slot
    if _before(time, moved, s.calendar[position].time, s.calendar[position].slot):
        _sift_up(s, first, position, time, moved)
    else:
        _sift_down(s, first, end, position, time, moved)


@inlined
def slot_time(s: State, slot: int) -> int:
    """Return when `slot` happens, NEVER if it is not armed or happens now."""
    position = s.calendar[slot].position
    if position < 0 or s.m[0].handling == slot:
        return NEVER
    return s.calendar[position].time


@handler
def _next_heap(s: State) -> int:
    """Return the heap that holds the next event, -1 if both are empty."""
    m = s.m[0]
    if m.heap_size[1] == 0:
        return 0 if m.heap_size[0] > 0 else -1
    if m.heap_size[0] == 0:
        return 1
    # a CPU's slot is always lower than a source's, so it wins a tie
    return 0 if s.calendar[0].time <= s.calendar[m.source_slots].time else 1


@inlined
def next_time(s: State) -> int:
    """Return when the next event happens, NEVER if nothing is armed."""
    heap = _next_heap(s)
    if heap < 0:
        return NEVER
    return s.calendar[_first(s, heap)].time


@inlined
def next_event(s: State) -> int:
    """Return the slot that happens next, and mark it as being handled; the calendar must not be empty."""
    slot = s.calendar[_first(s, _next_heap(s))].slot
    s.m[0].handling = slot
    return slot


@inlined
def finish_event(s: State) -> None:
    """Take the handled slot off the calendar unless its handler armed it anew."""
    slot = s.m[0].handling
    if slot >= 0:
        s.m[0].handling = -1
        disarm(s, slot)
