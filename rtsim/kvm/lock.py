"""The emulator's global lock (BQL): a plain mutex, no priority inheritance.

Unlocking wakes the first waiter, which tries again when it runs; until then anyone may take the lock.
"""

from __future__ import annotations

from rtsim.engine import observe, trace
from rtsim.engine.jit import handler
from rtsim.engine.state import BLOCKED, TR_LOCK_WAIT, State
from rtsim.sched import core

__all__ = ["lock_or_wait", "unlock"]


@handler
def lock_or_wait(s: State, cpu: int) -> bool:
    """Let the running task take its guest's lock; if another holds it, the task blocks. Return whether it has it."""
    task = s.cpus[cpu].curr
    t = s.tasks[task]
    lock = s.locks[t.lock]
    if lock.owner < 0:
        lock.owner = task
        t.holds = 1
        return True
    t.lock_next = -1
    if lock.head < 0:
        lock.head = task
    else:
        s.tasks[lock.tail].lock_next = task
    lock.tail = task
    trace.record(s, TR_LOCK_WAIT, cpu, task, lock.owner)
    if t.guest_cpu >= 0:
        observe.hand_over(s, t.guest_cpu, cpu, -1)
    t.waits_for_lock = 1
    core.block_current(s, cpu, BLOCKED)
    return False


@handler
def unlock(s: State, cpu: int) -> None:
    """Let the running task give the lock back and wake the first waiter."""
    t = s.tasks[s.cpus[cpu].curr]
    lock = s.locks[t.lock]
    lock.owner = -1
    t.holds = 0
    waiter = lock.head
    if waiter < 0:
        return
    w = s.tasks[waiter]
    lock.head = w.lock_next
    w.waits_for_lock = 0
    if w.guest_cpu >= 0:
        observe.hand_over(s, w.guest_cpu, -1, w.cpu)
    core.try_to_wake_up(s, waiter, cpu)
