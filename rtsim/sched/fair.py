"""The fair class of a CPU: queueing, accounting, ticks and picks, by CFS or EEVDF as the kernel's release has it."""

from __future__ import annotations

from rtsim.engine.jit import handler
from rtsim.engine.state import CFS, OTHER, RUNNABLE, State
from rtsim.sched import cfs, eevdf, queue

__all__ = [
    "check_preempt_wakeup",
    "dequeue_task_fair",
    "enqueue_task_fair",
    "is_fair",
    "pick_next_task_fair",
    "put_prev_task_fair",
    "set_next_task_fair",
    "task_tick_fair",
    "update_curr",
]


@handler
def is_fair(s: State, task: int) -> bool:
    """Return whether `task` belongs to the fair class."""
    return s.tasks[task].policy >= OTHER


@handler
def _is_cfs(s: State, cpu: int) -> bool:
    return s.kernels[s.cpus[cpu].kernel].fair == CFS


@handler
def _fair_curr(s: State, cpu: int) -> int:
    """Return the running task if it is fair and still runnable, else -1."""
    curr = s.cpus[cpu].curr
    if curr >= 0 and is_fair(s, curr) and s.tasks[curr].state == RUNNABLE:
        return curr
    return -1


@handler
def _key(s: State, cpu: int, task: int) -> int:
    return s.tasks[task].vruntime if _is_cfs(s, cpu) else s.tasks[task].deadline


@handler
def _link(s: State, cpu: int, task: int) -> None:
    key = _key(s, cpu, task)
    before = -1
    after = s.cpus[cpu].fair_head
    while after >= 0 and _key(s, cpu, after) <= key:
        before = after
        after = s.tasks[after].next
    queue.link_between(s, task, before, after)
    if before < 0:
        s.cpus[cpu].fair_head = task


@handler
def _unlink(s: State, cpu: int, task: int) -> None:
    if s.cpus[cpu].fair_head == task:
        s.cpus[cpu].fair_head = s.tasks[task].next
    queue.unlink(s, task)


@handler
def update_curr(s: State, cpu: int) -> None:
    """Charge the running fair task for its time; under EEVDF, mark it if its request has ended."""
    curr = _fair_curr(s, cpu)
    if curr < 0:
        return
    t = s.tasks[curr]
    duration = s.m[0].now - t.exec_start
    if duration <= 0:
        return
    t.exec_start = s.m[0].now
    t.exec_sum += duration
    t.vruntime += cfs.virtual(duration, t.weight)
    if not _is_cfs(s, cpu) and eevdf.update_deadline(s, cpu, curr):
        s.cpus[cpu].need_resched = 1
    _update_min_vruntime(s, cpu, curr)


@handler
def _update_min_vruntime(s: State, cpu: int, curr: int) -> None:
    c = s.cpus[cpu]
    if _is_cfs(s, cpu):
        least = -1
        if curr >= 0:
            least = curr
        if c.fair_head >= 0 and (least < 0 or s.tasks[c.fair_head].vruntime < s.tasks[least].vruntime):
            least = c.fair_head
        if least >= 0:
            c.min_vruntime = max(c.min_vruntime, s.tasks[least].vruntime)
    else:
        c.min_vruntime = max(c.min_vruntime, eevdf.average_vruntime(s, cpu, curr))


@handler
def enqueue_task_fair(s: State, cpu: int, task: int, initial: bool) -> None:
    """Queue `task` where its class places a sleeper or a new task."""
    c = s.cpus[cpu]
    update_curr(s, cpu)
    c.load += s.tasks[task].weight
    c.nr_fair += 1
    if _is_cfs(s, cpu):
        cfs.place_entity(s, cpu, task, initial)
    else:
        eevdf.place_entity(s, cpu, task, _fair_curr(s, cpu), initial)
    _link(s, cpu, task)


@handler
def dequeue_task_fair(s: State, cpu: int, task: int) -> None:
    """Take `task` off the class: it sleeps, or moves to another CPU. A running task is in no queue."""
    c = s.cpus[cpu]
    update_curr(s, cpu)
    curr = _fair_curr(s, cpu)
    if not _is_cfs(s, cpu):
        eevdf.save_lag(s, cpu, task, eevdf.average_vruntime(s, cpu, curr))
    if s.tasks[task].queued == 1:
        _unlink(s, cpu, task)
    c.load -= s.tasks[task].weight
    c.nr_fair -= 1
    if c.buddy_next == task:
        c.buddy_next = -1
    if c.buddy_last == task:
        c.buddy_last = -1
    _update_min_vruntime(s, cpu, curr if curr != task else -1)


@handler
def put_prev_task_fair(s: State, cpu: int, task: int) -> None:
    """Return the preempted `task` to the queue."""
    _link(s, cpu, task)


@handler
def set_next_task_fair(s: State, cpu: int, task: int) -> None:
    """Take the picked `task` out of the queue and start its account."""
    c = s.cpus[cpu]
    t = s.tasks[task]
    if t.queued == 1:
        _unlink(s, cpu, task)
    if c.buddy_next == task:
        c.buddy_next = -1
    if c.buddy_last == task:
        c.buddy_last = -1
    t.exec_start = s.m[0].now
    t.exec_at_pick = t.exec_sum
    t.protect = t.deadline


@handler
def pick_next_task_fair(s: State, cpu: int) -> int:
    """Return the fair task to run next, the running one included; -1 if there is none."""
    curr = _fair_curr(s, cpu)
    if curr < 0 and s.cpus[cpu].fair_head < 0:
        return -1
    if _is_cfs(s, cpu):
        return cfs.pick_next_entity(s, cpu, curr)
    return eevdf.pick_eevdf(s, cpu, curr)


@handler
def check_preempt_wakeup(s: State, cpu: int, task: int) -> bool:
    """Return whether the woken `task` preempts the running fair task."""
    if s.cpus[cpu].need_resched == 1:
        return False
    update_curr(s, cpu)
    if _is_cfs(s, cpu):
        return cfs.check_preempt_wakeup(s, cpu, task)
    return eevdf.check_preempt_wakeup_fair(s, cpu, task)


@handler
def task_tick_fair(s: State, cpu: int) -> bool:
    """Return whether the tick ends the running fair task's slice."""
    update_curr(s, cpu)
    return _is_cfs(s, cpu) and cfs.check_tick(s, cpu)
