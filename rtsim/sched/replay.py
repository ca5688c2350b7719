"""Asking the scheduler for the decisions of a recorded kernel: same wake-ups, sleeps, ticks and run times.

Nothing is simulated. Each recorded decision is put to the model in the state that the recording has led it to; then the
model is made to do what the kernel did, so that one difference does not bring others with it.
"""

from __future__ import annotations

from typing import Any

from rtsim.engine import sched_timers
from rtsim.engine.jit import entry_point, handler
from rtsim.engine.state import IDLE_POLICY, RUNNABLE, SLEEPING, State
from rtsim.sched import core, fair, groups, migrate, resched
from rtsim.sched.entity import virtual

__all__ = ["COLUMNS", "KEEP", "SWITCH", "TICK", "UNKNOWN", "UNTRACED", "WAKEUP", "replay"]

WAKEUP, TICK, SWITCH, KEEP = 0, 1, 2, 3
"""The last: schedule() let the running task go on."""
COLUMNS = ("time", "kind", "task", "weight", "charged", "vruntime", "resched", "next")
"""Of one decision: ns; what; who woke or runs or leaves (-1 idle); the running task's weight (0: none); ns of
its traced charges since the decision before, and its vruntime after that (or UNTRACED); whether the CPU is marked, or
the leaving task stays runnable; who is next."""
STAMP_NS = 4_000
"""Events are stamped in us, some after what they tell: a charge that differs from the stamps by less is the exact one;
one that differs by more is of several, the first of which were not traced."""
UNTRACED = -(2**63)
UNKNOWN = -2
"""Instead of an answer: the recording does not tell enough."""


@entry_point
def replay(s: State, events: Any, answers: Any) -> None:
    """Put each row of `events` to CPU 0 of `s`; `answers` gets who is next at switches, the mark at the others."""
    for row in range(len(events)):
        kind = events[row, 1]
        _run_timers(s, events[row, 0])
        s.m[0].now = events[row, 0]
        _reweight(s, events[row, 3])
        _back_date(s, kind == SWITCH, events[row, 4], events[row, 5])
        if kind == WAKEUP:
            answers[row] = _wake(s, events[row, 2])
        elif kind == TICK:
            core.task_tick(s, 0)
            answers[row] = s.cpus[0].need_resched
            if s.cpus[0].curr >= 0 and events[row, 6] == 0:
                s.tasks[s.cpus[0].curr].to_tail = 0
        elif kind == KEEP:
            answers[row] = core.pick_next_task(s, 0)
        else:
            answers[row] = _switch(s, events[row, 2], events[row, 6] == 1, events[row, 7])
        if kind < SWITCH:
            s.cpus[0].need_resched = events[row, 6]


@handler
def _run_timers(s: State, until: int) -> None:
    """Run the scheduler's own timers that expire up to `until`: no recorded event tells of them."""
    while s.cpus[0].sched_timer_at <= until:
        s.m[0].now = s.cpus[0].sched_timer_at
        core.run_sched_timer(s, sched_timers.pop_expired(s, 0))


@handler
def _reweight(s: State, weight: int) -> None:
    """Follow a change of the running task's nice value: it takes effect before anything is charged."""
    curr = s.cpus[0].curr
    if curr < 0 or weight == 0 or not fair.is_fair(s, curr) or s.tasks[curr].policy == IDLE_POLICY:
        return
    if s.entities[curr].weight != weight:
        s.entities[curr].exec_start = s.cpus[0].clock
        groups.reweight_entity(s, curr, weight << 10)


@handler
def _back_date(s: State, at_switch: bool, charged: int, vruntime: int) -> None:
    """Let the running task's account, when it is brought up to the clock, come out as the kernel's."""
    curr = s.cpus[0].curr
    if curr < 0 or charged < 0:
        return
    e = s.entities[curr]
    clock = s.cpus[0].clock if at_switch and s.cpus[0].clock_skip == 1 else s.m[0].now
    if abs(clock - e.exec_start - charged) < STAMP_NS:
        e.exec_start = clock - charged
    charged = clock - e.exec_start
    if vruntime != UNTRACED and fair.is_fair(s, curr):
        e.vruntime = vruntime - virtual(charged, e.weight)


@handler
def _wake(s: State, task: int) -> int:
    if s.tasks[task].state == RUNNABLE and s.entities[task].delayed == 0:
        return UNKNOWN
    core.try_to_wake_up(s, task, 0)
    return s.cpus[0].need_resched


@handler
def _appear(s: State, task: int) -> None:
    """Queue a `task` that the recording shows for the first time: it was queued before, or comes from elsewhere."""
    if task >= 0 and s.tasks[task].state != RUNNABLE:
        s.tasks[task].state = RUNNABLE
        resched.update_rq_clock(s, 0)
        migrate.activate_task(s, 0, task, False)


@handler
def _switch(s: State, prev: int, stays: bool, following: int) -> int:
    known = s.cpus[0].curr == prev and (following < 0 or s.tasks[following].state == RUNNABLE)
    if s.cpus[0].curr != prev:
        _appear(s, prev)
        core.switch_tasks(s, 0, s.cpus[0].curr, prev)
    if prev >= 0 and not stays:
        core.block_current(s, 0, SLEEPING)
    _appear(s, following)
    picked = core.pick_next_task(s, 0)
    if following != prev:
        core.switch_tasks(s, 0, prev, following)
    return picked if known else UNKNOWN
