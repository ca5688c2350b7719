"""The event calendar: a 4-ary heap over a fixed set of slots, each armed for one time or not at all.

A slot is one thing that can happen (this CPU's stretch ends, that source strikes). Slots are numbered by rank of their
kind, then by entity, so that (time, slot) is the documented order of ties (time, rank, entity). Re-arming moves a slot
where it stands. The slot whose event is being handled keeps its place, being the minimum, until its handler has
re-armed it or has returned.
"""

from __future__ import annotations

from rtsim.engine.jit import handler
from rtsim.engine.state import NEVER, State

__all__ = ["arm", "disarm", "finish_event", "next_event", "slot_time"]


@handler
def _before(time_a: int, slot_a: int, time_b: int, slot_b: int) -> bool:
    return time_a < time_b or (time_a == time_b and slot_a < slot_b)


@handler
def _sift_up(s: State, position: int, time: int, slot: int) -> None:
    heap = s.calendar
    while position > 0:
        parent = (position - 1) >> 2
        above = heap[parent]
        if not _before(time, slot, above.time, above.slot):
            break
        heap[position].time = above.time
        heap[position].slot = above.slot
        heap[above.slot].position = position
        position = parent
    heap[position].time = time
    heap[position].slot = slot
    heap[slot].position = position


@handler
def _sift_down(s: State, position: int, time: int, slot: int) -> None:
    heap = s.calendar
    size = s.m[0].heap_size
    while True:
        child = 4 * position + 1
        if child >= size:
            break
        best = child
        last = min(child + 4, size)
        for other in range(child + 1, last):
            if _before(heap[other].time, heap[other].slot, heap[best].time, heap[best].slot):
                best = other
        below = heap[best]
        if not _before(below.time, below.slot, time, slot):
            break
        heap[position].time = below.time
        heap[position].slot = below.slot
        heap[below.slot].position = position
        position = best
    heap[position].time = time
    heap[position].slot = slot
    heap[slot].position = position


@handler
def arm(s: State, slot: int, time: int) -> None:
    """Let `slot` happen at `time`, instead of when it was armed for."""
    m = s.m[0]
    if m.handling == slot:
        m.handling = -1
    position = s.calendar[slot].position
    if position < 0:
        position = m.heap_size
        m.heap_size += 1
        _sift_up(s, position, time, slot)
    elif time < s.calendar[position].time:
        _sift_up(s, position, time, slot)
    else:
        _sift_down(s, position, time, slot)


@handler
def disarm(s: State, slot: int) -> None:
    """Let `slot` not happen."""
    m = s.m[0]
    position = s.calendar[slot].position
    if position < 0 or m.handling == slot:
        return
    s.calendar[slot].position = -1
    m.heap_size -= 1
    last = s.calendar[m.heap_size]
    if position == m.heap_size:
        return
    time, moved = last.time, last.slot
    if _before(time, moved, s.calendar[position].time, s.calendar[position].slot):
        _sift_up(s, position, time, moved)
    else:
        _sift_down(s, position, time, moved)


@handler
def slot_time(s: State, slot: int) -> int:
    """Return when `slot` happens, NEVER if it is not armed or happens now."""
    position = s.calendar[slot].position
    if position < 0 or s.m[0].handling == slot:
        return NEVER
    return s.calendar[position].time


@handler
def next_event(s: State) -> int:
    """Return the slot that happens next, and mark it as being handled; the calendar must not be empty."""
    slot = s.calendar[0].slot
    s.m[0].handling = slot
    return slot


@handler
def finish_event(s: State) -> None:
    """Take the handled slot off the calendar unless its handler armed it anew."""
    slot = s.m[0].handling
    if slot >= 0:
        s.m[0].handling = -1
        disarm(s, slot)
