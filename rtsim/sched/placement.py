"""On which CPU a task is queued when it begins or wakes: its class chooses, within its affinity mask."""

from __future__ import annotations

from rtsim.engine.constants import DEADLINE, FIFO, OTHER, RR
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State
from rtsim.sched import dl_push_pull, idlest, push_pull, select
from rtsim.sched.cpus import allowed_on

__all__ = ["select_first_rq", "select_task_rq"]


@inlined
def select_task_rq(s: State, task: int, here: int) -> int:
    """Return the CPU that `task`, woken by code on CPU `here`, is queued on."""
    t = s.tasks[task]
    if t.nr_allowed == 1:
        return _first_allowed(s, task)
    if s.cpus[here].kernel != t.kernel:  # a vCPU's guest is no place to look around from
        here = t.cpu
    cpu = t.cpu
    if t.policy >= OTHER:
        cpu = select.select_task_rq_fair(s, task, here)
    elif FIFO <= t.policy <= RR:
        cpu = push_pull.select_task_rq_rt(s, task, here)
    elif t.policy == DEADLINE:
        cpu = dl_push_pull.select_task_rq_dl(s, task, here)
    return cpu if allowed_on(s, task, cpu) else _first_allowed(s, task)


@handler
def _first_allowed(s: State, task: int) -> int:
    """Return the first CPU of the mask of `task`, one that is not isolated if there is any."""
    t = s.tasks[task]
    if t.nr_allowed == 1 and allowed_on(s, task, t.cpu):
        return t.cpu
    k = s.kernels[t.kernel]
    first = -1
    for cpu in range(k.cpu_base, k.cpu_base + k.cpu_count):
        if allowed_on(s, task, cpu):
            if s.cpus[cpu].isolated == 0:
                return cpu
            if first < 0:
                first = cpu
    return first


@handler
def select_first_rq(s: State, task: int) -> int:
    """Return the CPU that a task begins on whose parent runs on the first one it may use."""
    t = s.tasks[task]
    parent = _first_allowed(s, task)
    if t.nr_allowed == 1:
        return parent
    if t.policy >= OTHER:
        return idlest.find_idlest_cpu(s, task, parent)
    t.cpu = parent
    if t.policy == DEADLINE:
        return dl_push_pull.select_task_rq_dl(s, task, parent)
    return push_pull.select_task_rq_rt(s, task, parent)
