"""Interrupts: who owes one to a CPU, when it is taken, and what it does, each action at its instant.

An interrupt is a row of stretches: entry, then its actions in turn, each followed by what it costs. First the expired
hrtimers and the tick (`hrtimer_interrupt`), then device handlers, then the wake-ups that others have asked for. The CPU
reschedules once, when the last of them is over (`rtsim.engine.entry`).
"""

from __future__ import annotations

from rtsim.engine import calendar, execution, idle, jobs, observe, rtsl, sched_timers, softirq, timers, trace
from rtsim.engine.constants import (
    BASE,
    EXIT_EXTERNAL,
    EXIT_TIMER,
    HALTED,
    IDLE,
    IDLE_EXIT,
    IN_GUEST,
    IRQ,
    IRQ_NOISE,
    IRQ_TIMER,
    IRQ_WAKE,
    NEVER,
    NONE,
    POLLING,
    SLEEPING,
    SOFTIRQ,
    TASK_RUNS,
    TR_IRQ,
    TR_TICK,
    TR_TIMER,
    VEC_HRTIMER,
    VM_ENTRY,
    VM_EXIT,
)
from rtsim.engine.jit import handler, inlined
from rtsim.engine.random import cost
from rtsim.engine.state import State
from rtsim.engine.timers import HARD_BASE, SOFT_BASE
from rtsim.kvm import lapic, polling, vcpu
from rtsim.sched import core

__all__ = ["deliver", "expire_clock", "fire_in_emulator", "next_stretch", "note_wake", "take_irq", "wake_from_irq"]

OVER = -1
"""Of `next_stretch`: nothing is left to do."""


@handler
def deliver(s: State, cpu: int, bits: int) -> None:
    """Let `cpu` owe the interrupts `bits`, and let it take them as soon as it can; a halted vCPU is woken for it."""
    c = s.cpus[cpu]
    c.irq_pending |= bits
    if c.executing == 1:
        _take_when_possible(s, cpu)
    else:
        _end_halt(s, cpu)


@handler
def _end_halt(s: State, guest_cpu: int) -> None:
    """Bring the vCPU of `guest_cpu`, if that has halted, back to enter the guest."""
    task = s.cpus[guest_cpu].carrier
    t = s.tasks[task]
    if t.mode == POLLING:
        rtsl.begin_interruption(s, guest_cpu)
        polling.end_poll(s, t.cpu)
    elif t.mode == HALTED and note_wake(s, task):
        rtsl.begin_interruption(s, guest_cpu)
        observe.open_watch(s, task, s.m[0].now, 0)
        s.cpus[t.cpu].irq_pending |= IRQ_WAKE
        _take_when_possible(s, t.cpu)


@handler
def wake_from_irq(s: State, task: int) -> None:
    """Let the CPU that `task` was last on take an interrupt that wakes it."""
    if note_wake(s, task):
        deliver(s, s.tasks[task].cpu, IRQ_WAKE)


@handler
def note_wake(s: State, task: int) -> bool:
    """Note `task` for the next interrupt of its CPU to wake; return False if it needs no waking."""
    t = s.tasks[task]
    if t.state != SLEEPING or t.wake_pending == 1:
        return False
    t.wake_pending = 1
    if t.timer_cpu >= 0:
        observe.follow(s, task)
    t.wake_next = NONE
    last = s.cpus[t.cpu].wake_head
    if last < 0:
        s.cpus[t.cpu].wake_head = task
        return True
    while s.tasks[last].wake_next >= 0:
        last = s.tasks[last].wake_next
    s.tasks[last].wake_next = task
    return True


@handler
def _take_when_possible(s: State, cpu: int) -> None:
    """Take the interrupts owed unless they are off; a guest is left first, an idle state too."""
    c = s.cpus[cpu]
    if c.level == SOFTIRQ:
        take_irq(s, cpu)
    if c.level != BASE:
        return
    if c.bottom == TASK_RUNS:
        mode = s.tasks[c.curr].mode
        if mode == IN_GUEST:
            vcpu.leave_guest(s, cpu, EXIT_EXTERNAL)
        elif mode != VM_ENTRY and mode != VM_EXIT:
            take_irq(s, cpu)
    elif c.bottom == IDLE:
        wait = cost(s, cpu, idle.exit_table(s, cpu))
        if wait == 0:
            take_irq(s, cpu)
        else:
            execution.begin_base(s, cpu, IDLE_EXIT, wait)
            rtsl.note_section(s, cpu, wait)


@handler
def take_irq(s: State, cpu: int) -> None:
    """Begin the interrupt for what is owed now; what comes up meanwhile is owed again, and taken after it."""
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    c.irq_serving = c.irq_pending
    c.irq_pending = 0
    c.irq_read = NONE
    trace.record(s, TR_IRQ, cpu, NONE, c.irq_serving)
    entry = cost(s, cpu, k.irq_entry)
    if c.irq_serving & IRQ_TIMER or c.irq_serving & (IRQ_WAKE | IRQ_NOISE) == IRQ_WAKE:
        entry += cost(s, cpu, k.timer_irq)
    execution.suspend(s, cpu)
    c.level = IRQ
    if entry == 0:
        entry = max(next_stretch(s, cpu), 0)
    c.left[IRQ] = entry
    execution.resume(s, cpu)


@handler
def next_stretch(s: State, cpu: int) -> int:
    """Let the interrupt do what comes next, up to the first action that takes time; return it (ns), or OVER."""
    while True:
        took = _next_action(s, cpu)
        if took != 0:
            return took


@handler
def _next_action(s: State, cpu: int) -> int:
    """Do one action and return what it costs (ns), OVER if none was left."""
    c = s.cpus[cpu]
    if c.irq_serving & IRQ_TIMER:
        took = _hrtimer_interrupt(s, cpu)
        if took == OVER:
            c.irq_serving &= ~IRQ_TIMER
            took = 0
        elif c.irq_programming == 0 or timers.may_expire(s, cpu, c.irq_read, s.m[0].now + took + c.irq_programming):
            return took
        took += c.irq_programming  # nothing comes between the last action and that: one stretch
        c.irq_programming = 0
        return took
    if c.irq_serving & IRQ_NOISE:
        c.irq_serving &= ~IRQ_NOISE
        took = c.irq_noise
        c.irq_noise = 0
        return took
    if c.irq_serving & IRQ_WAKE and c.wake_head >= 0:
        task = c.wake_head
        c.wake_head = s.tasks[task].wake_next
        s.tasks[task].wake_pending = 0
        return core.wake_up(s, task, cpu)
    task = softirq.thread_to_wake(s, cpu)
    if task >= 0:
        return core.wake_up(s, task, cpu)
    if c.wakelist >= 0 or c.nohz_kick != 0:
        return core.wake_pending(s, cpu)
    return OVER


@handler
def _hrtimer_interrupt(s: State, cpu: int) -> int:
    """Run the next timer or the tick that has expired; return what it cost (ns), OVER when the clock is programmed.

    The clock is read once; a timer that expires while others are run is run too if the clock event device would have
    to be programmed for the past: the kernel then reads the clock again, three times in all.
    """
    c = s.cpus[cpu]
    now = s.m[0].now
    if c.irq_read == NONE:
        c.irq_read = c.irq_entered = now
        c.irq_retries = 0
        c.irq_programming = cost(s, cpu, s.kernels[c.kernel].clock_program)
    while True:
        if c.sched_timer_at <= c.irq_read and c.sched_timer_at <= timers.next_expiry(s, cpu):
            core.run_sched_timer(s, sched_timers.pop_expired(s, cpu))
            continue
        if timers.soft_expired(s, cpu, c.irq_read):
            c.soft_activated = 1
            softirq.raise_softirq(s, cpu, VEC_HRTIMER, cost(s, cpu, s.kernels[c.kernel].ktimers))
        if c.tick_at <= c.irq_read and timers.tick_first(s, cpu):
            return _tick(s, cpu)
        task = timers.pop_expired(s, cpu, c.irq_read)
        if task >= 0:
            soft = s.tasks[task].timer_soft
            trace.record(s, TR_TIMER, cpu, task, soft)
            observe.open_watch(s, task, soft, now - soft)
            if s.tasks[task].cpu != cpu:
                observe.follow(s, task)
            return core.wake_up(s, task, cpu)
        if timers.next_expiry(s, cpu) > now:
            break
        c.irq_read = now
        c.irq_retries += 1
        if c.irq_retries == timers.MAX_RETRIES:
            timers.back_off(s, cpu, now - c.irq_entered)
            break
    c.irq_pending &= ~IRQ_TIMER
    timers.program_clock(s, cpu)
    return OVER


@handler
def _tick(s: State, cpu: int) -> int:
    """Let the scheduler see the tick and return what that costs (ns)."""
    trace.record(s, TR_TICK, cpu, NONE, 0)
    timers.forward_tick(s, cpu)
    core.task_tick(s, cpu)
    return core.tick_cost(s, cpu)


@inlined
def expire_clock(s: State, cpu: int) -> None:
    """Let the clock event device of `cpu` interrupt it.

    The samples of all tasks whose timers expire now begin, however long the interrupt may be delayed; in a guest, those
    of timers that KVM lets fire early are opened for when they expire.
    """
    early = timers.advance(s, cpu)
    following = min(_open_expired(s, cpu, HARD_BASE, early), _open_expired(s, cpu, SOFT_BASE, early))
    if following != NEVER:
        calendar.arm(s, timers.timer_slot(s, cpu), following - early)
    if s.cpus[cpu].carrier < 0:
        deliver(s, cpu, IRQ_TIMER)
    elif not lapic.is_raised(s, cpu):
        _fire_guest_timer(s, cpu)


@handler
def _fire_guest_timer(s: State, guest_cpu: int) -> None:
    """Let the timer of `guest_cpu` fire on the host, in KVM or, without it, in QEMU's main loop."""
    g = s.cpus[guest_cpu]
    t = s.tasks[g.carrier]
    if s.kernels[g.kernel].timer_task >= 0:
        fire_in_emulator(s, guest_cpu)
        return
    lapic.note_fired(s, guest_cpu)
    if g.executing == 0:
        if t.timer_cpu < 0:
            _end_halt(s, guest_cpu)
            if t.mode == POLLING:  # the hrtimer that stands for the guest's timer meanwhile interrupts the poll
                s.cpus[t.cpu].irq_pending |= IRQ_WAKE
                _take_when_possible(s, t.cpu)
        else:  # an hrtimer of the host wakes it
            rtsl.begin_interruption(s, guest_cpu)
    elif s.kernels[t.kernel].preemption_timer == 1:
        vcpu.leave_guest(s, t.cpu, EXIT_TIMER)
    else:
        deliver(s, t.cpu, IRQ_TIMER)


@handler
def fire_in_emulator(s: State, guest_cpu: int) -> None:
    """Give QEMU's main loop the work of firing the timer of `guest_cpu`."""
    g = s.cpus[guest_cpu]
    emulator = s.kernels[g.kernel].timer_task
    s.tasks[g.carrier].timer_job = 1
    work = cost(s, s.tasks[emulator].cpu, s.kernels[g.kernel].timer_work)
    jobs.add_job(s, emulator, work, 1, guest_cpu, NONE)
    wake_from_irq(s, emulator)


@handler
def _open_expired(s: State, cpu: int, base: int, early: int) -> int:
    """Open the samples of tasks whose timers of `base` expire up to `early` ns from now; return when the next does."""
    now = s.m[0].now
    task = s.cpus[cpu].timer_head[base]
    while task >= 0 and s.tasks[task].timer_hard <= now + early:
        soft = s.tasks[task].timer_soft
        observe.open_watch(s, task, soft, max(now, s.tasks[task].timer_hard) - soft)
        task = s.tasks[task].timer_next
    return s.tasks[task].timer_hard if task >= 0 else NEVER
