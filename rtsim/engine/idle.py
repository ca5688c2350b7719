"""Idle: which state the CPU is in, and what leaving it costs."""

from __future__ import annotations

from rtsim.engine.jit import handler
from rtsim.engine.state import State

__all__ = ["exit_table", "polls"]


@handler
def exit_table(s: State, cpu: int) -> int:
    """Return the cost table for leaving idle."""
    return s.kernels[s.cpus[cpu].kernel].idle_exit[_state(s, cpu)]


@handler
def polls(s: State, cpu: int) -> bool:
    """Return whether `cpu`, which idles, polls for a resched mark: it then needs no interrupt to see one.

    Of a guest's, those do that never halt, and those with cpuidle-haltpoll until they do.
    """
    if s.cpus[cpu].carrier >= 0 and s.cpus[cpu].poll_limit > 0:
        return s.cpus[cpu].executing == 1
    return s.kernels[s.cpus[cpu].kernel].idle_polls == 1 and _state(s, cpu) == 0


@handler
def _state(s: State, cpu: int) -> int:
    """Return the idle state of `cpu`: the deepest that the idle time has been worth."""
    k = s.kernels[s.cpus[cpu].kernel]
    idled = s.m[0].now - s.cpus[cpu].idle_from
    state = k.idle_states - 1
    while state > 0 and k.idle_residency[state] > idled:
        state -= 1
    return state
