"""hrtimers and the tick of each CPU: one clock event device, programmed for the earliest hard expiry.

All timers whose soft expiry has passed go off in one interrupt, in the order of their hard expiries and up to the first
that has not (as ``__hrtimer_run_queues`` does). The tick is one more timer, on exact multiples of 1/HZ.
"""

from __future__ import annotations

from rtsim.engine import calendar
from rtsim.engine.jit import handler
from rtsim.engine.state import NEVER, State

__all__ = ["cancel_timer", "pop_expired", "program_clock", "start_timer", "timer_slot", "update_tick"]


@handler
def timer_slot(s: State, cpu: int) -> int:
    """Return the calendar slot of the clock event device of `cpu`."""
    return len(s.cpus) + cpu


@handler
def program_clock(s: State, cpu: int) -> None:
    """Arm the clock event device for the earlier of the tick and the first hrtimer."""
    c = s.cpus[cpu]
    earliest = min(c.tick_at, c.sched_timer_at)
    if c.timer_head >= 0:
        earliest = min(earliest, s.tasks[c.timer_head].timer_hard)
    slot = timer_slot(s, cpu)
    if earliest == NEVER:
        calendar.disarm(s, slot)
    elif calendar.slot_time(s, slot) != earliest:
        calendar.arm(s, slot, max(earliest, s.m[0].now))


@handler
def start_timer(s: State, task: int, cpu: int, release: int) -> None:
    """Queue the timer that wakes `task`: soft expiry `release`, hard expiry later by the task's slack."""
    t = s.tasks[task]
    t.timer_cpu = cpu
    t.timer_soft = release
    t.timer_hard = release + t.slack
    before = -1
    after = s.cpus[cpu].timer_head
    while after >= 0 and s.tasks[after].timer_hard <= t.timer_hard:
        before = after
        after = s.tasks[after].timer_next
    t.timer_next = after
    if before >= 0:
        s.tasks[before].timer_next = task
    else:
        s.cpus[cpu].timer_head = task
        program_clock(s, cpu)


@handler
def pop_expired(s: State, cpu: int) -> int:
    """Take the first timer off the queue of `cpu` if its soft expiry has passed; return its task, else -1."""
    head = s.cpus[cpu].timer_head
    if head < 0 or s.tasks[head].timer_soft > s.m[0].now:
        return -1
    s.cpus[cpu].timer_head = s.tasks[head].timer_next
    s.tasks[head].timer_cpu = -1
    return head


@handler
def cancel_timer(s: State, task: int) -> None:
    """Take the timer of `task` off its queue, if it is in one."""
    cpu = s.tasks[task].timer_cpu
    if cpu < 0:
        return
    at = s.cpus[cpu].timer_head
    if at == task:
        s.cpus[cpu].timer_head = s.tasks[task].timer_next
    else:
        while s.tasks[at].timer_next != task:
            at = s.tasks[at].timer_next
        s.tasks[at].timer_next = s.tasks[task].timer_next
    s.tasks[task].timer_cpu = -1
    program_clock(s, cpu)


@handler
def update_tick(s: State, cpu: int) -> None:
    """Stop or restart the tick: it stops when idle (NO_HZ_IDLE), on nohz_full CPUs also with one task to run."""
    c = s.cpus[cpu]
    needed = c.curr >= 0 if not c.nohz_full else _full_tick_needed(s, cpu)
    if needed and c.tick_at == NEVER:
        tick = s.kernels[c.kernel].tick_ns
        c.tick_at = (s.m[0].now // tick + 1) * tick
        program_clock(s, cpu)
    elif not needed and c.tick_at != NEVER:
        c.tick_at = NEVER
        program_clock(s, cpu)


@handler
def _full_tick_needed(s: State, cpu: int) -> bool:
    # sched_can_stop_tick asks deadline entities first (any needs it), then round-robin tasks (more than one need it),
    # then FIFO ones (any lets it stop), then fair ones (more than one need it)
    c = s.cpus[cpu]
    if c.curr < 0:
        return False
    if c.dl_nr_running > 0:
        return True
    if s.rt_rqs[cpu].rr_nr_running > 0:
        return s.rt_rqs[cpu].rr_nr_running > 1
    return s.rt_rqs[cpu].rt_nr_running == 0 and s.cfs_rqs[cpu].h_nr_running > 1
