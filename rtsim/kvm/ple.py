"""Pause-loop exits: a vCPU whose guest spins in its kernel leaves it, and gives its time to another one of the guest.

Which one holds the lock KVM does not know. It takes in turn those that want a CPU and have none, unless they lost it in
user space (kvm_vcpu_on_spin). How long a guest may spin grows with each exit, and shrinks when the vCPU comes back
to a CPU (grow_ple_window, shrink_ple_window).
"""

from __future__ import annotations

from rtsim.engine.constants import (
    BASE,
    HALTED,
    IN_QEMU,
    NEVER,
    ON_SPIN,
    RUNNABLE,
    TASK_RUNS,
    UNHALTED,
    USER,
    WANTS_LOCK,
)
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.kvm.lapic import CYCLES_PER_US
from rtsim.sched.directed_yield import yield_to

__all__ = ["end_spin_loop", "grow_window", "is_ready", "on_spin", "window_ns"]

TRIES = 3
"""vCPUs that it would be pointless to yield to, after which no other is looked for."""


@handler
def window_ns(s: State, task: int) -> int:
    """Return how long the guest of vCPU `task` may spin before it is made to leave (ns; NEVER: as long as it likes)."""
    if s.tasks[task].ple_window == 0:
        return NEVER
    _shrink_window(s, task)
    return s.tasks[task].ple_window * 1_000 // CYCLES_PER_US


@handler
def _shrink_window(s: State, task: int) -> None:
    """Set the window as it is by now: shrunk each time that the vCPU has come back to a CPU."""
    t = s.tasks[task]
    k = s.kernels[t.kernel]
    switches = t.voluntary + t.involuntary
    times = switches - t.ple_switches
    t.ple_switches = switches
    while times > 0 and t.ple_window > k.ple_window:
        times -= 1
        if k.ple_window_shrink < 1:
            t.ple_window = 0
        elif k.ple_window_shrink < k.ple_window:
            t.ple_window //= k.ple_window_shrink
        else:
            t.ple_window -= k.ple_window_shrink
        t.ple_window = max(t.ple_window, k.ple_window)


@handler
def grow_window(s: State, task: int) -> None:
    """Let the guest of vCPU `task`, which leaves it for its spinning, spin longer the next time."""
    t = s.tasks[task]
    k = s.kernels[t.kernel]
    _shrink_window(s, task)
    if k.ple_window_grow < 1:
        t.ple_window = k.ple_window
    elif k.ple_window_grow < k.ple_window:
        t.ple_window = min(t.ple_window * k.ple_window_grow, k.ple_window_max)
    else:
        t.ple_window = min(t.ple_window + k.ple_window_grow, k.ple_window_max)


@handler
def on_spin(s: State, cpu: int) -> None:
    """Let the vCPU on `cpu`, which has left its spinning guest, give way to another one of that guest."""
    me = s.cpus[cpu].curr
    grow_window(s, me)
    guest = s.kernels[s.cpus[s.tasks[me].guest_cpu].kernel]
    tries = TRIES
    for following in range(1, guest.cpu_count + 1):
        number = (guest.last_boosted + following) % guest.cpu_count
        other = s.cpus[guest.cpu_base + number].carrier
        if other == me or not _may_be_boosted(s, other):
            continue
        yielded = yield_to(s, cpu, other)
        if yielded > 0:
            guest.last_boosted = number
            s.tasks[me].mode = ON_SPIN
            return
        if yielded < 0:
            tries -= 1
            if tries == 0:
                break
    end_spin_loop(s, me)


@handler
def end_spin_loop(s: State, task: int) -> None:
    """Let vCPU `task` be done with yielding: it is not the one to be yielded to when it next does."""
    s.tasks[task].dy_eligible = 0


@handler
def _may_be_boosted(s: State, other: int) -> bool:
    """Return whether it is `other` that might hold the lock; of one that yields itself, every second time."""
    if not is_ready(s, other):
        return False
    t = s.tasks[other]
    preempted = t.fresh == 0
    pending = s.cpus[t.guest_cpu].irq_pending != 0
    if preempted and not pending and not _in_kernel(s, t.guest_cpu):
        return False
    if t.mode != ON_SPIN:
        return True
    t.dy_eligible = 1 - t.dy_eligible
    return t.dy_eligible == 0


@handler
def is_ready(s: State, task: int) -> bool:
    """Return whether vCPU `task` waits for a CPU: it has lost its own within KVM, or was halted and has been woken."""
    t = s.tasks[task]
    if t.state != RUNNABLE or s.cpus[t.cpu].curr == task or t.mode in (WANTS_LOCK, IN_QEMU):
        return False
    return t.fresh == 0 or t.mode in (HALTED, UNHALTED)


@handler
def _in_kernel(s: State, guest_cpu: int) -> bool:
    """Return whether `guest_cpu` was in its kernel when it executed last."""
    g = s.cpus[guest_cpu]
    return g.level != BASE or g.bottom != TASK_RUNS or s.tasks[g.curr].kthread != USER
