"""Mutexes without priority inheritance: QEMU's global lock (BQL) and those of workloads.

Unlocking wakes the first waiter, which tries again when it runs; until then anyone may take the mutex.
"""

from __future__ import annotations

from rtsim.engine import observe, trace
from rtsim.engine.constants import BLOCKED, TR_LOCK_WAIT
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import core

__all__ = ["add_waiter", "lock_or_wait", "next_waiter", "unlock"]


@handler
def lock_or_wait(s: State, cpu: int, lock: int) -> bool:
    """Let the running task take a mutex; if another has it, the task blocks. Return whether it has it."""
    task = s.cpus[cpu].curr
    t = s.tasks[task]
    if s.locks[lock].owner < 0:
        s.locks[lock].owner = task
        return True
    add_waiter(s, lock, task)
    trace.record(s, TR_LOCK_WAIT, cpu, task, s.locks[lock].owner)
    if t.guest_cpu >= 0:
        observe.hand_over(s, t.guest_cpu, cpu, -1)
    t.waits_for_lock = 1
    core.block_current(s, cpu, BLOCKED)
    return False


@handler
def unlock(s: State, cpu: int, lock: int) -> None:
    """Free a mutex, whoever has it (as pthread_mutex_unlock does), and wake the first waiter from code on `cpu`."""
    s.locks[lock].owner = -1
    waiter = next_waiter(s, lock)
    if waiter < 0:
        return
    w = s.tasks[waiter]
    w.waits_for_lock = 0
    if w.guest_cpu >= 0:
        observe.hand_over(s, w.guest_cpu, -1, w.cpu)
    core.try_to_wake_up(s, waiter, cpu)


@handler
def add_waiter(s: State, lock: int, task: int) -> None:
    """Put `task` at the end of those who wait for a mutex or a condition."""
    queue = s.locks[lock]
    s.tasks[task].lock_next = -1
    if queue.head < 0:
        queue.head = task
    else:
        s.tasks[queue.tail].lock_next = task
    queue.tail = task


@handler
def next_waiter(s: State, lock: int) -> int:
    """Take the first waiter off and return it, -1 if there is none."""
    waiter = s.locks[lock].head
    if waiter >= 0:
        s.locks[lock].head = s.tasks[waiter].lock_next
    return waiter
