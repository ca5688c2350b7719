"""QEMU's main loop, without KVM: it sleeps until the guest's next timer; vCPUs tell it of one that they arm."""

from __future__ import annotations

from rtsim.engine import jobs
from rtsim.engine.constants import NONE
from rtsim.engine.jit import handler
from rtsim.engine.random import cost
from rtsim.engine.state import State

__all__ = ["note_armed"]


@handler
def note_armed(s: State, guest_cpu: int) -> int:
    """Return the emulator thread, to be woken, which now has to look when the guest's next timer expires; else -1.

    It looks once, however often it is told before it does (qemu_notify_event).
    """
    k = s.kernels[s.cpus[guest_cpu].kernel]
    if _is_to_look(s, k.timer_task):
        return NONE
    jobs.add_job(s, k.timer_task, cost(s, s.tasks[k.timer_task].cpu, k.timer_rearm), 1, NONE, NONE)
    return int(k.timer_task)


@handler
def _is_to_look(s: State, emulator: int) -> bool:
    """Return whether the last job of `emulator` is to look, and has not begun."""
    t = s.tasks[emulator]
    begun = t.left != NONE or s.cpus[t.cpu].curr == emulator
    if t.job_tail - t.job_head <= (1 if begun else 0):
        return False
    last = s.jobs[t.job_base + (t.job_tail - 1) % t.job_size]
    return last.guest_cpu < 0 and last.interrupt < 0
