"""The realtime class: a list a priority, strongest first, first come first served (``rt.c``).

A task that runs is in no list. Preempted, it returns to the head of its priority; woken, or yielding, or at the end of
a round-robin slice, it goes to the tail. Who is throttled is in `rt_bandwidth`.
"""

from __future__ import annotations

from rtsim.engine.bits import trailing_zeros
from rtsim.engine.constants import FIFO, NEVER, NONE, RR, RUNNABLE
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State
from rtsim.sched import rt_bandwidth, tasklist
from rtsim.sched.resched import clock_task, resched_curr

__all__ = [
    "block_task_rt",
    "budget_left",
    "check_preempt_curr_rt",
    "dequeue_task_rt",
    "enqueue_task_rt",
    "pick_task_rt",
    "put_prev_task_rt",
    "set_next_task_rt",
    "task_tick_rt",
    "update_curr_rt",
]


# ---- lists ----------------------------------------------------------------------------------------------------------


@handler
def _count_pushable(s: State, cpu: int, task: int, change: int) -> None:
    """Count a task that begins (+1) or ceases (-1) to wait here and may run elsewhere (see `push_pull`)."""
    if s.tasks[task].nr_allowed == 1:
        return
    c = s.cpus[cpu]
    before = c.rt_pushable > 0
    c.rt_pushable += change
    s.kernels[c.kernel].rt_overloaded += int(c.rt_pushable > 0) - int(before)


@handler
def _link(s: State, cpu: int, task: int, at_head: bool) -> None:
    _count_pushable(s, cpu, task, 1)
    index = s.tasks[task].prio + 1
    tasklist.link(s, tasklist.rt_list(cpu, s.tasks[task].prio), task, at_head)
    s.cpus[cpu].rt_bitmap[index >> 5] |= 1 << (index & 31)


@handler
def _unlink(s: State, cpu: int, task: int) -> None:
    _count_pushable(s, cpu, task, -1)
    index = s.tasks[task].prio + 1
    row = tasklist.rt_list(cpu, s.tasks[task].prio)
    tasklist.unlink(s, row, task)
    if s.task_lists[row].head < 0:
        s.cpus[cpu].rt_bitmap[index >> 5] &= ~(1 << (index & 31))


@handler
def _strongest(s: State, cpu: int) -> int:
    """Return the first waiting task of the strongest priority that may run, -1 if there is none."""
    if s.rt_rqs[cpu].rt_throttled == 1:
        return NONE
    for word in range(4):
        bits = s.cpus[cpu].rt_bitmap[word]
        while bits != 0:
            task = s.task_lists[tasklist.rt_list(cpu, 32 * word + trailing_zeros(bits) - 1)].head
            while task >= 0 and rt_bandwidth.is_throttled(s, task, cpu):
                task = s.tasks[task].next
            if task >= 0:
                return task
            bits &= bits - 1
    return NONE


@inlined
def enqueue_task_rt(s: State, cpu: int, task: int, at_head: bool) -> None:
    """Queue `task`, which joins `cpu`, at the head or the tail of its priority."""
    _link(s, cpu, task, at_head)
    _count(s, cpu, task, 1)
    rt_bandwidth.start_periods(s, task, cpu)


@handler
def _count(s: State, cpu: int, task: int, change: int) -> None:
    round_robin = change * int(s.tasks[task].policy == RR)
    rt_bandwidth.count(s, cpu, rt_bandwidth.rt_queue_of(s, task, cpu), change, round_robin)


@inlined
def dequeue_task_rt(s: State, cpu: int, task: int) -> None:
    """Take a waiting `task` off `cpu`."""
    _unlink(s, cpu, task)
    _count(s, cpu, task, -1)


@inlined
def block_task_rt(s: State, cpu: int) -> None:
    """Take the running task off `cpu`: it sleeps."""
    update_curr_rt(s, cpu)
    _count(s, cpu, s.cpus[cpu].curr, -1)


# ---- turns ----------------------------------------------------------------------------------------------------------


@inlined
def pick_task_rt(s: State, cpu: int) -> int:
    """Return the realtime task to run, the running one included; -1 if there is none."""
    head = _strongest(s, cpu)
    curr = s.cpus[cpu].curr
    if curr < 0 or not FIFO <= s.tasks[curr].policy <= RR or s.tasks[curr].state != RUNNABLE:
        return head
    if rt_bandwidth.is_throttled(s, curr, cpu):
        return head
    t = s.tasks[curr]
    if head < 0 or t.prio < s.tasks[head].prio or (t.prio == s.tasks[head].prio and t.to_tail == 0):
        return curr
    return head


@inlined
def put_prev_task_rt(s: State, cpu: int, task: int) -> None:
    """Return `task`, which ran, to its list if it is still runnable."""
    t = s.tasks[task]
    if t.state == RUNNABLE:
        update_curr_rt(s, cpu)
        _link(s, cpu, task, t.to_tail == 0)
    t.to_tail = 0


@inlined
def set_next_task_rt(s: State, cpu: int, task: int) -> None:
    """Take `task`, which is to run, out of its list and start its account."""
    _unlink(s, cpu, task)
    s.entities[task].exec_start = clock_task(s, cpu)


@inlined
def check_preempt_curr_rt(s: State, cpu: int, task: int) -> bool:
    """Return whether `task`, just queued, preempts the realtime task that runs: only a stronger one does."""
    return s.tasks[task].prio < s.tasks[s.cpus[cpu].curr].prio


@handler
def task_tick_rt(s: State, cpu: int) -> None:
    """Charge the tick, and count it against a round-robin slice; at its end an equal that waits gets its turn."""
    update_curr_rt(s, cpu)
    c = s.cpus[cpu]
    t = s.tasks[c.curr]
    if t.policy != RR:
        return
    t.rr_left -= 1
    if t.rr_left > 0:
        return
    t.rr_left = s.kernels[c.kernel].rr_ticks
    if s.task_lists[tasklist.rt_list(cpu, t.prio)].head >= 0:
        t.to_tail = 1
        resched_curr(s, cpu)


@handler
def update_curr_rt(s: State, cpu: int) -> None:
    """Charge the running realtime task and the budgets it draws on."""
    curr = s.cpus[cpu].curr
    e = s.entities[curr]
    now = clock_task(s, cpu)
    delta = now - e.exec_start
    if delta <= 0:
        return
    e.exec_start = now
    e.sum_exec += delta
    rt_bandwidth.account(s, cpu, curr, delta)


@handler
def budget_left(s: State, cpu: int) -> int:
    """Return how long the running realtime task has to run until it is throttled (ns; NEVER: it will not be)."""
    curr = s.cpus[cpu].curr
    left = rt_bandwidth.budget_left(s, cpu, curr)
    pending = clock_task(s, cpu) - s.cpus[cpu].clock + s.m[0].now - s.entities[curr].exec_start
    return left if left == NEVER else max(left - pending, 0)
