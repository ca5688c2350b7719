"""Which tasks balancing takes from the busiest CPU, from the one that ran longest ago on (``detach_tasks``)."""

from __future__ import annotations

from rtsim.engine.constants import IDLE_POLICY, NEWLY_IDLE, NONE, NOT_IDLE, SD_SHARE_CPUCAPACITY
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import bandwidth, migrate, tasklist
from rtsim.sched.cpus import allowed_on
from rtsim.sched.entity import queue_of
from rtsim.sched.group_stats import considered
from rtsim.sched.pelt import task_h_load
from rtsim.sched.resched import clock_task

__all__ = ["MIGRATE_LOAD", "MIGRATE_TASK", "MIGRATE_UTIL", "attach_tasks", "detach_one_task", "detach_tasks"]

MIGRATE_LOAD, MIGRATE_UTIL, MIGRATE_TASK = 0, 1, 2
"""What an imbalance counts."""


@handler
def _task_hot(s: State, task: int) -> bool:
    """Return whether the cache of its CPU is likely to hold what `task` works on."""
    lb = s.lb[0]
    e = s.entities[task]
    k = s.kernels[s.tasks[task].kernel]
    if s.tasks[task].policy == IDLE_POLICY or s.domains[lb.domain].sd_flags & SD_SHARE_CPUCAPACITY:
        return False
    q = s.cfs_rqs[e.queue]
    if s.cpus[lb.dst].nr_running > 0 and (q.next == task or q.last == task):
        return True
    return clock_task(s, lb.src) - e.exec_start < k.migration_cost


@handler
def _throttled_pair(s: State, task: int) -> bool:
    """Return whether the group of `task` may not run on one of the two CPUs (throttled_lb_pair)."""
    lb = s.lb[0]
    there = bandwidth.throttled_hierarchy(s, queue_of(s, task, lb.dst))
    return there or bandwidth.throttled_hierarchy(s, s.entities[task].queue)


@handler
def _note_other_dst(s: State, task: int) -> None:
    """Note another CPU of the group that `task` may run on, as it may not run on the one that balances."""
    lb = s.lb[0]
    group = s.sched_groups[s.domains[lb.domain].first_group + s.domains[lb.domain].local_group]
    for at in range(group.first_member, group.first_member + group.weight):
        cpu = s.members[at]
        if considered(s, cpu) and allowed_on(s, task, cpu):
            lb.dst_pinned = 1
            lb.new_dst = cpu
            return


@handler
def _can_migrate_task(s: State, task: int) -> bool:
    lb = s.lb[0]
    t = s.tasks[task]
    d = s.domains[lb.domain]
    if _throttled_pair(s, task) or (t.kthread == 1 and t.nr_allowed == 1):
        return False
    if not allowed_on(s, task, lb.dst):
        lb.some_pinned = 1
        if lb.idle != NEWLY_IDLE and lb.dst_pinned == 0 and lb.active == 0:
            _note_other_dst(s, task)
        return False
    lb.all_pinned = 0
    if lb.active == 1:
        return True
    if s.cpus[lb.src].curr == task:
        return False
    return not _task_hot(s, task) or d.failed > d.cache_nice_tries


@handler
def _take(s: State, task: int) -> None:
    lb = s.lb[0]
    migrate.detach_task(s, task, lb.dst)
    s.tasks[task].transit_next = lb.tasks
    lb.tasks = task


@handler
def _fits(s: State, task: int) -> bool:
    """Return whether `task` is small enough for the imbalance, and take it off that if it is; failures relax this."""
    lb = s.lb[0]
    size = 1
    if lb.migration == MIGRATE_LOAD:
        size = max(task_h_load(s, task), 1)
    elif lb.migration == MIGRATE_UTIL:
        size = s.entities[task].util_avg
    if lb.migration != MIGRATE_TASK and size >> min(s.domains[lb.domain].failed, 62) > lb.imbalance:
        return False
    lb.imbalance -= size
    return True


@handler
def detach_tasks(s: State) -> int:
    """Take tasks worth the imbalance from the source of the balancing pass; return how many."""
    lb = s.lb[0]
    tasks = tasklist.fair_list(lb.src)
    if s.cpus[lb.src].nr_running <= 1:
        lb.all_pinned = 0
        return 0
    detached = 0
    while lb.imbalance > 0 and s.task_lists[tasks].tail >= 0:
        if lb.idle != NOT_IDLE and s.cpus[lb.src].nr_running <= 1:
            break
        lb.loop += 1
        if lb.loop > lb.loop_max:
            break
        task = s.task_lists[tasks].tail
        if _can_migrate_task(s, task) and _fits(s, task):
            _take(s, task)
            detached += 1
            if lb.idle == NEWLY_IDLE:  # kernels built to be preemptible, as those with a choice at boot are
                break
        else:
            tasklist.unlink(s, tasks, task)
            tasklist.link(s, tasks, task, True)
    return detached


@handler
def detach_one_task(s: State) -> int:
    """Take one task from the source, the one that just ran included; return it, -1 if none may go."""
    task = s.task_lists[tasklist.fair_list(s.lb[0].src)].tail
    while task >= 0:
        if _can_migrate_task(s, task):
            migrate.detach_task(s, task, s.lb[0].dst)
            return task
        task = s.tasks[task].prev
    return NONE


@handler
def attach_tasks(s: State) -> None:
    """Queue the tasks that have been taken, the last one first."""
    lb = s.lb[0]
    while lb.tasks >= 0:
        task = lb.tasks
        lb.tasks = s.tasks[task].transit_next
        migrate.attach_task(s, task)
