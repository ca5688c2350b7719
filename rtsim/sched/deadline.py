"""The deadline class: tasks with a budget each period, the earliest deadline first (``deadline.c``).

The budget is enforced at ticks and whenever the account is brought up to date, so a task may overrun it by up to a
tick; the next period pays for that.
"""

from __future__ import annotations

from rtsim.engine.constants import DEADLINE, RUNNABLE
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import rt_bandwidth
from rtsim.sched.dl_entity import (
    MOVED,
    NEW,
    REPLENISH,
    WAKEUP,
    dequeue_dl_entity,
    dl_entity_preempt,
    enqueue_dl_entity,
    replenish_dl_entity,
    update_curr_dl_se,
)
from rtsim.sched.resched import clock_task, resched_curr, skip_clock, uncharged, update_rq_clock

__all__ = [
    "budget_left",
    "dequeue_task_dl",
    "end_throttle",
    "enqueue_task_dl",
    "move_task_dl",
    "set_next_task_dl",
    "update_curr_dl",
    "wakeup_preempt_dl",
    "yield_task_dl",
]


@handler
def enqueue_task_dl(s: State, task: int, initial: bool) -> None:
    """Queue a `task` that wakes, or runs from the start; one without budget waits for its next period first."""
    enqueue_dl_entity(s, task, NEW if initial else WAKEUP)


@handler
def move_task_dl(s: State, task: int) -> None:
    """Queue a `task` that has come from another CPU, with the deadline and budget it has."""
    enqueue_dl_entity(s, task, MOVED)


@handler
def dequeue_task_dl(s: State, cpu: int, task: int) -> None:
    """Take `task` off `cpu`: it sleeps or changes CPU."""
    if s.cpus[cpu].curr == task:
        update_curr_dl(s, cpu)
    dequeue_dl_entity(s, task)


@handler
def set_next_task_dl(s: State, cpu: int, task: int) -> None:
    """Start the account of `task`, which is to run."""
    s.entities[task].exec_start = clock_task(s, cpu)


@handler
def update_curr_dl(s: State, cpu: int) -> None:
    """Charge the running deadline task; throttle it when its budget is used up or given up."""
    curr = s.cpus[cpu].curr
    if s.dl_entities[curr].on_rq == 0:
        return
    e = s.entities[curr]
    now = clock_task(s, cpu)
    delta = max(now - e.exec_start, 0)
    e.exec_start += delta
    e.sum_exec += delta
    update_curr_dl_se(s, curr, delta)
    rt_bandwidth.account_deadline(s, cpu, delta)


@handler
def wakeup_preempt_dl(s: State, cpu: int, task: int) -> bool:
    """Return whether `task`, just queued, preempts the deadline task that runs: one with an earlier deadline does."""
    return dl_entity_preempt(s, task, s.cpus[cpu].curr)


@handler
def yield_task_dl(s: State, cpu: int) -> None:
    """Let the running task give the rest of its budget up until its next period."""
    s.dl_entities[s.cpus[cpu].curr].yielded = 1
    update_rq_clock(s, cpu)
    update_curr_dl(s, cpu)
    skip_clock(s, cpu)


@handler
def budget_left(s: State, cpu: int) -> int:
    """Return how long the running deadline task has to run until it is throttled (ns)."""
    curr = s.cpus[cpu].curr
    return max(s.dl_entities[curr].runtime - uncharged(s, cpu, curr), 0)


@handler
def end_throttle(s: State, task: int) -> None:
    """Give a throttled `task` the budget of its next period, queued only if it is awake (dl_task_timer)."""
    cpu = s.tasks[task].cpu
    if s.dl_entities[task].throttled == 0:
        return
    update_rq_clock(s, cpu)
    if s.tasks[task].state != RUNNABLE:
        replenish_dl_entity(s, task)
        return
    enqueue_dl_entity(s, task, REPLENISH)
    curr = s.cpus[cpu].curr
    if curr < 0 or s.tasks[curr].policy != DEADLINE or wakeup_preempt_dl(s, cpu, task):
        resched_curr(s, cpu)
