"""The scheduler's core: waking, marking, picking and switching, whatever the class of the tasks."""

from __future__ import annotations

from rtsim.engine import observe, trace
from rtsim.engine.constants import (
    DEADLINE,
    FIFO,
    IDLE,
    NEVER,
    NONE,
    NOT_IDLE,
    OTHER,
    RESCHED,
    RESCHED_LAZY,
    RR,
    RUNNABLE,
    T_CFS_PERIOD,
    T_CFS_SLACK,
    T_DEADLINE,
    T_FAIR_SERVER,
    T_RT_PERIOD,
    TR_BLOCK,
    TR_WAKING,
)
from rtsim.engine.jit import handler, inlined
from rtsim.engine.random import cost
from rtsim.engine.state import State
from rtsim.engine.timers import update_tick
from rtsim.sched import (
    balance,
    bandwidth,
    classes,
    cpus,
    deadline,
    dl_push_pull,
    fair,
    fair_server,
    migrate,
    newidle,
    nohz,
    pelt,
    placement,
    push_pull,
    remote,
    resched,
    rt_bandwidth,
    select,
)
from rtsim.sched.cfs_rq import requeue_delayed

__all__ = [
    "account_curr",
    "block_current",
    "cpu_clock",
    "pick_next_task",
    "rebalance",
    "run_sched_timer",
    "slice_end_in",
    "start_task",
    "switch_tasks",
    "task_tick",
    "tick_cost",
    "try_to_wake_up",
    "wake_pending",
    "wake_up",
    "yield_current",
]


@handler
def try_to_wake_up(s: State, task: int, here: int) -> None:
    """Make `task` runnable, called by code on CPU `here`; sleepers only, others are awake already."""
    t = s.tasks[task]
    if t.state == RUNNABLE:
        return
    s.m[0].here = here
    if s.cpus[t.cpu].bottom == IDLE:
        observe.account(s, t.cpu)  # up to now it idled for want of the wake-up
    t.state = RUNNABLE
    if t.timer_cpu >= 0:
        observe.follow(s, task)
    t.wakeups += 1
    t.waking_at = s.m[0].now
    t.fresh = 1
    if s.entities[task].delayed == 1:  # still queued: it stays where it is
        resched.update_rq_clock(s, t.cpu)
        trace.record(s, TR_WAKING, t.cpu, task, 0)
        migrate.note_queued_at(s, task)
        requeue_delayed(s, task)
        if s.cpus[t.cpu].curr != task:
            migrate.wakeup_preempt(s, t.cpu, task)
        return
    migrate.set_task_cpu(s, task, placement.select_task_rq(s, task, here))
    trace.record(s, TR_WAKING, t.cpu, task, 0)
    if not remote.ttwu_queue_wakelist(s, task, here):
        remote.ttwu_do_activate(s, task)


@handler
def start_task(s: State, task: int) -> None:
    """Queue a `task` that is runnable from the start on the CPU it begins on."""
    cpu = placement.select_first_rq(s, task)
    s.tasks[task].cpu = s.tasks[task].recent_cpu = s.m[0].here = cpu
    migrate.activate_task(s, cpu, task, True)
    s.cpus[cpu].need_resched = RESCHED


@handler
def wake_pending(s: State, cpu: int) -> int:
    """Do the next thing that another CPU has asked `cpu` for; return what that costs (ns), -1 if there is none."""
    k = s.kernels[s.cpus[cpu].kernel]
    s.m[0].here = cpu
    task = remote.next_pending(s, cpu)
    if task >= 0:
        remote.ttwu_do_activate(s, task)
        return cost(s, cpu, k.enqueue_remote)
    if s.cpus[cpu].nohz_kick != 0:
        nohz.nohz_idle_balance(s, cpu)
        return cost(s, cpu, k.softirq_entry)
    return -1


@handler
def wake_up(s: State, task: int, here: int) -> int:
    """Wake `task`, called by code on CPU `here`; return what that costs it (ns)."""
    try_to_wake_up(s, task, here)
    target = s.cpus[s.tasks[task].cpu]
    k = s.kernels[target.kernel]
    work = cost(s, here, k.wake)
    if s.entities[task].depth > 0 and fair.is_fair(s, task):
        work += s.entities[task].depth * cost(s, here, k.cgroup_level)
    if target.clock == s.m[0].now and fair_charged_until(s, target.curr) == target.clock_task:
        work += cost(s, here, k.preempt_fair)
    return work


@inlined
def fair_charged_until(s: State, task: int) -> int:
    """Return up to when a fair task has been charged for its time, NONE for others."""
    return s.entities[task].exec_start if task >= 0 and fair.is_fair(s, task) else NONE


@handler
def schedule_cost(s: State, cpu: int, prev: int, picked: int, charged_until: int) -> int:
    """Return what schedule() takes on `cpu` up to the switch from `prev`, charged so far, to `picked` (ns)."""
    k = s.kernels[s.cpus[cpu].kernel]
    work = cost(s, cpu, k.schedule)
    levels = fair.levels_walked(s, prev, picked)
    if levels > 0:
        work += levels * cost(s, cpu, k.cgroup_level)
    if fair_charged_until(s, prev) != charged_until and s.tasks[prev].state == RUNNABLE:
        work += cost(s, cpu, k.put_fair)
    return work


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
    if s.cpus[cpu].need_resched == RESCHED_LAZY:  # it waits for the tick at most
        s.cpus[cpu].need_resched = RESCHED
    classes.task_tick(s, cpu)
    if cpus.is_balanced(s, cpu):
        pelt.update_rt(s, cpu, cpus.runs_realtime(s, cpu))
        nohz.trigger_load_balance(s, cpu)


@handler
def remote_tick(s: State, cpu: int, here: int) -> None:
    """Let the scheduler of `cpu`, whose tick has stopped, see how long its task runs (sched_tick_remote, on `here`)."""
    if s.cpus[cpu].tick_at != NEVER or s.cpus[cpu].curr < 0:
        return
    s.m[0].here = here
    resched.update_rq_clock(s, cpu)
    classes.task_tick(s, cpu)


@handler
def tick_cost(s: State, cpu: int) -> int:
    """Return what a tick costs `cpu` (ns): a fair task that runs is charged for its time, in each of its levels."""
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    work = cost(s, cpu, k.tick)
    if c.curr >= 0 and fair.is_fair(s, c.curr):
        work += cost(s, cpu, k.preempt_fair)
        if s.entities[c.curr].depth > 0:
            work += s.entities[c.curr].depth * cost(s, cpu, k.cgroup_level)
    return work


@handler
def rebalance(s: State, cpu: int) -> None:
    """Balance `cpu` in the softirq that a tick has raised for it."""
    s.m[0].here = cpu
    resched.update_rq_clock(s, cpu)
    balance.rebalance_domains(s, cpu, NOT_IDLE)


@handler
def account_curr(s: State, cpu: int) -> None:
    """Bring the running task's account up to date, as its reading of its own CPU clock does."""
    s.m[0].here = cpu
    resched.update_rq_clock(s, cpu)
    classes.update_curr(s, cpu)


@handler
def cpu_clock(s: State, cpu: int) -> int:
    """Return what the running task has been charged for by now, as its own CPU clock tells (ns)."""
    curr = s.cpus[cpu].curr
    return s.entities[curr].sum_exec + resched.uncharged(s, cpu, curr)


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
        resched.update_rq_clock(s, t.entity)
        if s.kernels[s.cpus[t.entity].kernel].fair_server_idle_wait == 1:
            classes.update_curr(s, t.entity)  # what runs is charged first
        fair_server.end_wait(s, t.entity)
    elif t.kind == T_DEADLINE:
        deadline.end_throttle(s, t.entity)
        dl_push_pull.push_dl_task(s, s.tasks[t.entity].cpu)


@inlined
def pick_next_task(s: State, cpu: int) -> int:
    """Take the mark off and return the task to run next, -1 for idle; the running task competes if still runnable."""
    c = s.cpus[cpu]
    s.m[0].here = cpu
    if c.curr < 0 or s.tasks[c.curr].state == RUNNABLE:
        resched.schedule_clock(s, cpu)
    if c.curr >= 0 and not fair.is_fair(s, c.curr):
        classes.update_curr(s, cpu)
    pushed = c.active_balance == 1 and _push_current(s, cpu)
    _pull_realtime(s, cpu)
    picked = classes.pick_task(s, cpu)
    if _fair_class_ran_dry(s, cpu, picked) and cpus.is_balanced(s, cpu) and newidle.newidle_balance(s, cpu):
        picked = classes.pick_task(s, cpu)
    if pushed and s.tasks[c.curr].cpu == cpu:  # the CPU that idles has pulled it back
        classes.set_next_task(s, cpu, c.curr)
    c.need_resched = 0  # also of marks that the pick itself has made
    c.clock_skip = 0
    return picked


@inlined
def _fair_class_ran_dry(s: State, cpu: int, picked: int) -> bool:
    """Return whether balance_fair is asked for a task and has none: before idling, and as the last fair task leaves."""
    if picked < 0:
        return True
    curr = s.cpus[cpu].curr
    return curr >= 0 and s.tasks[curr].policy >= OTHER and s.cfs_rqs[cpu].h_nr_running == 0


@handler
def _pull_realtime(s: State, cpu: int) -> None:
    """Pull deadline or realtime tasks if one leaves `cpu` to something weaker (balance_dl, balance_rt)."""
    curr = s.cpus[cpu].curr
    gives_up = dl_push_pull.leaves_deadline_class(s, curr)
    if gives_up:
        dl_push_pull.pull_dl_task(s, cpu)
    if curr >= 0 and s.tasks[curr].policy <= RR and (gives_up or s.tasks[curr].state != RUNNABLE):
        push_pull.pull_rt_task(s, cpu, s.tasks[curr].prio)


@handler
def _push_current(s: State, cpu: int) -> bool:
    """Let the stopper push a task away; return whether it is the one that ran, which is put back for that."""
    curr = s.cpus[cpu].curr
    runs = curr >= 0 and s.tasks[curr].state == RUNNABLE
    if runs:
        classes.put_prev_task(s, cpu, curr)
    balance.push_active(s, cpu)
    if runs and s.tasks[curr].cpu == cpu:
        classes.set_next_task(s, cpu, curr)
        return False
    return runs


@inlined
def switch_tasks(s: State, cpu: int, prev: int, picked: int) -> None:
    """Put `prev` back or away and take `picked` out of its queue: it is the current task from now on."""
    balanced = cpus.is_balanced(s, cpu)
    if balanced:
        pelt.update_rt(s, cpu, cpus.runs_realtime(s, cpu))
    if prev >= 0 and s.tasks[prev].cpu != cpu:  # the stopper has put it back, and away
        classes.set_next_task(s, cpu, picked)
    elif prev >= 0 and picked >= 0 and fair.is_fair(s, prev) and fair.is_fair(s, picked):
        fair.switch_within(s, cpu, prev, picked)
    else:
        classes.put_prev_task(s, cpu, prev)
        classes.set_next_task(s, cpu, picked)
    s.cpus[cpu].need_resched = 0
    s.cpus[cpu].curr = picked
    if prev >= 0:
        s.tasks[prev].voluntary += int(s.tasks[prev].state != RUNNABLE)
        s.tasks[prev].involuntary += int(s.tasks[prev].state == RUNNABLE)
    update_tick(s, cpu)
    if picked < 0 and balanced:
        select.note_idle_core(s, cpu)
        nohz.enter_idle(s, cpu)
    elif picked >= 0 and s.cpus[cpu].rt_pushable > 0 and FIFO <= s.tasks[picked].policy <= RR:
        push_pull.push_rt_tasks(s, cpu)
    elif picked >= 0 and s.cpus[cpu].dl_nr_running > 1 and s.tasks[picked].policy == DEADLINE:
        dl_push_pull.push_dl_tasks(s, cpu)
