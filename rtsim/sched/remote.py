"""Waking tasks on other CPUs: queued there at once, or left in a list that the other CPU works off (``ttwu_queue``)."""

from __future__ import annotations

from rtsim.engine.constants import DEADLINE, FIFO, NONE, RR, STOP
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State
from rtsim.sched import dl_push_pull, migrate, push_pull, resched
from rtsim.sched.cpus import shares_cache

__all__ = ["next_pending", "ttwu_do_activate", "ttwu_queue_wakelist"]


@handler
def ttwu_do_activate(s: State, task: int) -> None:
    """Queue the woken `task` on its CPU and see whether it is to run there at once."""
    cpu = s.tasks[task].cpu
    resched.update_rq_clock(s, cpu)
    migrate.activate_task(s, cpu, task, False)
    migrate.wakeup_preempt(s, cpu, task)
    if FIFO <= s.tasks[task].policy <= RR:
        push_pull.task_woken_rt(s, task)
    elif s.tasks[task].policy == DEADLINE:
        dl_push_pull.task_woken_dl(s, task)


@inlined
def ttwu_queue_wakelist(s: State, task: int, here: int) -> bool:
    """Leave queueing `task` to its CPU, if that shares no cache with `here` or has nothing to run; return whether."""
    cpu = s.tasks[task].cpu
    c = s.cpus[cpu]
    if s.kernels[c.kernel].ttwu_queue == 0 or cpu == here or s.tasks[task].policy == STOP:
        return False
    if shares_cache(s, here, cpu) and c.nr_running > 0:
        return False
    s.tasks[task].transit_next = NONE
    last = c.wakelist
    if last < 0:
        c.wakelist = task
        resched.send_ipi(s, cpu)
        return True
    while s.tasks[last].transit_next >= 0:
        last = s.tasks[last].transit_next
    s.tasks[last].transit_next = task
    return True


@inlined
def next_pending(s: State, cpu: int) -> int:
    """Take the first task off the list of those that others have woken; -1 if it is empty (sched_ttwu_pending)."""
    task = s.cpus[cpu].wakelist
    if task >= 0:
        s.cpus[cpu].wakelist = s.tasks[task].transit_next
    return task
