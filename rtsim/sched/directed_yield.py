"""Giving way to one particular task, wherever it waits: what KVM does for a vCPU whose guest spins (yield_to)."""

from __future__ import annotations

from rtsim.engine import trace
from rtsim.engine.constants import OTHER, RESCHED, RUNNABLE, TR_YIELD_TO
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import fair, resched

__all__ = ["yield_to"]

YIELDED, REFUSED, POINTLESS = 1, 0, -1


@handler
def yield_to(s: State, cpu: int, task: int) -> int:
    """Let the running task of `cpu` give way to `task`; return 1 if it does, -1 if nobody would gain by it, else 0.

    Only the fair class can: realtime tasks yield to nobody in particular, and nobody yields to them. The CPU that
    `task` waits on is marked too.
    """
    t = s.tasks[task]
    if s.cpus[cpu].nr_running == 1 and s.cpus[t.cpu].nr_running == 1:
        return POINTLESS
    if s.tasks[s.cpus[cpu].curr].policy < OTHER or t.policy < OTHER:
        return REFUSED
    if t.state != RUNNABLE or s.cpus[t.cpu].curr == task:
        return REFUSED
    s.m[0].here = cpu
    if not fair.yield_to_task_fair(s, cpu, task):
        return REFUSED
    trace.record(s, TR_YIELD_TO, cpu, s.cpus[cpu].curr, task)
    if t.cpu != cpu:
        resched.resched_curr(s, t.cpu)
    s.cpus[cpu].need_resched = RESCHED
    return YIELDED
