"""The vCPU thread: entry, the guest, exit, and what the exit asks for.

A guest CPU executes only while its vCPU thread is on a host CPU and in guest mode. Leaving guest mode freezes it: the
work left is kept and armed anew at the next entry. Its clock and timers go on in host time (`rtsim.kvm.lapic`).
"""

from __future__ import annotations

from rtsim.engine import execution, mutex, observe, rtsl, smt, trace
from rtsim.engine.constants import (
    BASE,
    EXIT_ARM,
    EXIT_EPT,
    EXIT_HLT,
    EXIT_IO,
    EXIT_KICK,
    EXIT_PAUSE,
    EXIT_TIMER,
    HALTED,
    IN_FAULT,
    IN_GUEST,
    IN_HOST,
    IN_QEMU,
    NEEDS_PAGE,
    ON_SPIN,
    POLLING,
    TASK_RUNS,
    TR_VM_ENTRY,
    TR_VM_EXIT,
    UNHALTED,
    VM_ENTRY,
    VM_EXIT,
    WANTS_LOCK,
)
from rtsim.engine.jit import handler, inlined
from rtsim.engine.random import cost
from rtsim.engine.state import State
from rtsim.kvm import halt, kick, lapic, main_loop, memory, ple
from rtsim.sched import core

__all__ = ["end_stretch", "freeze", "leave_guest", "proceed", "thaw"]


@handler
def freeze(s: State, guest_cpu: int) -> None:
    """Stop the execution of `guest_cpu`: its vCPU is no longer in guest mode."""
    g = s.cpus[guest_cpu]
    execution.suspend(s, guest_cpu)
    g.executing = 0
    observe.hand_over(s, guest_cpu, guest_cpu, s.tasks[g.carrier].cpu)


@inlined
def thaw(s: State, guest_cpu: int) -> None:
    """Let `guest_cpu` execute again from where it was."""
    g = s.cpus[guest_cpu]
    observe.hand_over(s, guest_cpu, s.tasks[g.carrier].cpu, guest_cpu)
    g.executing = 1
    g.since = s.m[0].now
    g.speed = s.cpus[s.tasks[g.carrier].cpu].speed
    g.frequency = s.cpus[s.tasks[g.carrier].cpu].frequency
    if g.level == BASE:
        rtsl.end_interruption(s, guest_cpu)
    execution.resume(s, guest_cpu)


@handler
def leave_guest(s: State, cpu: int, reason: int) -> None:
    """Take the vCPU that runs in guest mode on host CPU `cpu` out of it: a VM exit begins."""
    t = s.tasks[s.cpus[cpu].curr]
    freeze(s, t.guest_cpu)
    trace.record(s, TR_VM_EXIT, cpu, s.cpus[cpu].curr, reason)
    k = s.kernels[s.cpus[cpu].kernel]
    work = cost(s, cpu, k.vm_exit[reason])
    rtsl.note_section(s, cpu, work)
    execution.begin_base(s, cpu, TASK_RUNS, work)
    t.mode = VM_EXIT
    t.exit_reason = reason
    s.cpus[t.guest_cpu].exits[reason] += 1


@handler
def end_stretch(s: State, cpu: int) -> None:
    """Move on the vCPU on `cpu` whose entry, exit, page fault or work in QEMU is over."""
    observe.account(s, cpu)
    t = s.tasks[s.cpus[cpu].curr]
    if t.mode == VM_ENTRY:
        t.mode = IN_GUEST
        trace.record(s, TR_VM_ENTRY, cpu, s.cpus[cpu].curr, 0)
    elif t.mode == VM_EXIT:
        if t.exit_reason == EXIT_HLT:
            t.mode = HALTED
        elif t.exit_reason >= EXIT_IO:
            _serve_exit(s, cpu)
        elif t.exit_reason == EXIT_TIMER and halt.without_kvm(s, t.guest_cpu):
            t.mode = WANTS_LOCK
            t.io_left = 0
        else:
            t.mode = IN_HOST
    elif t.mode == POLLING:
        t.mode = HALTED
    elif t.mode == IN_FAULT:
        t.mode = IN_HOST
    elif t.mode == IN_QEMU:
        mutex.unlock(s, cpu, t.lock)
        t.mode = IN_HOST


@handler
def _serve_exit(s: State, cpu: int) -> None:
    """Do what the vCPU on `cpu` has left the guest for, or note what it needs for that."""
    t = s.tasks[s.cpus[cpu].curr]
    t.mode = IN_HOST
    if t.exit_reason in (EXIT_IO, EXIT_ARM):
        t.mode = WANTS_LOCK
    elif t.exit_reason == EXIT_EPT:
        t.mode = NEEDS_PAGE
    elif t.exit_reason == EXIT_PAUSE:
        ple.on_spin(s, cpu)
    elif t.exit_reason == EXIT_KICK:
        kick.kick_vcpu(s, cpu)


@handler
def _tell_main_loop(s: State, cpu: int) -> None:
    emulator = main_loop.note_armed(s, s.tasks[s.cpus[cpu].curr].guest_cpu)
    if emulator >= 0:
        core.try_to_wake_up(s, emulator, cpu)


@handler
def _end_wait(s: State, task: int) -> None:
    """Let the vCPU `task`, which has its CPU again, note that it has been kicked or has yielded."""
    mode = s.tasks[task].mode
    if mode == UNHALTED:
        halt.end_halt(s, task)
    elif mode == ON_SPIN:
        ple.end_spin_loop(s, task)


@inlined
def proceed(s: State, cpu: int) -> bool:
    """Begin the next stretch of the vCPU that has host CPU `cpu`; return False if it blocks instead."""
    task = s.cpus[cpu].curr
    t = s.tasks[task]
    if t.mode == HALTED:
        if s.cpus[t.guest_cpu].irq_pending == 0:
            return halt.wait(s, cpu)
        halt.end_halt(s, task)
        if halt.without_kvm(s, t.guest_cpu):
            t.mode = WANTS_LOCK
            t.io_left = 0
    if t.mode == WANTS_LOCK:
        if not mutex.lock_or_wait(s, cpu, t.lock):
            return False
        execution.begin_base(s, cpu, TASK_RUNS, t.io_left)
        t.mode = IN_QEMU
        if t.exit_reason == EXIT_ARM:
            _tell_main_loop(s, cpu)
        return True
    if t.mode >= NEEDS_PAGE:
        if t.mode == NEEDS_PAGE:
            return memory.serve_fault(s, cpu)
        _end_wait(s, task)
    c = s.cpus[cpu]
    c.entry_section = smt.work_in(s, cpu, lapic.wait_lapic_expire(s, task)) + cost(s, cpu, s.kernels[c.kernel].vm_entry)
    rtsl.note_section(s, cpu, c.entry_section)
    execution.begin_base(s, cpu, TASK_RUNS, c.entry_section)
    t.mode = VM_ENTRY
    return True
