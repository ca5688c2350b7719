"""The stop and realtime classes: one queue a CPU, strongest first, first come first served at equal priority.

A task that runs is not in the queue. Preempted, it returns to the head of its priority; woken, or yielding, or at the
end of a round-robin slice, it goes to the tail (``rt.c``).
"""

from __future__ import annotations

from rtsim.engine.jit import handler
from rtsim.engine.state import RR, State
from rtsim.sched import queue

__all__ = ["check_preempt_curr_rt", "dequeue_task_rt", "enqueue_task_rt", "task_tick_rt"]


@handler
def enqueue_task_rt(s: State, cpu: int, task: int, at_head: bool) -> None:
    """Queue `task` at the head or the tail of its priority."""
    prio = s.tasks[task].prio
    before = -1
    after = s.cpus[cpu].rt_head
    while after >= 0 and (s.tasks[after].prio < prio or (s.tasks[after].prio == prio and not at_head)):
        before = after
        after = s.tasks[after].next
    queue.link_between(s, task, before, after)
    if before < 0:
        s.cpus[cpu].rt_head = task


@handler
def dequeue_task_rt(s: State, cpu: int, task: int) -> None:
    """Take `task` off the queue."""
    if s.cpus[cpu].rt_head == task:
        s.cpus[cpu].rt_head = s.tasks[task].next
    queue.unlink(s, task)


@handler
def check_preempt_curr_rt(s: State, cpu: int, task: int) -> bool:
    """Return whether `task`, just queued, preempts the realtime task that runs: only a stronger one does."""
    return s.tasks[task].prio < s.tasks[s.cpus[cpu].curr].prio


@handler
def task_tick_rt(s: State, cpu: int) -> bool:
    """Count the tick against a round-robin slice; return whether it is over and an equal waits."""
    c = s.cpus[cpu]
    t = s.tasks[c.curr]
    if t.policy != RR:
        return False
    t.rr_left -= 1
    if t.rr_left > 0:
        return False
    t.rr_left = s.kernels[c.kernel].rr_ticks
    equal = c.rt_head
    while equal >= 0 and s.tasks[equal].prio < t.prio:
        equal = s.tasks[equal].next
    return equal >= 0 and s.tasks[equal].prio == t.prio
