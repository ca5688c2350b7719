"""Deadline tasks between CPUs: woken where they can run, pushed where they wait, pulled where there is room.

Names and rules are those of ``deadline.c`` and ``cpudeadline.c``. A CPU is overloaded while it has several deadline
entities that may run. As with realtime tasks this ignores scheduling domains, but for the preference of near CPUs, and
stays within a root domain. Of two tasks with the same deadline, to the nanosecond, none makes way for the other.
"""

from __future__ import annotations

from rtsim.engine.constants import DEADLINE, NEVER, NONE, RESCHED
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import migrate, resched
from rtsim.sched.cpupri import NO_RT, nearest, reaches
from rtsim.sched.cpus import allowed_on
from rtsim.sched.dl_entity import dl_entity_preempt, is_server

__all__ = [
    "find_later_rq",
    "leaves_deadline_class",
    "pull_dl_task",
    "push_dl_task",
    "push_dl_tasks",
    "select_task_rq_dl",
    "task_woken_dl",
]


@handler
def _earliest(s: State, cpu: int) -> int:
    """Return the earliest deadline of the entities of `cpu`, NEVER if it has none."""
    head = s.cpus[cpu].dl_head
    return s.dl_entities[head].deadline if head >= 0 else NEVER


@handler
def _would_be_earliest(s: State, task: int, cpu: int) -> bool:
    """Return whether `task` has an earlier deadline than all of `cpu` (dl_task_is_earliest_deadline)."""
    return s.dl_entities[task].deadline < _earliest(s, cpu)


@handler
def _latest(s: State, task: int) -> int:
    """Return the CPU of the latest of all earliest deadlines, if `task` is earlier and may use it; else -1."""
    k = s.kernels[s.tasks[task].kernel]
    root = s.cpus[s.tasks[task].cpu].root_domain
    best = NONE
    for cpu in range(k.cpu_base, k.cpu_base + k.cpu_count):
        if s.cpus[cpu].root_domain != root or s.cpus[cpu].dl_head < 0:
            continue
        if best < 0 or _earliest(s, cpu) > _earliest(s, best):
            best = cpu
    if best < 0 or not allowed_on(s, task, best) or not _would_be_earliest(s, task, best):
        return NONE
    return best


@handler
def find_later_rq(s: State, task: int, here: int) -> int:
    """Return a CPU for `task`: one without deadline tasks, else the one with the latest deadline, if later than its.

    Of several without, the nearest, seen from where it was and from the CPU `here` that asks. -1: none.
    """
    if s.tasks[task].nr_allowed == 1:
        return NONE
    free = nearest(s, task, here, NO_RT)
    return free if free >= 0 else _latest(s, task)


@handler
def _keeps_cpu_from(s: State, cpu: int, task: int) -> bool:
    """Return whether a deadline task runs on `cpu` that either cannot go elsewhere or is not later than `task`."""
    curr = s.cpus[cpu].curr
    if curr < 0 or s.tasks[curr].policy != DEADLINE:
        return False
    return s.tasks[curr].nr_allowed < 2 or not dl_entity_preempt(s, task, curr)


@handler
def select_task_rq_dl(s: State, task: int, here: int) -> int:
    """Return the CPU a woken deadline `task` is queued on: where it was, unless it could not run there at once."""
    cpu = s.tasks[task].cpu
    if _keeps_cpu_from(s, cpu, task):
        target = find_later_rq(s, task, here)
        if target >= 0 and _would_be_earliest(s, task, target):
            return target
    return cpu


# ---- push -----------------------------------------------------------------------------------------------------------


@handler
def _earliest_pushable(s: State, cpu: int, target: int) -> int:
    """Return the earliest task that waits on `cpu` and may run elsewhere, on `target` if that is not -1; -1: none."""
    if s.cpus[cpu].dl_nr_running < 2:
        return NONE
    entity = s.cpus[cpu].dl_head
    while entity >= 0:
        waits = entity != s.cpus[cpu].curr and not is_server(s, entity)
        if waits and s.tasks[entity].nr_allowed > 1 and (target < 0 or reaches(s, entity, target)):
            return entity
        entity = s.dl_entities[entity].next
    return NONE


@handler
def push_dl_task(s: State, cpu: int) -> bool:
    """Push the earliest pushable task of `cpu` to where it would run at once; return whether it was."""
    task = _earliest_pushable(s, cpu, NONE)
    if task < 0:
        return False
    curr = s.cpus[cpu].curr
    if curr >= 0 and s.tasks[curr].policy == DEADLINE and not _keeps_cpu_from(s, cpu, task):
        resched.resched_curr(s, cpu)
        return False
    target = find_later_rq(s, task, cpu)
    if target < 0 or target == cpu or not _would_be_earliest(s, task, target):
        return False
    migrate.move_task(s, task, target)
    resched.resched_curr(s, target)
    return True


@handler
def push_dl_tasks(s: State, cpu: int) -> None:
    """Push tasks from `cpu` as long as there is one to push and a CPU to push it to."""
    while push_dl_task(s, cpu):
        pass


@handler
def task_woken_dl(s: State, task: int) -> None:
    """Push `task`, just queued, if what runs on its CPU will not let it run."""
    t = s.tasks[task]
    c = s.cpus[t.cpu]
    if c.curr == task or c.need_resched == RESCHED or t.nr_allowed == 1:
        return
    if _keeps_cpu_from(s, t.cpu, task):
        push_dl_tasks(s, t.cpu)


# ---- pull -----------------------------------------------------------------------------------------------------------


@handler
def leaves_deadline_class(s: State, task: int) -> bool:
    """Return whether `task`, which ran, is a deadline task that sleeps or has used its budget up."""
    return task >= 0 and s.tasks[task].policy == DEADLINE and s.dl_entities[task].on_rq == 0


@handler
def pull_dl_task(s: State, cpu: int) -> None:
    """Pull tasks to `cpu` that are earlier than all it has, each earlier than the one before."""
    k = s.kernels[s.cpus[cpu].kernel]
    if k.dl_overloaded == 0:
        return
    for source in range(k.cpu_base, k.cpu_base + k.cpu_count):
        if source == cpu:
            continue
        task = _earliest_pushable(s, source, cpu)
        if task < 0 or not _would_be_earliest(s, task, cpu):
            continue
        curr = s.cpus[source].curr
        if curr >= 0 and s.tasks[curr].policy == DEADLINE and dl_entity_preempt(s, task, curr):
            continue  # it is about to run there
        migrate.move_task(s, task, cpu)
