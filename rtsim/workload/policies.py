"""Scheduling policies as people write them, their priorities and their timer slack."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from rtsim.engine import state
from rtsim.inputs.cpulist import parse_cpulist

__all__ = ["POLICIES", "REALTIME", "Cpus", "Policy", "check_priority", "timer_slack_ns"]

Policy = Literal["fifo", "rr", "other", "batch", "idle"]
REALTIME = ("fifo", "rr")

POLICIES = {
    "stop": state.STOP,
    "deadline": state.DEADLINE,
    "fifo": state.FIFO,
    "rr": state.RR,
    "other": state.OTHER,
    "batch": state.BATCH,
    "idle": state.IDLE_POLICY,
}
"""What the engine calls each policy; ``stop`` is the kernel's own."""

TIMER_SLACK_NS = 50_000
"""Default of ``/proc/PID/timerslack_ns``; realtime policies have none."""


def check_priority(policy: str, priority: int | None) -> None:
    """Raise ValueError for a priority (a nice value for fair policies) that `policy` does not have."""
    if priority is None:
        return
    if policy in REALTIME and not 1 <= priority <= 99:
        raise ValueError(f"expected a priority of 1 to 99 with {policy}, found {priority}")
    if policy not in REALTIME and not -20 <= priority <= 19:
        raise ValueError(f"expected a nice value of -20 to 19 with {policy}, found {priority}")


def timer_slack_ns(policy: str) -> int:
    """Return how late the timers of `policy` may go off, to be bundled with others."""
    return 0 if policy in (*REALTIME, "deadline") else TIMER_SLACK_NS


def _cpulist(value: Any) -> tuple[int, ...]:
    cpus = parse_cpulist(value)
    if not cpus:
        raise ValueError("expected at least one CPU")
    return cpus


Cpus = Annotated[tuple[int, ...], BeforeValidator(_cpulist)]
"""Field of an input model: a CPU list such as ``0-3,^2``, or a list of numbers."""
