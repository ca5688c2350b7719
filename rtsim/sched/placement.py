"""Which CPU a task runs on, by the simplest rule: the previous one if idle, else an idle one; idle CPUs pull."""

from __future__ import annotations

from rtsim.engine import observe, trace
from rtsim.engine.jit import handler
from rtsim.engine.state import CFS, NONE, RT_PRIORITIES, TR_MIGRATE, State
from rtsim.engine.timers import update_tick
from rtsim.sched import bandwidth, classes, fair, resched, tasklist

__all__ = [
    "allowed_on",
    "idle_cpu_for",
    "note_waiting",
    "pull_task",
    "select_first_rq",
    "select_task_rq",
    "set_task_cpu",
]


@handler
def allowed_on(s: State, task: int, cpu: int) -> bool:
    """Return whether the affinity mask of `task` holds `cpu`."""
    bit = cpu - s.kernels[s.tasks[task].kernel].cpu_base
    return (s.tasks[task].allowed[bit >> 6] >> (bit & 63)) & 1 == 1


@handler
def _is_idle(s: State, cpu: int) -> bool:
    return s.cpus[cpu].curr < 0 and s.cpus[cpu].nr_running == 0


@handler
def select_task_rq(s: State, task: int) -> int:
    """Return the CPU a woken `task` is queued on."""
    t = s.tasks[task]
    if not allowed_on(s, task, t.cpu):
        return _select_fallback_rq(s, task)
    if _is_idle(s, t.cpu):
        return t.cpu
    idle = idle_cpu_for(s, task)
    return idle if idle >= 0 else t.cpu


@handler
def _select_fallback_rq(s: State, task: int) -> int:
    """Return a CPU of the mask of `task`, which its last one is not in: an idle one, else the first."""
    idle = idle_cpu_for(s, task)
    if idle >= 0:
        return idle
    cpu = s.kernels[s.tasks[task].kernel].cpu_base
    while not allowed_on(s, task, cpu):
        cpu += 1
    return cpu


@handler
def select_first_rq(s: State, task: int) -> int:
    """Return the CPU a task that is runnable from the start is queued on: the allowed one with the least to run."""
    t = s.tasks[task]
    k = s.kernels[t.kernel]
    best = t.cpu
    for cpu in range(k.cpu_base, k.cpu_base + k.cpu_count):
        if s.cpus[cpu].isolated == 1 or not allowed_on(s, task, cpu):
            continue
        if s.cpus[best].isolated == 1 or s.cpus[cpu].nr_running < s.cpus[best].nr_running:
            best = cpu
    return best


@handler
def idle_cpu_for(s: State, task: int) -> int:
    """Return an idle CPU that may pull the waiting `task`, -1 if there is none."""
    t = s.tasks[task]
    if t.nr_allowed == 1 or s.cpus[t.cpu].isolated == 1:
        return -1
    k = s.kernels[t.kernel]
    for step in range(1, k.cpu_count):
        cpu = k.cpu_base + (t.cpu - k.cpu_base + step) % k.cpu_count
        c = s.cpus[cpu]
        if _is_idle(s, cpu) and c.need_resched == 0 and c.isolated == 0 and allowed_on(s, task, cpu):
            return cpu
    return -1


@handler
def set_task_cpu(s: State, task: int, cpu: int) -> None:
    """Move a task that is in no queue to `cpu`, and with it the samples that wait for it."""
    t = s.tasks[task]
    old = t.cpu
    if old == cpu:
        return
    e = s.entities[task]
    if fair.is_fair(s, task) and s.kernels[t.kernel].fair == CFS and e.relative == 0:
        e.vruntime -= s.cfs_rqs[e.queue].min_vruntime
        e.relative = 1
    t.migrations += 1
    t.cpu = cpu
    observe.follow(s, task)
    if t.guest_cpu >= 0 and t.waits_for_lock == 0:
        observe.hand_over(s, t.guest_cpu, old, cpu)
    trace.record(s, TR_MIGRATE, cpu, task, old)


@handler
def note_waiting(s: State, task: int, change: int) -> None:
    """Count a task that begins (+1) or ceases (-1) to wait in a queue, if an idle CPU might pull it."""
    if s.tasks[task].nr_allowed > 1:
        s.m[0].waiting += change


@handler
def pull_task(s: State, cpu: int) -> bool:
    """Let a CPU that is about to idle take one waiting task off another CPU's queue; return whether it did."""
    c = s.cpus[cpu]
    if s.m[0].waiting == 0 or c.isolated == 1:
        return False
    k = s.kernels[c.kernel]
    for step in range(1, k.cpu_count):
        other = k.cpu_base + (cpu - k.cpu_base + step) % k.cpu_count
        if s.cpus[other].isolated == 1:
            continue
        task = _waiting_rt(s, other, cpu)
        if task < 0:
            task = _waiting_fair(s, other, cpu)
        if task >= 0:
            _move(s, task, other, cpu)
            return True
    return False


@handler
def _move(s: State, task: int, source: int, cpu: int) -> None:
    """Move the waiting `task` from the queue of CPU `source` to that of `cpu`."""
    resched.update_rq_clock(s, source)
    classes.dequeue_task(s, source, task)
    set_task_cpu(s, task, cpu)
    classes.move_task(s, cpu, task)
    update_tick(s, source)


@handler
def _waiting_rt(s: State, source: int, cpu: int) -> int:
    """Return the strongest realtime task that waits on CPU `source` and may run on `cpu`, -1 if there is none."""
    if s.rt_rqs[source].rt_nr_running == 0:
        return NONE
    for prio in range(RT_PRIORITIES - 1):
        task = _first_allowed(s, s.task_lists[tasklist.rt_list(source, prio)].head, cpu)
        if task >= 0:
            return task
    return NONE


@handler
def _waiting_fair(s: State, source: int, cpu: int) -> int:
    """Return a fair task that waits on CPU `source` and may run on `cpu`, the one that ran longest ago."""
    task = s.task_lists[tasklist.fair_list(source)].tail
    while task >= 0:
        waits = task != s.cpus[source].curr and s.entities[task].delayed == 0
        if waits and allowed_on(s, task, cpu) and not bandwidth.throttled_hierarchy(s, s.entities[task].queue):
            return task
        task = s.tasks[task].prev
    return NONE


@handler
def _first_allowed(s: State, head: int, cpu: int) -> int:
    task = head
    while task >= 0 and not allowed_on(s, task, cpu):
        task = s.tasks[task].next
    return task
