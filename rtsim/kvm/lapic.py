"""The timer of a guest's CPU: who watches it, how early it fires, and what is waited for before the guest is entered.

While the guest runs, the CPU's own timer ends guest mode (VMX's preemption timer), or an hrtimer of the host does;
while its vCPU is halted, an hrtimer wakes it. All fire `timer_advance` early, for what the way into the guest takes;
what is too early is waited for with the guest about to be entered (lapic.c). Without KVM, QEMU's main loop fires it.
"""

from __future__ import annotations

from rtsim.engine import timers
from rtsim.engine.constants import IRQ_TIMER, NEVER, NONE
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State

__all__ = ["is_raised", "note_fired", "wait_lapic_expire"]

CYCLES_PER_US = 2_500
"""Of the time stamp counter; KVM's own limits are in cycles, and it does not matter much."""
ADJUST_MIN_NS = 100 * 1_000 // CYCLES_PER_US
ADJUST_MAX_NS = 10_000 * 1_000 // CYCLES_PER_US
ADJUST_STEP = 8
"""LAPIC_TIMER_ADVANCE_ADJUST_*: smaller errors and larger ones change nothing."""
ADVANCE_INIT_NS = 1_000
ADVANCE_MAX_NS = 5_000


@handler
def is_raised(s: State, guest_cpu: int) -> bool:
    """Return whether the timer interrupt of `guest_cpu` is owed to it already, or is being served."""
    g = s.cpus[guest_cpu]
    return (g.irq_pending | g.irq_serving) & IRQ_TIMER != 0 or s.tasks[g.carrier].timer_job == 1


@handler
def note_fired(s: State, guest_cpu: int) -> None:
    """Note that KVM's timer for `guest_cpu` has fired, for the expiry that comes next or has just been."""
    g = s.cpus[guest_cpu]
    g.irq_pending |= IRQ_TIMER
    expiry = timers.next_expiry(s, guest_cpu)
    s.tasks[g.carrier].timer_deadline = NONE if expiry == NEVER else expiry


@inlined
def wait_lapic_expire(s: State, task: int) -> int:
    """Return how long KVM waits before it enters the guest of vCPU `task`: for a timer that fired early (ns).

    How early the next one fires follows (adjust_lapic_timer_advance).
    """
    t = s.tasks[task]
    if t.timer_deadline < 0:
        return 0
    late = s.m[0].now - t.timer_deadline
    t.timer_deadline = NONE
    if s.kernels[t.kernel].timer_advance_adapts == 1 and ADJUST_MIN_NS <= abs(late) <= ADJUST_MAX_NS:
        if late < 0:
            t.timer_advance -= -late // ADJUST_STEP
        else:
            t.timer_advance += late // ADJUST_STEP
        if t.timer_advance > ADVANCE_MAX_NS:
            t.timer_advance = ADVANCE_INIT_NS
    return max(-late, 0)
