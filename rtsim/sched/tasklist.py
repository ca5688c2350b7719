"""Lists of tasks of a CPU: one a realtime priority, the stop class first; and its fair tasks, latest run first."""

from __future__ import annotations

from rtsim.engine.constants import LISTS, NONE
from rtsim.engine.jit import handler
from rtsim.engine.state import State

__all__ = ["fair_list", "link", "rt_list", "stop_list", "unlink"]


@handler
def rt_list(cpu: int, prio: int) -> int:
    """Return the list of the realtime tasks of kernel priority `prio` of `cpu`."""
    return cpu * LISTS + prio + 1


@handler
def stop_list(cpu: int) -> int:
    """Return the list of the stop tasks of `cpu`."""
    return cpu * LISTS


@handler
def fair_list(cpu: int) -> int:
    """Return the list of the fair tasks of `cpu` (rq->cfs_tasks)."""
    return cpu * LISTS + LISTS - 1


@handler
def link(s: State, row: int, task: int, at_head: bool) -> None:
    """Put `task` at the head or the tail of a list."""
    t = s.tasks[task]
    tasks = s.task_lists[row]
    t.next = tasks.head if at_head else NONE
    t.prev = NONE if at_head else tasks.tail
    if t.next >= 0:
        s.tasks[t.next].prev = task
    else:
        tasks.tail = task
    if t.prev >= 0:
        s.tasks[t.prev].next = task
    else:
        tasks.head = task


@handler
def unlink(s: State, row: int, task: int) -> None:
    """Take `task` out of its list."""
    t = s.tasks[task]
    tasks = s.task_lists[row]
    if t.prev >= 0:
        s.tasks[t.prev].next = t.next
    else:
        tasks.head = t.next
    if t.next >= 0:
        s.tasks[t.next].prev = t.prev
    else:
        tasks.tail = t.prev
