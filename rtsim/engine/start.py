"""How a run begins: tasks that start runnable are queued, sources draw their first arrivals, CPUs pick."""

from __future__ import annotations

from rtsim.engine import calendar, entry, noise, program
from rtsim.engine.constants import OP_START, RUNNABLE
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import core

__all__ = ["start_tasks"]


@handler
def start_tasks(s: State) -> None:
    """Set everything in motion at the present time."""
    for source in range(len(s.sources)):
        calendar.arm(s, calendar.source_slot(s, source), noise.next_arrival(s, source))
    for task in range(len(s.tasks)):
        if s.tasks[task].state == RUNNABLE:
            if s.ops[s.tasks[task].pc].code == OP_START:
                program.sleep_to_start(s, task)
            else:
                core.start_task(s, task)
    for cpu in range(s.m[0].n_host_cpus):
        s.m[0].here = cpu
        entry.at_base(s, cpu)
