"""The compiled clock: take the earliest event off the calendar and dispatch on its kind, until a time or a count.

Order of events at the same time, by rank, then by entity:

====  =====================  ============================
rank  kind of slot           entity
====  =====================  ============================
0     end of a stretch       CPU (host CPUs, then guests')
1     clock event (timers)   CPU
2     reschedule interrupt   CPU
3     noise source           source, in order of the profile
4     actions of a SimPy     (after all events of the model
      process                at that time)
====  =====================  ============================
"""

from __future__ import annotations

from rtsim.engine import calendar, entry, interrupts, jobs, noise, observe, timers
from rtsim.engine.constants import ACT_IRQ, ACT_JOB, ACT_NOTHING, ACT_START, ACT_WAKE, IRQ_NOISE, NONE, SLEEPING
from rtsim.engine.jit import entry_point, handler
from rtsim.engine.start import start_tasks
from rtsim.engine.state import State
from rtsim.engine.state_type import declare_state

__all__ = ["advance"]

declare_state()


@handler
def _dispatch(s: State, slot: int) -> None:
    cpus = len(s.cpus)
    if slot < cpus:
        entry.end_stretch(s, slot)
    elif slot < 2 * cpus:
        interrupts.expire_clock(s, slot - cpus)
    elif slot < 3 * cpus:
        entry.see_resched(s, slot - 2 * cpus)
    else:
        noise.strike(s, slot - 3 * cpus)


@handler
def _wake_early(s: State, task: int) -> None:
    """Wake `task` now; one that sleeps to a release is released now instead."""
    t = s.tasks[task]
    if t.timer_cpu >= 0:
        timers.cancel_timer(s, task)
        observe.follow(s, task)
        t.release = s.m[0].now
    if t.state == SLEEPING:
        observe.open_watch(s, task, s.m[0].now, 0)
    interrupts.wake_from_irq(s, task)


@handler
def _act(s: State) -> None:
    """Do what a SimPy process asked for."""
    m = s.m[0]
    action = m.action
    m.action = ACT_NOTHING
    if action == ACT_START:
        start_tasks(s)
    elif action == ACT_WAKE:
        _wake_early(s, m.action_entity)
    elif action == ACT_JOB:
        jobs.add_job(s, m.action_entity, m.action_value, 0, NONE, 0)
        interrupts.wake_from_irq(s, m.action_entity)
    elif action == ACT_IRQ:
        s.cpus[m.action_entity].irq_noise += m.action_value
        interrupts.deliver(s, m.action_entity, IRQ_NOISE)


@entry_point
def advance(s: State, until: int, most: int) -> int:
    """Handle events up to time `until`, at most `most` of them; return how many were handled.

    When no event up to `until` is left, time stands at `until` and every CPU is accounted up to it.
    """
    m = s.m[0]
    if m.action != ACT_NOTHING:
        _act(s)
    handled = 0
    while handled < most:
        time = calendar.next_time(s)
        if time > until:
            m.now = until
            for cpu in range(len(s.cpus)):
                observe.account(s, cpu)
            break
        m.now = time
        _dispatch(s, calendar.next_event(s))
        calendar.finish_event(s)
        handled += 1
    m.events += handled
    m.next_at = calendar.next_time(s)
    return handled
