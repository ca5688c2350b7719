"""Idle: which state the CPU is in, and what leaving it costs."""

from __future__ import annotations

from rtsim.engine.jit import handler
from rtsim.engine.state import State

__all__ = ["exit_table"]


@handler
def exit_table(s: State, cpu: int) -> int:
    """Return the cost table for leaving idle: of the deepest state that the idle time has been worth."""
    k = s.kernels[s.cpus[cpu].kernel]
    idled = s.m[0].now - s.cpus[cpu].idle_from
    state = k.idle_states - 1
    while state > 0 and k.idle_residency[state] > idled:
        state -= 1
    return k.idle_exit[state]
