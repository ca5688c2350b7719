"""Realtime tasks between CPUs: woken where they can run, pushed where they wait, pulled where there is room.

A CPU is overloaded while realtime tasks wait on it that may run elsewhere. All of this ignores scheduling domains, but
for the preference of near CPUs: it works wherever affinities allow within a root domain. Isolated CPUs share one, which
balanced ones are not in. Under PREEMPT_RT the kernel asks overloaded CPUs by interrupt to push (RT_PUSH_IPI) where here
their tasks are pulled at once.
"""

from __future__ import annotations

from rtsim.engine.bits import trailing_zeros
from rtsim.engine.constants import NONE, RESCHED, RR
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State
from rtsim.sched import migrate, resched, tasklist
from rtsim.sched.cpupri import NO_RT, highest_prio, is_rt, nearest, reaches, waiting_prio
from rtsim.sched.cpus import allowed_on

__all__ = ["find_lowest_rq", "pull_rt_task", "push_rt_tasks", "select_task_rq_rt", "task_woken_rt"]


@handler
def _lowest_prio(s: State, task: int) -> int:
    """Return the weakest priority of the CPUs that `task` may use, if weaker than its own; else -1 (cpupri_find)."""
    t = s.tasks[task]
    k = s.kernels[t.kernel]
    weakest = NONE
    for cpu in range(k.cpu_base, k.cpu_base + k.cpu_count):
        if reaches(s, task, cpu):
            weakest = max(weakest, highest_prio(s, cpu))
            if weakest == NO_RT:
                break
    return weakest if weakest > t.prio else NONE


@handler
def find_lowest_rq(s: State, task: int, here: int) -> int:
    """Return the CPU with the weakest to run that `task` may use, weaker than itself; -1 if there is none.

    Of several the nearest, seen from where it was and from the CPU `here` that asks.
    """
    t = s.tasks[task]
    if t.nr_allowed == 1:
        return NONE
    if allowed_on(s, task, t.cpu) and highest_prio(s, t.cpu) == NO_RT:
        return t.cpu
    lowest = _lowest_prio(s, task)
    return nearest(s, task, here, lowest) if lowest >= 0 else NONE


@handler
def _is_bound_to_run_on(s: State, curr: int, prio: int) -> bool:
    """Return whether the running `curr` is realtime and either cannot go elsewhere or is not weaker than `prio`."""
    return is_rt(s, curr) and (s.tasks[curr].nr_allowed < 2 or s.tasks[curr].prio <= prio)


@handler
def select_task_rq_rt(s: State, task: int, here: int) -> int:
    """Return the CPU a woken realtime `task` is queued on: where it was, unless it could not run there at once."""
    t = s.tasks[task]
    if _is_bound_to_run_on(s, s.cpus[t.cpu].curr, t.prio):
        target = find_lowest_rq(s, task, here)
        if target >= 0 and t.prio < highest_prio(s, target):
            return target
    return t.cpu


# ---- push -----------------------------------------------------------------------------------------------------------


@handler
def _first_pushable(s: State, cpu: int, target: int) -> int:
    """Return the strongest task that waits on `cpu` and may run elsewhere, on `target` if that is not -1; -1: none."""
    if s.cpus[cpu].rt_pushable == 0:
        return NONE
    for word in range(4):
        bits = s.cpus[cpu].rt_bitmap[word]
        while bits != 0:
            task = s.task_lists[tasklist.rt_list(cpu, 32 * word + trailing_zeros(bits) - 1)].head
            while task >= 0:
                if s.tasks[task].nr_allowed > 1 and (target < 0 or reaches(s, task, target)):
                    return task
                task = s.tasks[task].next
            bits &= bits - 1
    return NONE


@handler
def _push_rt_task(s: State, cpu: int) -> bool:
    """Push the strongest pushable task of `cpu` to where something weaker runs; return whether it was."""
    task = _first_pushable(s, cpu, NONE)
    if task < 0:
        return False
    curr = s.cpus[cpu].curr
    if s.tasks[task].prio < (s.tasks[curr].prio if curr >= 0 else NO_RT):
        resched.resched_curr(s, cpu)
        return False
    target = find_lowest_rq(s, task, cpu)
    if target < 0 or target == cpu or highest_prio(s, target) <= s.tasks[task].prio:
        return False
    migrate.move_task(s, task, target)
    resched.resched_curr(s, target)
    return True


@handler
def push_rt_tasks(s: State, cpu: int) -> None:
    """Push tasks from `cpu` as long as there is one to push and a CPU to push it to."""
    while _push_rt_task(s, cpu):
        pass


@handler
def _preempt_equal(s: State, cpu: int, task: int) -> bool:
    """Let `task` run instead of an equal that can go elsewhere, if it cannot itself (check_preempt_equal_prio)."""
    curr = s.cpus[cpu].curr
    t = s.tasks[task]
    if not is_rt(s, curr) or s.tasks[curr].prio != t.prio or s.cpus[cpu].need_resched == RESCHED:
        return False
    if s.tasks[curr].nr_allowed == 1 or _lowest_prio(s, curr) < 0:
        return False
    if t.nr_allowed > 1 and _lowest_prio(s, task) >= 0:
        return False
    tasklist.unlink(s, tasklist.rt_list(cpu, t.prio), task)
    tasklist.link(s, tasklist.rt_list(cpu, t.prio), task, True)
    # what ran goes behind it: in the kernel it is pushed away as soon as it is put back
    s.tasks[curr].to_tail = 1
    resched.resched_curr(s, cpu)
    return True


@inlined
def task_woken_rt(s: State, task: int) -> None:
    """Push `task`, just queued, if what runs on its CPU will not let it run; an equal may have to make way."""
    t = s.tasks[task]
    c = s.cpus[t.cpu]
    if _preempt_equal(s, t.cpu, task):
        return
    if c.curr == task or c.need_resched == RESCHED or t.nr_allowed == 1:
        return
    if c.curr >= 0 and s.tasks[c.curr].policy <= RR and _is_bound_to_run_on(s, c.curr, t.prio):
        push_rt_tasks(s, t.cpu)


# ---- pull -----------------------------------------------------------------------------------------------------------


@inlined
def pull_rt_task(s: State, cpu: int, prio: int) -> None:
    """Pull stronger tasks to `cpu` than it has, if what it has is weaker than `prio`, that of the task that left."""
    k = s.kernels[s.cpus[cpu].kernel]
    if k.rt_overloaded == 0 or waiting_prio(s, cpu) <= prio:
        return
    for source in range(k.cpu_base, k.cpu_base + k.cpu_count):
        if source == cpu or s.cpus[source].rt_pushable == 0:
            continue
        task = _first_pushable(s, source, cpu)
        if task < 0 or s.tasks[task].prio >= waiting_prio(s, cpu):
            continue
        curr = s.cpus[source].curr
        if curr >= 0 and s.tasks[task].prio < s.tasks[curr].prio:
            continue  # it is about to run there
        migrate.move_task(s, task, cpu)
