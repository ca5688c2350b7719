"""The scheduling classes, strongest first: stop > deadline > realtime > fair. Each operation goes to its class."""

from __future__ import annotations

from rtsim.engine.constants import DEADLINE, NEVER, NONE, OTHER, STOP
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State
from rtsim.sched import deadline, dl_entity, fair, fair_server, rt, stop

__all__ = [
    "block_task",
    "class_of",
    "dequeue_task",
    "enqueue_task",
    "move_task",
    "pick_task",
    "put_prev_task",
    "set_next_task",
    "slice_end_in",
    "task_tick",
    "update_curr",
    "wakeup_preempts",
    "yield_task",
]

STOP_CLASS, DL_CLASS, RT_CLASS, FAIR_CLASS, IDLE_CLASS = 0, 1, 2, 3, 4
"""Classes, strongest first."""


@handler
def class_of(s: State, task: int) -> int:
    """Return the class of `task`; -1 stands for the idle task."""
    if task < 0:
        return IDLE_CLASS
    policy = s.tasks[task].policy
    if policy == STOP:
        return STOP_CLASS
    if policy == DEADLINE:
        return DL_CLASS
    return FAIR_CLASS if policy >= OTHER else RT_CLASS


# ---- joining and leaving --------------------------------------------------------------------------------------------


@handler
def enqueue_task(s: State, cpu: int, task: int, initial: bool) -> None:
    """Queue `task` on `cpu`: it wakes, or runs from the start."""
    which = class_of(s, task)
    if which == FAIR_CLASS:
        fair.enqueue_task_fair(s, cpu, task, initial)
    elif which == RT_CLASS:
        rt.enqueue_task_rt(s, cpu, task, False)
    elif which == DL_CLASS:
        deadline.enqueue_task_dl(s, task, initial)
    else:
        stop.enqueue_task_stop(s, cpu, task)


@handler
def dequeue_task(s: State, cpu: int, task: int) -> None:
    """Take a waiting `task` off `cpu`: it changes CPU."""
    which = class_of(s, task)
    if which == FAIR_CLASS:
        fair.dequeue_task_fair(s, cpu, task, False)
    elif which == RT_CLASS:
        rt.dequeue_task_rt(s, cpu, task)
    elif which == DL_CLASS:
        deadline.dequeue_task_dl(s, cpu, task)
    else:
        stop.dequeue_task_stop(s, cpu, task)


@handler
def move_task(s: State, cpu: int, task: int) -> None:
    """Queue a `task` that has come to `cpu` from another one, awake."""
    if class_of(s, task) == DL_CLASS:
        deadline.move_task_dl(s, task)
    else:
        enqueue_task(s, cpu, task, False)


@inlined
def block_task(s: State, cpu: int, task: int) -> None:
    """Take the running `task` out of its class: it sleeps."""
    which = class_of(s, task)
    if which == FAIR_CLASS:
        fair.dequeue_task_fair(s, cpu, task, True)
    elif which == RT_CLASS:
        rt.block_task_rt(s, cpu)
    elif which == DL_CLASS:
        deadline.dequeue_task_dl(s, cpu, task)
    else:
        stop.block_task_stop(s, cpu)


# ---- accounts -------------------------------------------------------------------------------------------------------


@handler
def update_curr(s: State, cpu: int) -> None:
    """Charge the running task, or idleness, up to the run queue's clock."""
    which = class_of(s, s.cpus[cpu].curr)
    if which == FAIR_CLASS:
        fair.update_curr_fair(s, cpu)
    elif which == RT_CLASS:
        rt.update_curr_rt(s, cpu)
    elif which == DL_CLASS:
        deadline.update_curr_dl(s, cpu)
    elif which == STOP_CLASS:
        stop.update_curr_stop(s, cpu)
    else:
        fair_server.update_curr_idle(s, cpu)


@handler
def task_tick(s: State, cpu: int) -> None:
    """Let the class of the running task see the tick."""
    which = class_of(s, s.cpus[cpu].curr)
    if which == FAIR_CLASS:
        fair.task_tick_fair(s, cpu)
    elif which == RT_CLASS:
        rt.task_tick_rt(s, cpu)
    else:
        update_curr(s, cpu)


@handler
def slice_end_in(s: State, cpu: int) -> int:
    """Return how long the running task has to run before `update_curr` might mark its CPU (ns; NEVER: it will not)."""
    which = class_of(s, s.cpus[cpu].curr)
    if which == FAIR_CLASS:
        return fair.slice_end_in(s, cpu)
    if which == RT_CLASS:
        return rt.budget_left(s, cpu)
    if which == DL_CLASS:
        return deadline.budget_left(s, cpu)
    return NEVER


# ---- turns ----------------------------------------------------------------------------------------------------------


@handler
def wakeup_preempts(s: State, cpu: int, task: int) -> bool:
    """Return whether `task`, just queued on `cpu`, is to run instead of what runs there (wakeup_preempt)."""
    curr = s.cpus[cpu].curr
    which = class_of(s, task)
    if which != class_of(s, curr):
        return which < class_of(s, curr)
    if which == FAIR_CLASS:
        return s.cpus[cpu].need_resched != 1 and fair.check_preempt_wakeup(s, cpu, task)
    if which == RT_CLASS:
        return rt.check_preempt_curr_rt(s, cpu, task)
    return which == DL_CLASS and deadline.wakeup_preempt_dl(s, cpu, task)


@handler
def yield_task(s: State, cpu: int) -> None:
    """Let the running task give way as its class has it (sched_yield)."""
    curr = s.cpus[cpu].curr
    which = class_of(s, curr)
    if which == FAIR_CLASS:
        fair.yield_task_fair(s, cpu)
    elif which == RT_CLASS:
        s.tasks[curr].to_tail = 1
    elif which == DL_CLASS:
        deadline.yield_task_dl(s, cpu)


@handler
def _pick_task_dl(s: State, cpu: int) -> int:
    """Return the task with the earliest deadline, or what the fair server picks in its place; -1 if there is none."""
    while s.cpus[cpu].dl_head >= 0:
        entity = s.cpus[cpu].dl_head
        if not dl_entity.is_server(s, entity):
            return entity
        picked = fair.pick_task_fair(s, cpu)
        if picked >= 0:
            return picked
        fair_server.stop(s, cpu)
    return NONE


@handler
def pick_task(s: State, cpu: int) -> int:
    """Return the task to run, the running one included, of the strongest class that has one; -1 for idle."""
    c = s.cpus[cpu]
    if class_of(s, c.curr) >= FAIR_CLASS and c.nr_running == s.cfs_rqs[cpu].h_nr_running:
        return fair.pick_task_fair(s, cpu)  # not even a fair server is asked
    picked = stop.pick_task_stop(s, cpu)
    if picked < 0:
        picked = _pick_task_dl(s, cpu)
    if picked < 0:
        picked = rt.pick_task_rt(s, cpu)
    return picked if picked >= 0 else fair.pick_task_fair(s, cpu)


@handler
def put_prev_task(s: State, cpu: int, prev: int) -> None:
    """Put `prev`, which ran, back into its class if it is still runnable; -1: the CPU idled."""
    which = class_of(s, prev)
    if which == FAIR_CLASS:
        fair.put_prev_task_fair(s, prev)
    elif which == RT_CLASS:
        rt.put_prev_task_rt(s, cpu, prev)
    elif which == DL_CLASS:
        deadline.update_curr_dl(s, cpu)
    elif which == STOP_CLASS:
        stop.put_prev_task_stop(s, cpu, prev)
    else:
        fair_server.update_idle_time(s, cpu)


@handler
def set_next_task(s: State, cpu: int, picked: int) -> None:
    """Start the turn of `picked`; -1: the CPU idles."""
    which = class_of(s, picked)
    if which == FAIR_CLASS:
        fair.set_next_task_fair(s, cpu, picked)
    elif which == RT_CLASS:
        rt.set_next_task_rt(s, cpu, picked)
    elif which == DL_CLASS:
        deadline.set_next_task_dl(s, cpu, picked)
    elif which == STOP_CLASS:
        stop.set_next_task_stop(s, cpu, picked)
    else:
        fair_server.start_idle(s, cpu)
