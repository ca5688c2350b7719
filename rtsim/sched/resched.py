"""Marking a CPU to reschedule, and its run queue clock.

The clock is read when the kernel reads it, not whenever time is asked for: a reschedule that a wake-up asked for goes
on with the wake-up's reading, so the switch that follows is charged to the woken task.
"""

from __future__ import annotations

from rtsim.engine import calendar, idle, observe
from rtsim.engine.constants import EXIT_IPI, IDLE, NEVER, PREEMPT_LAZY, RESCHED, RESCHED_LAZY
from rtsim.engine.jit import handler, inlined
from rtsim.engine.random import cost
from rtsim.engine.state import State

__all__ = [
    "clock_task",
    "ipi_slot",
    "resched_curr",
    "resched_curr_lazy",
    "schedule_clock",
    "send_ipi",
    "skip_clock",
    "uncharged",
    "update_rq_clock",
    "update_rq_clock_task",
]


@handler
def ipi_slot(s: State, cpu: int) -> int:
    """Return the calendar slot of the reschedule interrupt in flight to `cpu`."""
    return 2 * len(s.cpus) + cpu


@handler
def send_ipi(s: State, cpu: int) -> None:
    """Let an interrupt fly to `cpu`, unless one is under way; an idle CPU that polls sees what is up without."""
    if calendar.slot_time(s, ipi_slot(s, cpu)) != NEVER:
        return
    c = s.cpus[cpu]
    arrival = s.m[0].now
    if c.bottom != IDLE or not idle.polls(s, cpu):
        arrival += cost(s, cpu, s.kernels[c.kernel].ipi)
        c.paie = max(c.paie, arrival - s.m[0].now)
        if c.carrier >= 0 and s.m[0].here >= 0:
            s.cpus[s.m[0].here].exits[EXIT_IPI] += 1
    calendar.arm(s, ipi_slot(s, cpu), arrival)


@handler
def resched_curr(s: State, cpu: int) -> None:
    """Mark `cpu` to reschedule as soon as it may; another CPU than this gets an interrupt, or polls for the mark."""
    c = s.cpus[cpu]
    if c.need_resched == RESCHED:
        return
    if c.bottom == IDLE:  # why it has idled, is seen by what comes now
        observe.account(s, cpu)
    c.need_resched = RESCHED
    if cpu != s.m[0].here:
        send_ipi(s, cpu)


@handler
def resched_curr_lazy(s: State, cpu: int) -> None:
    """Mark `cpu` for the fair class: under lazy preemption it may go on to its next entry to the kernel."""
    c = s.cpus[cpu]
    if s.kernels[c.kernel].preempt != PREEMPT_LAZY or c.curr < 0:
        resched_curr(s, cpu)
    elif c.need_resched == 0:
        c.need_resched = RESCHED_LAZY


@inlined
def update_rq_clock(s: State, cpu: int) -> None:
    """Read the clock of the run queue of `cpu`, and the time not to be charged to tasks up to the same moment."""
    c = s.cpus[cpu]
    c.clock = s.m[0].now
    k = s.kernels[c.kernel]
    if k.irq_time_accounting | k.steal_accounting == 0:
        c.clock_task = c.clock
    else:
        update_rq_clock_task(s, cpu)


@handler
def update_rq_clock_task(s: State, cpu: int) -> None:
    """Read the clock of the tasks of `cpu`: that of its run queue without interrupts or steal."""
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    task_clock = c.clock
    if k.irq_time_accounting == 1:
        task_clock -= c.irq_ns + c.softirq_ns
    if k.steal_accounting == 1:
        task_clock -= s.tasks[c.carrier].run_delay
    # an interrupt under way counts once it is over: until then the task clock may have gone too far, and waits
    c.clock_task = max(c.clock_task, task_clock)


@handler
def skip_clock(s: State, cpu: int) -> None:
    """Let the next schedule() of `cpu` go on with the present reading (rq_clock_skip_update)."""
    s.cpus[cpu].clock_skip = s.kernels[s.cpus[cpu].kernel].clock_skip


@inlined
def schedule_clock(s: State, cpu: int) -> None:
    """Read the clock at schedule(), unless it is to be skipped."""
    if s.cpus[cpu].clock_skip == 0:
        update_rq_clock(s, cpu)


@inlined
def uncharged(s: State, cpu: int, task: int) -> int:
    """Return for how long `task`, which runs on `cpu`, would be charged now (ns)."""
    c = s.cpus[cpu]
    return c.clock_task - c.clock + s.m[0].now - s.entities[task].exec_start


@handler
def clock_task(s: State, cpu: int) -> int:
    """Return the time that tasks of `cpu` are charged by: interrupts and steal left out if accounted apart (ns)."""
    return s.cpus[cpu].clock_task
