"""The scheduler's core: waking, marking, picking and switching, over the classes stop > realtime > fair > idle."""

from __future__ import annotations

from rtsim.engine import calendar, idle, trace
from rtsim.engine.jit import handler
from rtsim.engine.random import cost
from rtsim.engine.state import IDLE, NEVER, PREEMPT_LAZY, RESCHED, RESCHED_LAZY, RUNNABLE, TR_BLOCK, TR_WAKING, State
from rtsim.engine.timers import update_tick
from rtsim.sched import fair, placement, rt

__all__ = [
    "activate_task",
    "block_current",
    "ipi_slot",
    "pick_next_task",
    "resched_curr",
    "resched_curr_lazy",
    "switch_tasks",
    "task_tick",
    "try_to_wake_up",
    "wake_up",
]


@handler
def ipi_slot(s: State, cpu: int) -> int:
    """Return the calendar slot of the reschedule interrupt in flight to `cpu`."""
    return 2 * len(s.cpus) + cpu


@handler
def try_to_wake_up(s: State, task: int, here: int) -> None:
    """Make `task` runnable, called by code on CPU `here`; sleepers only, others are awake already."""
    t = s.tasks[task]
    if t.state == RUNNABLE:
        return
    t.state = RUNNABLE
    t.wakeups += 1
    t.waking_at = s.m[0].now
    t.fresh = 1
    placement.set_task_cpu(s, task, placement.select_task_rq(s, task))
    trace.record(s, TR_WAKING, t.cpu, task, 0)
    activate_task(s, t.cpu, task, False)
    if s.cpus[t.cpu].need_resched == 1 or _preempts(s, t.cpu, task):
        resched_curr(s, t.cpu, here)


@handler
def activate_task(s: State, cpu: int, task: int, initial: bool) -> None:
    """Queue a runnable `task` on `cpu`."""
    if fair.is_fair(s, task):
        fair.enqueue_task_fair(s, cpu, task, initial)
    else:
        rt.enqueue_task_rt(s, cpu, task, False)
    s.cpus[cpu].nr_running += 1
    placement.note_waiting(s, task, 1)
    if s.cpus[cpu].curr >= 0:
        update_tick(s, cpu)


@handler
def _preempts(s: State, cpu: int, task: int) -> bool:
    curr = s.cpus[cpu].curr
    if curr < 0:
        return True
    if fair.is_fair(s, task):
        return fair.is_fair(s, curr) and fair.check_preempt_wakeup(s, cpu, task)
    return fair.is_fair(s, curr) or rt.check_preempt_curr_rt(s, cpu, task)


@handler
def resched_curr(s: State, cpu: int, here: int) -> None:
    """Mark `cpu` to reschedule; a remote CPU gets an interrupt, unless one is on its way."""
    c = s.cpus[cpu]
    c.need_resched = RESCHED
    if cpu != here and calendar.slot_time(s, ipi_slot(s, cpu)) == NEVER:
        arrival = s.m[0].now
        if c.bottom != IDLE or not idle.polls(s, cpu):
            arrival += cost(s, cpu, s.kernels[c.kernel].ipi)
        calendar.arm(s, ipi_slot(s, cpu), arrival)


@handler
def resched_curr_lazy(s: State, cpu: int, here: int) -> None:
    """Mark `cpu` to reschedule for a fair task: with lazy preemption when it next returns to user space, or ticks."""
    c = s.cpus[cpu]
    if s.kernels[c.kernel].preempt != PREEMPT_LAZY or c.curr < 0:
        resched_curr(s, cpu, here)
    elif c.need_resched == 0:
        c.need_resched = RESCHED_LAZY


@handler
def wake_up(s: State, task: int, here: int) -> int:
    """Wake `task`, called by code on CPU `here`; return what that costs it (ns)."""
    try_to_wake_up(s, task, here)
    t = s.tasks[task]
    target = s.cpus[t.cpu]
    k = s.kernels[target.kernel]
    work = cost(s, here, k.wake)
    if t.group_levels > 0:
        work += t.group_levels * cost(s, here, k.cgroup_level)
    if target.curr >= 0 and fair.is_fair(s, target.curr):
        work += cost(s, here, k.preempt_fair)
    return work


@handler
def block_current(s: State, cpu: int, state: int) -> None:
    """Let the running task sleep: it leaves its class now, and the CPU at the schedule() that follows."""
    curr = s.cpus[cpu].curr
    if fair.is_fair(s, curr):
        fair.dequeue_task_fair(s, cpu, curr)
    s.cpus[cpu].nr_running -= 1
    s.tasks[curr].state = state
    trace.record(s, TR_BLOCK, cpu, curr, state)


@handler
def task_tick(s: State, cpu: int) -> None:
    """Let the class of the running task see the tick."""
    curr = s.cpus[cpu].curr
    if curr < 0:
        return
    if s.cpus[cpu].need_resched == RESCHED_LAZY:
        s.cpus[cpu].need_resched = RESCHED
    if fair.is_fair(s, curr):
        if fair.task_tick_fair(s, cpu):
            s.cpus[cpu].need_resched = 1
    elif rt.task_tick_rt(s, cpu):
        s.tasks[curr].to_tail = 1
        s.cpus[cpu].need_resched = 1


@handler
def pick_next_task(s: State, cpu: int) -> int:
    """Take the mark off and return the task to run next, -1 for idle; the running task competes if still runnable."""
    c = s.cpus[cpu]
    curr = c.curr
    if curr >= 0 and s.tasks[curr].state != RUNNABLE:
        curr = -1
    fair.update_curr(s, cpu)
    c.need_resched = 0
    picked = _pick(s, cpu, curr)
    if picked < 0 and placement.pull_task(s, cpu):
        picked = _pick(s, cpu, curr)
    return picked


@handler
def _pick(s: State, cpu: int, curr: int) -> int:
    c = s.cpus[cpu]
    head = c.rt_head
    if curr >= 0 and not fair.is_fair(s, curr):
        t = s.tasks[curr]
        if head < 0 or t.prio < s.tasks[head].prio or (t.prio == s.tasks[head].prio and t.to_tail == 0):
            return curr
    if head >= 0:
        return head
    return fair.pick_next_task_fair(s, cpu)


@handler
def switch_tasks(s: State, cpu: int, prev: int, picked: int) -> None:
    """Put `prev` back or away and take `picked` out of its queue: it is the current task from now on."""
    if prev >= 0:
        _put_prev_task(s, cpu, prev)
    if picked >= 0:
        _set_next_task(s, cpu, picked)
    s.cpus[cpu].curr = picked
    update_tick(s, cpu)


@handler
def _put_prev_task(s: State, cpu: int, prev: int) -> None:
    t = s.tasks[prev]
    to_head = t.to_tail == 0
    t.to_tail = 0
    if t.state != RUNNABLE:
        t.voluntary += 1
        return
    t.involuntary += 1
    if fair.is_fair(s, prev):
        fair.put_prev_task_fair(s, cpu, prev)
    else:
        rt.enqueue_task_rt(s, cpu, prev, to_head)
    placement.note_waiting(s, prev, 1)
    idle = placement.idle_cpu_for(s, prev)
    if idle >= 0:
        resched_curr(s, idle, cpu)  # it finds nothing of its own and pulls


@handler
def _set_next_task(s: State, cpu: int, picked: int) -> None:
    placement.note_waiting(s, picked, -1)
    if fair.is_fair(s, picked):
        fair.set_next_task_fair(s, cpu, picked)
    else:
        rt.dequeue_task_rt(s, cpu, picked)
