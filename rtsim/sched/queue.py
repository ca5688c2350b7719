"""Run queues: doubly linked lists through the task rows, kept in order by a key the class chooses."""

from __future__ import annotations

from rtsim.engine.jit import handler
from rtsim.engine.state import State

__all__ = ["link_between", "unlink"]


@handler
def link_between(s: State, task: int, before: int, after: int) -> None:
    """Link `task` between two neighbours (-1: none); the caller keeps the queue's head."""
    t = s.tasks[task]
    t.prev = before
    t.next = after
    t.queued = 1
    if before >= 0:
        s.tasks[before].next = task
    if after >= 0:
        s.tasks[after].prev = task


@handler
def unlink(s: State, task: int) -> None:
    """Take `task` out of its queue; the caller mends the queue's head."""
    t = s.tasks[task]
    if t.prev >= 0:
        s.tasks[t.prev].next = t.next
    if t.next >= 0:
        s.tasks[t.next].prev = t.prev
    t.queued = 0
