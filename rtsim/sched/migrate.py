"""Moving tasks between CPUs: off one queue, with its samples and averages, and into another."""

from __future__ import annotations

from rtsim.engine import observe, trace
from rtsim.engine.constants import CFS, RESCHED, RUNNABLE, TR_MIGRATE
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State
from rtsim.engine.timers import update_tick
from rtsim.kvm import polling
from rtsim.sched import classes, fair, pelt, resched

__all__ = [
    "activate_task",
    "attach_task",
    "detach_task",
    "move_task",
    "note_queued_at",
    "set_task_cpu",
    "wakeup_preempt",
]


@handler
def set_task_cpu(s: State, task: int, cpu: int) -> None:
    """Move a task that is in no queue to `cpu`, and with it the samples that wait for it."""
    t = s.tasks[task]
    old = t.cpu
    if old == cpu:
        return
    e = s.entities[task]
    if fair.is_fair(s, task):
        if s.kernels[t.kernel].fair == CFS and e.relative == 0:
            e.vruntime -= s.cfs_rqs[e.queue].min_vruntime
            e.relative = 1
        if s.kernels[t.kernel].spread == 1:
            resched.update_rq_clock(s, old)
            pelt.detach(s, task)
    t.migrations += 1
    if t.times_row >= 0:
        s.cpu_times[t.times_row, old] += t.cpu_ns - t.ns_before
        t.ns_before = t.cpu_ns
    t.cpu = cpu
    observe.follow(s, task)
    if t.guest_cpu >= 0 and t.waits_for_lock == 0:
        observe.hand_over(s, t.guest_cpu, old, cpu)
    trace.record(s, TR_MIGRATE, cpu, task, old)


@handler
def _end_idle(s: State, cpu: int) -> None:
    """Count how long `cpu` has idled, now that a task is queued there: its average decides on new idle balancing."""
    c = s.cpus[cpu]
    if c.idle_stamp == 0:
        return
    idled = c.clock - c.idle_stamp
    c.avg_idle += (idled - c.avg_idle) // 8
    c.avg_idle = min(c.avg_idle, 2 * c.max_idle_cost)
    c.idle_stamp = 0


@handler
def activate_task(s: State, cpu: int, task: int, initial: bool) -> None:
    """Queue a runnable `task` on `cpu`, whose clock has been read."""
    _end_idle(s, cpu)
    note_queued_at(s, task)
    classes.enqueue_task(s, cpu, task, initial)
    _note_queued(s, cpu)


@inlined
def note_queued_at(s: State, task: int) -> None:
    """Note that `task` has slept up to now, and waits from now on unless it is still on its CPU."""
    t = s.tasks[task]
    if t.off_at >= 0:
        t.slept += s.m[0].now - t.off_at
        t.off_at = s.m[0].now


@handler
def _note_queued(s: State, cpu: int) -> None:
    """Let the tick and the balancing of other CPUs know of one more task on `cpu` (add_nr_running)."""
    c = s.cpus[cpu]
    if c.nr_running >= 2 and c.domain >= 0:  # the root domain of isolated CPUs, which is never balanced, has its own
        s.kernels[c.kernel].overload = 1
    if c.curr >= 0:
        update_tick(s, cpu)
        polling.note_other(s, cpu)


@handler
def wakeup_preempt(s: State, cpu: int, task: int) -> None:
    """Mark `cpu` if `task`, just queued there, is to run instead of what runs."""
    c = s.cpus[cpu]
    if classes.wakeup_preempts(s, cpu, task):
        if fair.is_fair(s, task):
            resched.resched_curr_lazy(s, cpu)
        else:
            resched.resched_curr(s, cpu)
    if c.need_resched == RESCHED and (
        c.curr < 0 or s.tasks[c.curr].state == RUNNABLE
    ):  # the idle task is always queued
        resched.skip_clock(s, cpu)


@handler
def detach_task(s: State, task: int, cpu: int) -> None:
    """Take the queued `task` off its CPU, whose clock has been read; it is on its way to `cpu`."""
    source = s.tasks[task].cpu
    classes.dequeue_task(s, source, task)
    set_task_cpu(s, task, cpu)
    update_tick(s, source)


@handler
def attach_task(s: State, task: int) -> None:
    """Queue `task`, which has come from another CPU, where it is now."""
    cpu = s.tasks[task].cpu
    resched.update_rq_clock(s, cpu)
    classes.move_task(s, cpu, task)
    _note_queued(s, cpu)
    wakeup_preempt(s, cpu, task)


@handler
def move_task(s: State, task: int, cpu: int) -> None:
    """Move the waiting `task` to the queue of `cpu`."""
    resched.update_rq_clock(s, s.tasks[task].cpu)
    detach_task(s, task, cpu)
    attach_task(s, task)
