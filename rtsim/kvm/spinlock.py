"""Spinlocks of a kernel: whoever holds one, or spins for one, is not preempted by its own kernel, but its vCPU may be.

=========== ============================================================================================================
SPIN_NATIVE queued (kernel/locking/qspinlock.c): each waiter is served in turn, and the lock waits for one without a CPU
SPIN_VIRT   test-and-set, of guests whose host offers nothing better (virt_spin_lock): it goes to who sees it free first
SPIN_PV     queued; a waiter that has spun for long halts its vCPU, and who frees the lock kicks the first (kvm_unhalt).
            While the first is halted, others may take the lock before it
=========== ============================================================================================================

A waiter computes in vain until it sees the lock free: it is told by those that free it, and looks again whenever it
comes back from an interruption. A guest that spins leaves guest mode after a while (`rtsim.kvm.ple`).
"""

from __future__ import annotations

from rtsim.engine import calendar, execution, mutex, observe, rtsl, smt, trace
from rtsim.engine.constants import (
    ATOMIC,
    BASE,
    EXIT_HLT,
    EXIT_KICK,
    EXIT_PAUSE,
    NEVER,
    NONE,
    SPIN_PV,
    SPIN_VIRT,
    TASK_RUNS,
    TR_LOCK_WAIT,
    USER,
)
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.kvm import ple, vcpu

__all__ = ["look_again", "spin_lock", "spin_unlock"]


@handler
def spin_lock(s: State, cpu: int) -> bool:
    """Let the running task take the spinlock of its operation; return False if it waits for it instead."""
    task = s.cpus[cpu].curr
    t = s.tasks[task]
    lock = s.ops[t.pc].value
    waits = t.kthread == ATOMIC
    if not waits:
        t.kthread = ATOMIC
        t.spin_from = s.m[0].now
    if s.locks[lock].owner < 0 and _is_next(s, task, lock, waits):
        if waits:
            _leave_queue(s, lock, task)
        s.locks[lock].owner = task
        t.work_until = 0
        t.pc += 1
        return True
    if not waits:
        _join_queue(s, cpu, task, lock)
    _spin(s, cpu, task, lock)
    return False


@handler
def spin_unlock(s: State, cpu: int) -> None:
    """Free the spinlock of the running task's operation; who sees that, or is told, is next."""
    t = s.tasks[s.cpus[cpu].curr]
    lock = s.ops[t.pc].value
    s.locks[lock].owner = NONE
    t.kthread = USER
    rtsl.note_section(s, cpu, s.m[0].now - t.spin_from)
    execution.begin_base(s, cpu, TASK_RUNS, 0)
    first = s.locks[lock].head
    if first < 0:
        return
    if s.tasks[first].spin_halted == 1:
        host_task = s.cpus[cpu].carrier
        s.tasks[host_task].kick_cpu = s.tasks[first].cpu
        vcpu.leave_guest(s, s.tasks[host_task].cpu, EXIT_KICK)
        return
    _tell(s, first)
    if s.kernels[t.kernel].spinlocks == SPIN_VIRT:
        waiter = s.tasks[first].lock_next
        while waiter >= 0:
            _tell(s, waiter)
            waiter = s.tasks[waiter].lock_next


@handler
def look_again(s: State, cpu: int) -> None:
    """Let the running task, back from an interruption, look whether the spinlock is free; else it spins anew."""
    t = s.tasks[s.cpus[cpu].curr]
    t.spin_until = NONE
    if t.spin_halted == 1:
        t.spin_halted = 0
        t.spun_from = t.cpu_ns
    execution.begin_base(s, cpu, TASK_RUNS, 0)


@handler
def _is_next(s: State, task: int, lock: int, waits: bool) -> bool:
    """Return whether `task` may take the lock, which is free."""
    kind = s.kernels[s.tasks[task].kernel].spinlocks
    first = s.locks[lock].head
    if kind == SPIN_VIRT or first < 0 or first == task:
        return True
    return kind == SPIN_PV and not waits and s.tasks[first].spin_halted == 1


@handler
def _join_queue(s: State, cpu: int, task: int, lock: int) -> None:
    t = s.tasks[task]
    if s.locks[lock].owner >= 0:
        trace.record(s, TR_LOCK_WAIT, cpu, task, s.locks[lock].owner)
    mutex.add_waiter(s, lock, task)
    observe.account(s, cpu)
    t.work_until = 1
    t.spin_until = NONE
    t.spun_from = t.cpu_ns


@handler
def _leave_queue(s: State, lock: int, task: int) -> None:
    queue = s.locks[lock]
    if queue.head == task:
        queue.head = s.tasks[task].lock_next
        return
    before = queue.head
    while s.tasks[before].lock_next != task:
        before = s.tasks[before].lock_next
    s.tasks[before].lock_next = s.tasks[task].lock_next
    if queue.tail == task:
        queue.tail = before


@handler
def _tell(s: State, waiter: int) -> None:
    """Let a waiter that spins at this moment see the lock free."""
    c = s.cpus[s.tasks[waiter].cpu]
    if c.executing == 1 and c.level == BASE and s.tasks[waiter].spin_halted == 0:
        calendar.arm(s, s.tasks[waiter].cpu, s.m[0].now)


@handler
def _spin(s: State, cpu: int, task: int, lock: int) -> None:
    """Spin up to the end of the pause loop, or of the time after which the waiter halts; or do what comes then."""
    t = s.tasks[task]
    now = s.m[0].now
    carrier = s.cpus[cpu].carrier
    if t.spin_until == NONE:
        window = ple.window_ns(s, carrier) if carrier >= 0 else NEVER
        t.spin_until = NEVER if window == NEVER else now + window
    elif now >= t.spin_until:
        _leave_guest(s, cpu, EXIT_PAUSE)
        return
    time = NEVER if t.spin_until == NEVER else t.spin_until - now
    if s.kernels[t.kernel].spinlocks == SPIN_PV:
        observe.account(s, cpu)
        left = t.spun_from + s.kernels[t.kernel].spin_threshold - t.cpu_ns
        if left <= 0 or _follows_halted(s, lock, task):
            _halt(s, cpu, task)
            return
        time = min(time, left)
    execution.begin_base(s, cpu, TASK_RUNS, NEVER if time == NEVER else max(smt.work_in(s, cpu, time), 1))


@handler
def _follows_halted(s: State, lock: int, task: int) -> bool:
    """Return whether the waiter before `task` is halted: it will not be its turn soon (pv_wait_early)."""
    before = s.locks[lock].head
    while before >= 0 and before != task:
        if s.tasks[before].lock_next == task:
            return s.tasks[before].spin_halted == 1
        before = s.tasks[before].lock_next
    return False


@handler
def _halt(s: State, cpu: int, task: int) -> None:
    """Let the waiter's vCPU halt; the next waiter, if it spins, sees that."""
    s.tasks[task].spin_halted = 1
    _leave_guest(s, cpu, EXIT_HLT)
    following = s.tasks[task].lock_next
    if following >= 0:
        _tell(s, following)


@handler
def _leave_guest(s: State, guest_cpu: int, reason: int) -> None:
    execution.begin_base(s, guest_cpu, TASK_RUNS, 0)
    vcpu.leave_guest(s, s.tasks[s.cpus[guest_cpu].carrier].cpu, reason)
