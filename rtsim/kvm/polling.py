"""How polling of a halted vCPU ends: something has come for the guest, or somebody else wants the CPU."""

from __future__ import annotations

from rtsim.engine import calendar
from rtsim.engine.constants import BASE, HALTED, NONE, POLLING
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State

__all__ = ["end_poll", "gives_way", "note_other"]


@handler
def end_poll(s: State, cpu: int) -> None:
    """Let the vCPU that polls on `cpu` look up now: its guest has something to do, or its time is over."""
    c = s.cpus[cpu]
    if c.level == BASE:
        calendar.arm(s, cpu, s.m[0].now)
    else:
        c.left[BASE] = 0


@inlined
def note_other(s: State, cpu: int) -> None:
    """Let a vCPU that polls on `cpu` see that it is not the only one to run there (single_task_running)."""
    if s.tasks[s.cpus[cpu].curr].mode == POLLING:
        end_poll(s, cpu)


@inlined
def gives_way(s: State, cpu: int) -> bool:
    """Return whether what runs on `cpu`, which is to reschedule, had been polling: it then stops, and will sleep."""
    c = s.cpus[cpu]
    if c.curr < 0 or s.tasks[c.curr].mode != POLLING:
        return False
    s.tasks[c.curr].mode = HALTED
    c.left[BASE] = NONE
    return True
