"""The stop class: the kernel's own threads that no task preempts, run to completion (``stop_task.c``)."""

from __future__ import annotations

from rtsim.engine.constants import RUNNABLE, STOP
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import tasklist
from rtsim.sched.resched import clock_task

__all__ = [
    "block_task_stop",
    "dequeue_task_stop",
    "enqueue_task_stop",
    "pick_task_stop",
    "put_prev_task_stop",
    "set_next_task_stop",
    "update_curr_stop",
]


@handler
def enqueue_task_stop(s: State, cpu: int, task: int) -> None:
    """Queue `task` on `cpu`."""
    tasklist.link(s, tasklist.stop_list(cpu), task, False)
    s.cpus[cpu].nr_running += 1


@handler
def dequeue_task_stop(s: State, cpu: int, task: int) -> None:
    """Take a waiting `task` off `cpu`."""
    tasklist.unlink(s, tasklist.stop_list(cpu), task)
    s.cpus[cpu].nr_running -= 1


@handler
def block_task_stop(s: State, cpu: int) -> None:
    """Take the running task off `cpu`: it sleeps."""
    update_curr_stop(s, cpu)
    s.cpus[cpu].nr_running -= 1


@handler
def pick_task_stop(s: State, cpu: int) -> int:
    """Return the stop task to run, the running one as long as it is runnable; -1 if there is none."""
    curr = s.cpus[cpu].curr
    if curr >= 0 and s.tasks[curr].policy == STOP and s.tasks[curr].state == RUNNABLE:
        return curr
    return s.task_lists[tasklist.stop_list(cpu)].head


@handler
def put_prev_task_stop(s: State, cpu: int, task: int) -> None:
    """Return `task`, which ran, to its list if it is still runnable."""
    update_curr_stop(s, cpu)
    if s.tasks[task].state == RUNNABLE:
        tasklist.link(s, tasklist.stop_list(cpu), task, True)


@handler
def set_next_task_stop(s: State, cpu: int, task: int) -> None:
    """Take `task`, which is to run, out of its list and start its account."""
    tasklist.unlink(s, tasklist.stop_list(cpu), task)
    s.entities[task].exec_start = clock_task(s, cpu)


@handler
def update_curr_stop(s: State, cpu: int) -> None:
    """Charge the running stop task."""
    e = s.entities[s.cpus[cpu].curr]
    now = clock_task(s, cpu)
    e.sum_exec += max(now - e.exec_start, 0)
    e.exec_start = max(now, e.exec_start)
