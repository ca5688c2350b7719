"""The stop and realtime classes: a list a priority, strongest first, first come first served; and RT throttling.

A task that runs is in no list. Preempted, it returns to the head of its priority; woken, or yielding, or at the end of a
round-robin slice, it goes to the tail (``rt.c``). Where realtime tasks may use only part of each period, a CPU whose tasks
have used it up runs none until a period ends.
"""

from __future__ import annotations

from rtsim.engine import sched_timers
from rtsim.engine.bits import trailing_zeros
from rtsim.engine.jit import handler
from rtsim.engine.state import NEVER, NONE, RR, RT_PRIORITIES, RUNNABLE, STOP, State
from rtsim.sched import tasklist
from rtsim.sched.resched import clock_task, resched_curr, update_rq_clock

__all__ = [
    "block_task_rt",
    "budget_left",
    "check_preempt_curr_rt",
    "dequeue_task_rt",
    "end_period",
    "enqueue_task_rt",
    "pick_task_rt",
    "put_prev_task_rt",
    "set_next_task_rt",
    "task_tick_rt",
    "update_curr_rt",
]


# ---- lists ----------------------------------------------------------------------------------------------------------


@handler
def _link(s: State, cpu: int, task: int, at_head: bool) -> None:
    index = s.tasks[task].prio + 1
    tasklist.link(s, tasklist.rt_list(cpu, s.tasks[task].prio), task, at_head)
    s.cpus[cpu].rt_bitmap[index >> 5] |= 1 << (index & 31)


@handler
def _unlink(s: State, cpu: int, task: int) -> None:
    index = s.tasks[task].prio + 1
    row = tasklist.rt_list(cpu, s.tasks[task].prio)
    tasklist.unlink(s, row, task)
    if s.task_lists[row].head < 0:
        s.cpus[cpu].rt_bitmap[index >> 5] &= ~(1 << (index & 31))


@handler
def _strongest(s: State, cpu: int) -> int:
    """Return the first waiting task of the strongest priority that may run, -1 if there is none."""
    c = s.cpus[cpu]
    if c.rt_throttled == 1:
        return s.task_lists[tasklist.rt_list(cpu, -1)].head  # the stop class alone
    for word in range(4):
        if c.rt_bitmap[word] != 0:
            strongest = 32 * word + trailing_zeros(c.rt_bitmap[word]) - 1
            return s.task_lists[tasklist.rt_list(cpu, strongest)].head
    return NONE


@handler
def enqueue_task_rt(s: State, cpu: int, task: int, at_head: bool) -> None:
    """Queue `task`, which joins `cpu`, at the head or the tail of its priority."""
    c = s.cpus[cpu]
    t = s.tasks[task]
    _link(s, cpu, task, at_head)
    if t.policy != STOP:
        c.rt_nr_running += 1
        c.rr_nr_running += int(t.policy == RR)
        _start_period(s, cpu)
    c.nr_running += 1


@handler
def _leave(s: State, cpu: int, task: int) -> None:
    c = s.cpus[cpu]
    t = s.tasks[task]
    if t.policy != STOP:
        c.rt_nr_running -= 1
        c.rr_nr_running -= int(t.policy == RR)
    c.nr_running -= 1


@handler
def dequeue_task_rt(s: State, cpu: int, task: int) -> None:
    """Take a waiting `task` off `cpu`."""
    _unlink(s, cpu, task)
    _leave(s, cpu, task)


@handler
def block_task_rt(s: State, cpu: int, task: int) -> None:
    """Take the running `task` off `cpu`: it sleeps."""
    update_curr_rt(s, cpu)
    _leave(s, cpu, task)


# ---- turns ----------------------------------------------------------------------------------------------------------


@handler
def pick_task_rt(s: State, cpu: int) -> int:
    """Return the realtime or stop task to run, the running one included; -1 if there is none."""
    c = s.cpus[cpu]
    head = _strongest(s, cpu)
    if c.curr < 0 or s.tasks[c.curr].prio >= RT_PRIORITIES - 1 or s.tasks[c.curr].state != RUNNABLE:
        return head
    t = s.tasks[c.curr]
    if c.rt_throttled == 1 and t.policy != STOP:
        return head
    if head < 0 or t.prio < s.tasks[head].prio or (t.prio == s.tasks[head].prio and t.to_tail == 0):
        return c.curr
    return head


@handler
def put_prev_task_rt(s: State, cpu: int, task: int) -> None:
    """Return `task`, which ran, to its list if it is still runnable."""
    t = s.tasks[task]
    if t.state == RUNNABLE:
        update_curr_rt(s, cpu)
        _link(s, cpu, task, t.to_tail == 0)
    t.to_tail = 0


@handler
def set_next_task_rt(s: State, cpu: int, task: int) -> None:
    """Take `task`, which is to run, out of its list and start its account."""
    _unlink(s, cpu, task)
    s.entities[task].exec_start = clock_task(s, cpu)


@handler
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


# ---- throttling -----------------------------------------------------------------------------------------------------


@handler
def update_curr_rt(s: State, cpu: int) -> None:
    """Charge the running realtime task, and its CPU's RT time; mark the CPU when that is used up."""
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    e = s.entities[c.curr]
    now = clock_task(s, cpu)
    delta = now - e.exec_start
    if delta <= 0:
        return
    e.exec_start = now
    e.sum_exec += delta
    if s.tasks[c.curr].policy == STOP or k.rt_runtime == NEVER:
        return
    c.rt_time += delta
    if c.rt_throttled == 0 and c.rt_time > k.rt_runtime:
        c.rt_throttled = 1
        c.nr_running -= c.rt_nr_running
    if c.rt_throttled == 1:
        resched_curr(s, cpu)
        _start_period(s, cpu)


@handler
def budget_left(s: State, cpu: int) -> int:
    """Return how long the running realtime task has to run until its CPU is throttled (ns; NEVER: it will not be)."""
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    if k.rt_runtime == NEVER or s.tasks[c.curr].policy == STOP:
        return NEVER
    pending = clock_task(s, cpu) - c.clock + s.m[0].now - s.entities[c.curr].exec_start
    return max(k.rt_runtime - c.rt_time - pending + 1, 0)


@handler
def _start_period(s: State, cpu: int) -> None:
    """Start the kernel's RT period timer unless it runs; its first period ends at once (do_start_rt_bandwidth)."""
    k = s.kernels[s.cpus[cpu].kernel]
    if k.rt_runtime != NEVER and s.sched_timers[k.rt_timer].at == NEVER:
        sched_timers.start(s, k.rt_timer, cpu, s.m[0].now)


@handler
def end_period(s: State, kernel: int) -> None:
    """Give every CPU its realtime budget back; the timer stops when no CPU has realtime tasks or a debt."""
    k = s.kernels[kernel]
    needed = False
    for cpu in range(k.cpu_base, k.cpu_base + k.cpu_count):
        c = s.cpus[cpu]
        if c.rt_time == 0 and c.rt_nr_running == 0:
            continue
        update_rq_clock(s, cpu)
        c.rt_time -= min(c.rt_time, k.rt_runtime)
        if c.rt_throttled == 1 and c.rt_time < k.rt_runtime:
            c.rt_throttled = 0
            c.nr_running += c.rt_nr_running
            _offer_cpu(s, cpu)
        needed = needed or c.rt_time > 0 or c.rt_nr_running > 0
    if needed:
        timer = s.sched_timers[k.rt_timer]
        sched_timers.start(s, k.rt_timer, timer.cpu, timer.expiry + k.rt_period)


@handler
def _offer_cpu(s: State, cpu: int) -> None:
    """Mark `cpu` if a realtime task that was throttled is stronger than what runs (sched_rt_rq_enqueue)."""
    head = _strongest(s, cpu)
    curr = s.cpus[cpu].curr
    if head >= 0 and (curr < 0 or s.tasks[head].prio < s.tasks[curr].prio):
        resched_curr(s, cpu)
