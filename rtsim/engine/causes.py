"""What holds up a sample at a moment: the cause that the time is charged to."""

from __future__ import annotations

from rtsim.engine.constants import (
    ATOMIC,
    C_EMULATOR,
    C_HARDWARE,
    C_IDLE_EXIT,
    C_IRQ,
    C_MEMORY,
    C_PREEMPT_OFF,
    C_SOFTIRQ,
    C_SPINLOCK,
    C_SWITCH,
    C_THROTTLED,
    C_VM_ENTRY,
    C_VM_EXIT,
    CAUSES,
    EXIT_EPT,
    HALTED,
    HARDWARE,
    IDLE,
    IDLE_EXIT,
    IN_FAULT,
    IN_QEMU,
    IRQ,
    NEEDS_PAGE,
    NMI,
    NONE,
    RUNNABLE,
    SCHEDULE,
    SLEEPING,
    SOFTIRQ,
    SWITCH,
    VM_ENTRY,
    VM_EXIT,
    WANTS_LOCK,
)
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State

__all__ = ["holding_up", "place"]


@inlined
def place(s: State, task: int) -> int:
    """Return the CPU that `task` waits for: its own, or the one that serves the timer it sleeps on.

    What something else has woken before its timer, as an interrupt does a halted vCPU, waits for its own.
    """
    t = s.tasks[task]
    sleeps = t.timer_cpu >= 0 and t.state == SLEEPING and t.wake_pending == 0
    return int(t.timer_cpu if sleeps else t.cpu)


@inlined
def holding_up(s: State, cpu: int, watch: int) -> int:
    """Return the cause that holds up the sample of `watch` on `cpu` right now."""
    c = s.cpus[cpu]
    offset = CAUSES if c.carrier >= 0 else 0
    if c.level == HARDWARE:
        return C_HARDWARE + offset
    if c.level == IRQ or c.level == NMI:
        return C_IRQ + offset
    if c.level == SOFTIRQ:
        return C_SOFTIRQ + offset
    if c.bottom == SWITCH or c.bottom == SCHEDULE:
        return C_SWITCH + offset
    waiter = s.watches[watch].task
    if c.bottom == IDLE:
        return _idles_for(s, cpu, waiter)
    if c.bottom == IDLE_EXIT:
        return C_IDLE_EXIT + offset
    curr = c.curr
    mine = waiter == curr or s.cpus[place(s, waiter)].carrier == curr
    if mine:
        mode = s.tasks[curr].mode
        if mode == VM_ENTRY:
            return C_VM_ENTRY
        if mode == VM_EXIT:
            return C_MEMORY if s.tasks[curr].exit_reason == EXIT_EPT else C_VM_EXIT
        if mode in (IN_QEMU, WANTS_LOCK):
            return C_EMULATOR
        if mode in (NEEDS_PAGE, IN_FAULT):
            return C_MEMORY
    else:
        awaited = _sleeps_for(s, cpu, waiter)
        if awaited != NONE:
            return awaited
        if c.section_rest >= 0:
            return C_PREEMPT_OFF + offset
        if s.tasks[curr].kthread == ATOMIC:
            return (C_SPINLOCK if s.tasks[curr].work_until > 0 else C_PREEMPT_OFF) + offset
    return 2 * CAUSES + curr


@handler
def _idles_for(s: State, cpu: int, waiter: int) -> int:
    """Return why `cpu` idles though `waiter` wants to run."""
    awaited = _sleeps_for(s, cpu, waiter)
    if awaited != NONE:
        return awaited
    runner = waiter if place(s, waiter) == cpu else s.cpus[place(s, waiter)].carrier
    offset = CAUSES if s.cpus[cpu].carrier >= 0 else 0
    reached = s.cpus[cpu].wakelist < 0 and s.cpus[cpu].need_resched == 0  # nobody has to tell the CPU of a task
    if runner >= 0 and s.tasks[runner].state == RUNNABLE and reached:
        return C_THROTTLED + offset
    return C_IDLE_EXIT + offset


@handler
def _sleeps_for(s: State, cpu: int, waiter: int) -> int:
    """Return for what the vCPU of `waiter` sleeps though that does not, so that `cpu` is no help; NONE: it does not.

    It is a page that is read, a timer that QEMU is to fire elsewhere, or a spinlock: only a guest that waits for one
    halts with a task to run.
    """
    carrier = s.cpus[place(s, waiter)].carrier
    if carrier < 0 or s.tasks[carrier].state != SLEEPING:
        return NONE
    if s.tasks[carrier].mode == IN_FAULT:
        return C_MEMORY
    if s.tasks[carrier].timer_job == 1 and s.tasks[s.kernels[s.cpus[place(s, waiter)].kernel].timer_task].cpu != cpu:
        return C_EMULATOR
    halted = s.tasks[carrier].mode == HALTED and s.cpus[s.tasks[carrier].guest_cpu].curr >= 0
    return C_SPINLOCK + CAUSES if halted else NONE
