"""Kicking a halted vCPU without an interrupt: its guest halted it to wait for a spinlock (KVM_HC_KICK_CPU)."""

from __future__ import annotations

from rtsim.engine import observe, rtsl
from rtsim.engine.constants import EXIT_EXTERNAL, EXIT_HLT, HALTED, POLLING, SLEEPING, UNHALTED, VM_EXIT
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.kvm import ple, polling
from rtsim.sched import core
from rtsim.sched.directed_yield import yield_to

__all__ = ["kick_vcpu"]


@handler
def kick_vcpu(s: State, cpu: int) -> None:
    """Do what the vCPU on `cpu` has left its guest for: kick another one, and give way to that if it has no CPU."""
    guest_cpu = s.tasks[s.cpus[cpu].curr].kick_cpu
    task = s.cpus[guest_cpu].carrier
    t = s.tasks[task]
    if t.mode == VM_EXIT and t.exit_reason == EXIT_HLT:
        t.exit_reason = EXIT_EXTERNAL
    elif t.mode == POLLING:
        t.mode = UNHALTED
        rtsl.begin_interruption(s, guest_cpu)
        polling.end_poll(s, t.cpu)
    elif t.mode == HALTED:
        observe.account(s, t.cpu)  # until now it slept for the lock
        t.mode = UNHALTED
        if t.state == SLEEPING and t.wake_pending == 0:
            rtsl.begin_interruption(s, guest_cpu)
            observe.open_watch(s, task, s.m[0].now, 0)
            core.try_to_wake_up(s, task, cpu)
    if s.cpus[cpu].nr_running > 1 and ple.is_ready(s, task):
        yield_to(s, cpu, task)
