"""The scheduler's core: waking, marking, picking and switching, whatever the class of the tasks."""

from __future__ import annotations

from rtsim.engine import trace
from rtsim.engine.jit import handler
from rtsim.engine.state import (
    RUNNABLE,
    T_CFS_PERIOD,
    T_CFS_SLACK,
    T_DEADLINE,
    T_FAIR_SERVER,
    T_RT_PERIOD,
    TR_BLOCK,
    TR_WAKING,
    State,
)
from rtsim.engine.timers import update_tick
from rtsim.sched import bandwidth, classes, deadline, fair, fair_server, placement, resched, rt_bandwidth

__all__ = [
    "account_curr",
    "activate_task",
    "block_current",
    "pick_next_task",
    "run_sched_timer",
    "slice_end_in",
    "switch_tasks",
    "task_tick",
    "try_to_wake_up",
    "yield_current",
]


@handler
def try_to_wake_up(s: State, task: int, here: int) -> None:
    """Make `task` runnable, called by code on CPU `here`; sleepers only, others are awake already."""
    t = s.tasks[task]
    if t.state == RUNNABLE:
        return
    s.m[0].here = here
    t.state = RUNNABLE
    t.wakeups += 1
    t.waking_at = s.m[0].now
    t.fresh = 1
    if s.entities[task].delayed == 1:  # still queued: it stays where it is
        resched.update_rq_clock(s, t.cpu)
        trace.record(s, TR_WAKING, t.cpu, task, 0)
        fair.requeue_delayed(s, task)
        placement.note_waiting(s, task, 1)
        if s.cpus[t.cpu].curr != task:
            _wakeup_preempt(s, t.cpu, task)
        return
    placement.set_task_cpu(s, task, placement.select_task_rq(s, task))
    trace.record(s, TR_WAKING, t.cpu, task, 0)
    resched.update_rq_clock(s, t.cpu)
    activate_task(s, t.cpu, task, False)
    _wakeup_preempt(s, t.cpu, task)


@handler
def activate_task(s: State, cpu: int, task: int, initial: bool) -> None:
    """Queue a runnable `task` on `cpu`, whose clock has been read."""
    classes.enqueue_task(s, cpu, task, initial)
    placement.note_waiting(s, task, 1)
    if s.cpus[cpu].curr >= 0:
        update_tick(s, cpu)


@handler
def _wakeup_preempt(s: State, cpu: int, task: int) -> None:
    """Mark `cpu` if `task`, just queued there, is to run instead of what runs."""
    c = s.cpus[cpu]
    if classes.wakeup_preempts(s, cpu, task):
        if fair.is_fair(s, task):
            resched.resched_curr_lazy(s, cpu)
        else:
            resched.resched_curr(s, cpu)
    if c.need_resched == 1 and c.curr >= 0 and s.tasks[c.curr].state == RUNNABLE:
        resched.skip_clock(s, cpu)


@handler
def block_current(s: State, cpu: int, state: int) -> None:
    """Let the running task sleep: it leaves its class now, and the CPU at the schedule() that follows."""
    curr = s.cpus[cpu].curr
    s.m[0].here = cpu
    resched.schedule_clock(s, cpu)
    classes.block_task(s, cpu, curr)
    s.tasks[curr].state = state
    trace.record(s, TR_BLOCK, cpu, curr, state)


@handler
def yield_current(s: State, cpu: int) -> None:
    """Let the running task give way to its equals (sched_yield), at the schedule() that follows."""
    classes.yield_task(s, cpu)
    s.cpus[cpu].need_resched = 1


@handler
def task_tick(s: State, cpu: int) -> None:
    """Let the class of the running task see the tick."""
    s.m[0].here = cpu
    resched.update_rq_clock(s, cpu)
    if s.cpus[cpu].curr < 0:
        return
    if s.cpus[cpu].need_resched == 2:  # a lazy mark waits for the tick at most
        s.cpus[cpu].need_resched = 1
    classes.task_tick(s, cpu)


@handler
def account_curr(s: State, cpu: int) -> None:
    """Bring the running task's account up to date, as its reading of its own CPU clock does."""
    s.m[0].here = cpu
    resched.update_rq_clock(s, cpu)
    classes.update_curr(s, cpu)


@handler
def slice_end_in(s: State, cpu: int) -> int:
    """Return how long the running task has to run before `account_curr` might mark its CPU (ns; NEVER: it will not)."""
    return classes.slice_end_in(s, cpu)


@handler
def run_sched_timer(s: State, timer: int) -> None:
    """Do what one of the scheduler's own timers is for."""
    t = s.sched_timers[timer]
    s.m[0].here = t.cpu
    if t.kind == T_CFS_PERIOD:
        bandwidth.end_period(s, t.entity)
    elif t.kind == T_CFS_SLACK:
        bandwidth.end_slack(s, t.entity)
    elif t.kind == T_RT_PERIOD:
        rt_bandwidth.end_period(s, t.entity)
    elif t.kind == T_FAIR_SERVER:
        fair_server.end_wait(s, t.entity)
    elif t.kind == T_DEADLINE:
        deadline.end_throttle(s, t.entity)


@handler
def pick_next_task(s: State, cpu: int) -> int:
    """Take the mark off and return the task to run next, -1 for idle; the running task competes if still runnable."""
    c = s.cpus[cpu]
    s.m[0].here = cpu
    if c.curr < 0 or s.tasks[c.curr].state == RUNNABLE:
        resched.schedule_clock(s, cpu)
    if c.curr >= 0 and not fair.is_fair(s, c.curr):
        classes.update_curr(s, cpu)
    picked = classes.pick_task(s, cpu)
    if picked < 0 and placement.pull_task(s, cpu):
        picked = classes.pick_task(s, cpu)
    c.need_resched = 0  # also of marks that the pick itself has made
    c.clock_skip = 0
    return picked


@handler
def switch_tasks(s: State, cpu: int, prev: int, picked: int) -> None:
    """Put `prev` back or away and take `picked` out of its queue: it is the current task from now on."""
    if prev >= 0 and picked >= 0 and fair.is_fair(s, prev) and fair.is_fair(s, picked):
        fair.switch_within(s, cpu, prev, picked)
    else:
        classes.put_prev_task(s, cpu, prev)
        classes.set_next_task(s, cpu, picked)
    s.cpus[cpu].need_resched = 0
    s.cpus[cpu].curr = picked
    _count_switch(s, cpu, prev, picked)
    update_tick(s, cpu)


@handler
def _count_switch(s: State, cpu: int, prev: int, picked: int) -> None:
    if picked >= 0:
        placement.note_waiting(s, picked, -1)
    if prev < 0:
        return
    if s.tasks[prev].state != RUNNABLE:
        s.tasks[prev].voluntary += 1
        return
    s.tasks[prev].involuntary += 1
    placement.note_waiting(s, prev, 1)
    _offer(s, cpu, prev)


@handler
def _offer(s: State, cpu: int, prev: int) -> None:
    """Let an idle CPU pull a task that was preempted here."""
    idle = placement.idle_cpu_for(s, prev)
    if idle >= 0:
        resched.resched_curr(s, idle)
