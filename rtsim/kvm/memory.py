"""Pages that a guest touches and the host has to find: EPT violations, page faults, and reading from disk.

A missing page makes the vCPU leave the guest. What the host then computes (allocating, clearing, copying) takes the
vCPU's own CPU time; while a page is read from disk the vCPU sleeps. All of it is charged to the cause ``memory``.
"""

from __future__ import annotations

from rtsim.engine import execution, timers
from rtsim.engine.constants import IN_FAULT, NONE, SLEEPING, TASK_RUNS
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import core

__all__ = ["note_missing", "serve_fault", "touch_missing"]


@handler
def note_missing(s: State, task: int, duration: int, on_disk: int) -> None:
    """Note that vCPU `task` will miss a page, which costs the host `duration` ns or takes that long to read."""
    t = s.tasks[task]
    if on_disk == 1:
        t.page_ins += 1
        t.page_in_wait += duration
    else:
        t.faults += 1
        t.fault_work += duration


@handler
def touch_missing(s: State, task: int) -> bool:
    """Let vCPU `task` touch the next page it misses, if there is one: the exit that follows is for that page."""
    t = s.tasks[task]
    if t.faults > 0:
        t.io_left = t.fault_work // t.faults
        t.fault_work -= t.io_left
        t.faults -= 1
        return True
    t.io_left = NONE
    return t.page_ins > 0


@handler
def serve_fault(s: State, cpu: int) -> bool:
    """Begin the host's work for the page that the vCPU on `cpu` misses; return False if it sleeps for it instead.

    Reading ends with an interrupt on the CPU that a timer of this one would expire on.
    """
    task = s.cpus[cpu].curr
    t = s.tasks[task]
    t.mode = IN_FAULT
    if t.io_left != NONE:
        execution.begin_base(s, cpu, TASK_RUNS, t.io_left)
        return True
    wait = t.page_in_wait // t.page_ins
    t.page_in_wait -= wait
    t.page_ins -= 1
    timers.start_timer(s, task, cpu, s.m[0].now + wait, timers.HARD_BASE)
    core.block_current(s, cpu, SLEEPING)
    return False
