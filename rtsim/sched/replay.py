"""Asking the scheduler for the decisions of a recorded kernel: same wake-ups, sleeps, ticks and run times.

Nothing is simulated. Each recorded decision is put to the model in the state that the recording has led it to; then the
model is made to do what the kernel did, so that one difference does not bring others with it.
"""

from __future__ import annotations

from typing import Any

from rtsim.engine import sched_timers
from rtsim.engine.constants import IDLE_POLICY, NEVER, NONE, RUNNABLE, SLEEPING
from rtsim.engine.jit import entry_point, handler
from rtsim.engine.state import State
from rtsim.sched import core, fair, groups, migrate, resched
from rtsim.sched.entity import is_cfs, parent, virtual

__all__ = [
    "AT", "CHARGED", "COLUMNS", "KEEP", "KIND", "NEXT", "RESCHED", "SWITCH", "TASK", "TICK", "UNKNOWN", "UNTRACED",
    "VRUNTIME", "WAKEUP", "WEIGHT", "replay",
]  # fmt: skip

WAKEUP, TICK, SWITCH, KEEP = 0, 1, 2, 3
"""Kinds of decisions; the last: schedule() let the running task go on."""
AT, KIND, TASK, WEIGHT, CHARGED, VRUNTIME, RESCHED, NEXT = range(8)
"""Columns of a decision: ns; its kind; who woke, runs or leaves (-1 idle); the running task's weight (0: none); ns of
its traced charges since the decision before (-1: none) and its vruntime after them (or UNTRACED); whether the CPU is
marked, or the leaving task stays runnable; who is next."""
COLUMNS = 8
STAMP_NS = 4_000
"""Events are stamped in us, some after what they tell: a charge that differs from the stamps by less is the exact one;
one that differs by more is the last of several, the others of which were not traced."""
UNTRACED = -(2**63)
UNKNOWN = -2
"""Instead of an answer: the recording does not tell enough."""


@entry_point
def replay(s: State, events: Any, answers: Any) -> None:
    """Put each row of `events` to CPU 0 of `s`; `answers` gets who is next at switches, the mark at the others."""
    for row in range(len(events)):
        kind = events[row, KIND]
        _advance(s, events[row, AT])
        _reweight(s, events[row, WEIGHT])
        _back_date(s, kind == SWITCH, events[row, CHARGED], events[row, VRUNTIME])
        if kind == SWITCH:
            answers[row] = _switch(s, events[row, TASK], events[row, RESCHED] == 1, events[row, NEXT])
        elif kind == KEEP:
            answers[row] = core.pick_next_task(s, 0)
        else:
            answers[row] = _wake(s, events[row, TASK]) if kind == WAKEUP else _tick(s, events[row, RESCHED] == 1)
            s.cpus[0].need_resched = events[row, RESCHED]


@handler
def _advance(s: State, until: int) -> None:
    """Go on to `until`, past what no recorded event tells of: the scheduler's own timers, readings of CPU clocks."""
    while s.cpus[0].sched_timer_at <= until:
        _read_clock(s, s.cpus[0].sched_timer_at)
        s.m[0].now = s.cpus[0].sched_timer_at
        core.run_sched_timer(s, sched_timers.pop_expired(s, 0))
    _read_clock(s, until)
    s.m[0].now = until


@handler
def _read_clock(s: State, until: int) -> None:
    """Let the running task read its CPU clock where that ends its slice, if it does so every so often (OP_RUN)."""
    curr = s.cpus[0].curr
    if curr < 0:
        return
    period = s.ops[s.tasks[curr].pc].extra
    while period > 0:
        slice_end = core.slice_end_in(s, 0)
        reading = s.m[0].now + max((slice_end + period - 1) // period, 1) * period
        if slice_end == NEVER or reading >= until:
            return
        s.m[0].now = reading
        core.account_curr(s, 0)


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
    if vruntime != UNTRACED and fair.is_fair(s, curr):
        e.vruntime = vruntime - virtual(clock - e.exec_start, e.weight)


@handler
def _wake(s: State, task: int) -> int:
    """Wake `task`; return the mark."""
    if s.tasks[task].state == RUNNABLE and s.entities[task].delayed == 0:
        return UNKNOWN
    core.try_to_wake_up(s, task, 0)
    return s.cpus[0].need_resched


@handler
def _tick(s: State, marked: bool) -> int:
    """Let the running task see the tick; return the mark. Where the kernel did not mark, its turn goes on."""
    core.task_tick(s, 0)
    if s.cpus[0].curr >= 0 and not marked:
        s.tasks[s.cpus[0].curr].to_tail = 0
    return s.cpus[0].need_resched


@handler
def _switch(s: State, prev: int, stays: bool, following: int) -> int:
    """Pick who follows `prev`, and let the kernel's choice follow; return the model's choice."""
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
    if not known:
        return UNKNOWN
    if picked != following:
        _level_groups(s, picked, following)
    return picked


@handler
def _appear(s: State, task: int) -> None:
    """Queue a `task` that the recording shows for the first time: it was queued before, or comes from elsewhere."""
    if task >= 0 and s.tasks[task].state != RUNNABLE:
        s.tasks[task].state = RUNNABLE
        resched.update_rq_clock(s, 0)
        migrate.activate_task(s, 0, task, False)


@handler
def _level_groups(s: State, picked: int, following: int) -> None:
    """Where the kernel chose another group, put that group level with the model's choice.

    CFS traces no vruntime of groups, and theirs may be from before the recording; its choice tells that it is lower.
    """
    if picked < 0 or following < 0 or not fair.is_fair(s, picked) or not fair.is_fair(s, following):
        return
    chosen = following
    while chosen != NONE:
        model = picked
        while model != NONE and s.entities[model].queue != s.entities[chosen].queue:
            model = parent(s, model)
        if model != NONE:
            e = s.entities[chosen]
            if model != chosen and e.my_q >= 0 and is_cfs(s, e.queue):
                e.vruntime = min(e.vruntime, s.entities[model].vruntime)
            return
        chosen = parent(s, chosen)
