"""A halted vCPU: it polls for a while, as long as nobody else wants its CPU, then sleeps (kvm_vcpu_halt).

How long it polls follows how long it has been halted: longer after a halt that a longer poll would have caught, shorter
after one that none would have.
"""

from __future__ import annotations

from rtsim.engine import execution, observe, smt, timers
from rtsim.engine.constants import NEVER, NONE, POLLING, SLEEPING, TASK_RUNS
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State
from rtsim.sched import core

__all__ = ["adapt_guest_poll", "end_halt", "hand_timer_over", "wait", "without_kvm"]


@inlined
def without_kvm(s: State, guest_cpu: int) -> bool:
    """Return whether QEMU alone runs the guest: its vCPUs halt, and take interrupts, under the global lock."""
    return s.kernels[s.cpus[guest_cpu].kernel].timer_task >= 0


@inlined
def wait(s: State, cpu: int) -> bool:
    """Let the halted vCPU on `cpu` poll, or sleep if it has; return False if it sleeps."""
    t = s.tasks[s.cpus[cpu].curr]
    if t.halted_at < 0:
        t.halted_at = s.m[0].now
        if _may_poll(s, cpu):
            t.mode = POLLING
            execution.begin_base(s, cpu, TASK_RUNS, smt.work_in(s, cpu, t.halt_poll_ns))
            return True
    if s.cpus[cpu].nohz_full == 1:
        hand_timer_over(s, cpu)
    core.block_current(s, cpu, SLEEPING)
    return False


@handler
def _may_poll(s: State, cpu: int) -> bool:
    c = s.cpus[cpu]
    t = s.tasks[c.curr]
    guest = s.kernels[s.cpus[t.guest_cpu].kernel]
    # one that polls itself has asked KVM not to (MSR_KVM_POLL_CONTROL)
    if guest.guest_poll_ns > 0 or guest.timer_task >= 0:
        return False
    return t.halt_poll_ns > 0 and c.need_resched == 0 and c.nr_running == 1


@handler
def hand_timer_over(s: State, cpu: int) -> None:
    """Start an hrtimer for the guest's timer where that of the nohz_full `cpu` goes to another one."""
    task = s.cpus[cpu].curr
    t = s.tasks[task]
    if without_kvm(s, t.guest_cpu):
        return
    expiry = timers.next_expiry(s, t.guest_cpu)
    if expiry != NEVER and timers.timer_target(s, cpu, expiry - t.timer_advance) != cpu:
        timers.start_timer(s, task, cpu, expiry - t.timer_advance, timers.HARD_BASE)


@inlined
def end_halt(s: State, task: int) -> None:
    """Let the vCPU `task`, which something has come for, be halted no longer; set how long it polls next time."""
    t = s.tasks[task]
    if t.timer_cpu >= 0:
        timers.cancel_timer(s, task)
        observe.follow(s, task)
    if t.halted_at < 0:
        return
    halted = s.m[0].now - t.halted_at
    t.halted_at = NONE
    k = s.kernels[t.kernel]
    if s.kernels[s.cpus[t.guest_cpu].kernel].guest_poll_ns > 0:
        adapt_guest_poll(s, t.guest_cpu, halted)
    elif halted <= t.halt_poll_ns:
        return
    elif t.halt_poll_ns > 0 and halted > k.halt_poll_ns:
        t.halt_poll_ns = _shrunk(t.halt_poll_ns, k.halt_poll_shrink, k.halt_poll_grow_start)
    elif t.halt_poll_ns < k.halt_poll_ns and halted < k.halt_poll_ns and k.halt_poll_grow > 0:
        # grown beyond the longest, it is cut to that when it halts next
        t.halt_poll_ns = min(max(t.halt_poll_ns * k.halt_poll_grow, k.halt_poll_grow_start), k.halt_poll_ns)


@handler
def adapt_guest_poll(s: State, guest_cpu: int, halted: int) -> None:
    """Set how long the idle CPU of a guest polls before it halts next (adjust_poll_limit of cpuidle-haltpoll)."""
    g = s.cpus[guest_cpu]
    k = s.kernels[g.kernel]
    if g.poll_limit < halted <= k.guest_poll_ns:
        g.poll_limit = min(max(g.poll_limit * k.guest_poll_grow, k.guest_poll_grow_start), k.guest_poll_ns)
    elif halted > k.guest_poll_ns:
        g.poll_limit = _shrunk(g.poll_limit, k.guest_poll_shrink, k.guest_poll_grow_start)


@handler
def _shrunk(poll: int, divisor: int, least: int) -> int:
    shorter = poll // divisor if divisor > 0 else 0
    return shorter if shorter >= least else 0
