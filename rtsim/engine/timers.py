"""hrtimers and the tick of each CPU: one clock event device, programmed for the earliest hard expiry.

All timers whose soft expiry has passed go off in one interrupt, in the order of their hard expiries and up to the first
that has not (as ``__hrtimer_run_queues`` does); at equal expiry, in the order in which they were queued. The tick is
one more timer, on exact multiples of 1/HZ: it was queued a tick before, so at equal expiry it goes off after the timers
of longer sleeps and before those of shorter ones.

Under PREEMPT_RT the sleeps of fair tasks are timers of a second, soft base: the interrupt only raises a softirq.
"""

from __future__ import annotations

from rtsim.engine import calendar
from rtsim.engine.constants import EXIT_ARM, NEVER, OTHER, PREEMPT_RT
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State

__all__ = [
    "HARD_BASE",
    "MAX_RETRIES",
    "SOFT_BASE",
    "advance",
    "back_off",
    "cancel_timer",
    "end_soft",
    "forward_tick",
    "may_expire",
    "next_expiry",
    "pop_expired",
    "pop_soft",
    "program_clock",
    "sleep_base",
    "soft_expired",
    "start_timer",
    "tick_first",
    "timer_slot",
    "timer_target",
    "update_tick",
]

HARD_BASE, SOFT_BASE = 0, 1
MAX_RETRIES = 3
"""Readings of the clock in one interrupt, after which hrtimer_interrupt gives up."""
MOST_BACK_OFF = 100_000_000
"""ns."""


@handler
def timer_slot(s: State, cpu: int) -> int:
    """Return the calendar slot of the clock event device of `cpu`."""
    return len(s.cpus) + cpu


@inlined
def next_expiry(s: State, cpu: int) -> int:
    """Return the earliest hard expiry of the timers and the tick of `cpu`, NEVER if there is none."""
    c = s.cpus[cpu]
    earliest = min(c.tick_at, c.sched_timer_at)
    if c.timer_head[HARD_BASE] >= 0:
        earliest = min(earliest, s.tasks[c.timer_head[HARD_BASE]].timer_hard)
    if c.timer_head[SOFT_BASE] >= 0 and c.soft_activated == 0:
        earliest = min(earliest, s.tasks[c.timer_head[SOFT_BASE]].timer_hard)
    return earliest


@inlined
def program_clock(s: State, cpu: int) -> None:
    """Arm the clock event device for the earliest expiry; KVM arms that of a guest a little early."""
    c = s.cpus[cpu]
    earliest = max(next_expiry(s, cpu), c.hang_until)
    slot = timer_slot(s, cpu)
    if earliest == NEVER:
        calendar.disarm(s, slot)
        return
    earliest -= advance(s, cpu)
    if calendar.slot_time(s, slot) != earliest:
        calendar.arm(s, slot, max(earliest, s.m[0].now))
        if c.arm_source >= 0:
            _tell_emulator(s, cpu)
        elif c.carrier >= 0:
            c.exits[EXIT_ARM] += 1


@handler
def _tell_emulator(s: State, cpu: int) -> None:
    """Let QEMU be told now that the timer of the guest's `cpu` is armed, if it expires before those of the others."""
    k = s.kernels[s.cpus[cpu].kernel]
    expiry = next_expiry(s, cpu)
    for other in range(k.cpu_base, k.cpu_base + k.cpu_count):
        if other != cpu and next_expiry(s, other) <= expiry:
            return
    calendar.arm(s, calendar.source_slot(s, s.cpus[cpu].arm_source), s.m[0].now)


@inlined
def advance(s: State, cpu: int) -> int:
    """Return how early the clock event device of `cpu` fires: KVM's for a guest, for the way back into it (ns)."""
    carrier = s.cpus[cpu].carrier
    return s.tasks[carrier].timer_advance if carrier >= 0 else 0


@handler
def may_expire(s: State, cpu: int, read: int, until: int) -> bool:
    """Return whether an interrupt that has read the clock at `read`, or the device up to `until`, finds a timer due."""
    head = s.cpus[cpu].timer_head[HARD_BASE]
    if head >= 0 and s.tasks[head].timer_soft <= read:
        return True
    return next_expiry(s, cpu) - advance(s, cpu) <= until


@handler
def back_off(s: State, cpu: int, spent: int) -> None:
    """Let no clock event come for as long as the last interrupt `spent` (ns): it could not keep up with its timers."""
    s.cpus[cpu].hang_until = s.m[0].now + min(spent, MOST_BACK_OFF)


# ---- timers -----------------------------------------------------------------------------------------------------


@handler
def sleep_base(s: State, task: int) -> int:
    """Return the base of the timers that `task` sleeps on: soft only for fair tasks under PREEMPT_RT."""
    t = s.tasks[task]
    return SOFT_BASE if t.policy >= OTHER and s.kernels[t.kernel].preempt == PREEMPT_RT else HARD_BASE


@inlined
def start_timer(s: State, task: int, cpu: int, release: int, base: int) -> None:
    """Queue the timer of `base` that wakes `task`, last on `cpu`, softly at `release`, hard later by its slack."""
    t = s.tasks[task]
    t.timer_soft = release
    t.timer_hard = release + t.slack
    t.timer_queued = s.m[0].now
    t.timer_base = base
    t.timer_cpu = timer_target(s, cpu, t.timer_hard)
    queue = s.cpus[t.timer_cpu].timer_head
    before = -1
    after = queue[t.timer_base]
    while after >= 0 and s.tasks[after].timer_hard <= t.timer_hard:
        before = after
        after = s.tasks[after].timer_next
    t.timer_next = after
    if before >= 0:
        s.tasks[before].timer_next = task
    else:
        queue[t.timer_base] = task
        program_clock(s, t.timer_cpu)


@handler
def timer_target(s: State, cpu: int, expiry: int) -> int:
    """Return the CPU whose queue takes a timer started on `cpu` (get_nohz_timer_target).

    That of a nohz_full CPU goes to a housekeeping one, a busy one of its domain if there is any, on its own node if
    there is any, unless it would be the first to expire there: another CPU's clock cannot be programmed.
    """
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    if c.nohz_full == 0 or k.timer_migration == 0:
        return cpu
    target = c.timer_home if c.isolated == 1 else _busy_house(s, cpu)
    if target < 0 or expiry < next_expiry(s, target):
        return cpu
    return target


@handler
def _busy_house(s: State, cpu: int) -> int:
    """Return the nearest housekeeping CPU of the domains of `cpu` that has tasks, or else where its timers go."""
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    busy = c.timer_home
    for other in range(k.cpu_base, k.cpu_base + k.cpu_count):
        o = s.cpus[other]
        if o.nohz_full == 1 or o.isolated == 1 or o.nr_running == 0:
            continue
        if o.node == c.node:
            return other
        if busy == c.timer_home:
            busy = other
    return int(busy)


@handler
def cancel_timer(s: State, task: int) -> None:
    """Take the timer of `task` off its queue, if it is in one."""
    t = s.tasks[task]
    cpu = t.timer_cpu
    if cpu < 0:
        return
    queue = s.cpus[cpu].timer_head
    at = queue[t.timer_base]
    if at == task:
        queue[t.timer_base] = t.timer_next
    else:
        while s.tasks[at].timer_next != task:
            at = s.tasks[at].timer_next
        s.tasks[at].timer_next = t.timer_next
    t.timer_cpu = -1
    program_clock(s, cpu)


@handler
def pop_expired(s: State, cpu: int, read: int) -> int:
    """Take the first timer off the hard queue if its soft expiry is not after `read`; return its task, else -1."""
    return _pop(s, cpu, HARD_BASE, read)


@handler
def _pop(s: State, cpu: int, base: int, read: int) -> int:
    queue = s.cpus[cpu].timer_head
    head = queue[base]
    if head < 0 or s.tasks[head].timer_soft > read:
        return -1
    queue[base] = s.tasks[head].timer_next
    s.tasks[head].timer_cpu = -1
    return head


@handler
def soft_expired(s: State, cpu: int, read: int) -> bool:
    """Return whether the interrupt has to raise the softirq for the soft base."""
    c = s.cpus[cpu]
    head = c.timer_head[SOFT_BASE]
    return c.soft_activated == 0 and head >= 0 and s.tasks[head].timer_hard <= read


@handler
def pop_soft(s: State, cpu: int) -> int:
    """Take the first timer off the soft queue if its soft expiry has passed; return its task, else -1."""
    return _pop(s, cpu, SOFT_BASE, s.m[0].now)


@handler
def end_soft(s: State, cpu: int) -> None:
    """Let the softirq of the soft base be over: its next timer counts again."""
    s.cpus[cpu].soft_activated = 0
    program_clock(s, cpu)


# ---- the tick ---------------------------------------------------------------------------------------------------


@handler
def tick_first(s: State, cpu: int) -> bool:
    """Return whether the tick stands before the first timer; at equal expiry, what was queued first does."""
    c = s.cpus[cpu]
    if c.timer_head[HARD_BASE] < 0:
        return True
    head = s.tasks[c.timer_head[HARD_BASE]]
    return c.tick_at < head.timer_hard or (c.tick_at == head.timer_hard and c.tick_queued <= head.timer_queued)


@handler
def forward_tick(s: State, cpu: int) -> None:
    """Queue the tick's timer for the next multiple of 1/HZ, later by the CPU's offset (``skew_tick``)."""
    c = s.cpus[cpu]
    tick = s.kernels[c.kernel].tick_ns
    c.tick_at = ((s.m[0].now - c.tick_offset) // tick + 1) * tick + c.tick_offset
    c.tick_queued = s.m[0].now


@inlined
def update_tick(s: State, cpu: int) -> None:
    """Stop or restart the tick: it stops when idle (NO_HZ_IDLE), on nohz_full CPUs also with one task to run."""
    c = s.cpus[cpu]
    needed = c.curr >= 0 if not c.nohz_full else _full_tick_needed(s, cpu)
    if needed and c.tick_at == NEVER:
        forward_tick(s, cpu)
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
