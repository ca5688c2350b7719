"""Scheduling policies as people write them, what the kernel allows with them, and their timer slack."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from rtsim.engine.constants import BATCH, DEADLINE, FIFO, IDLE_POLICY, OTHER, RR, STOP
from rtsim.inputs.cpulist import parse_cpulist
from rtsim.kernel import Kernel

__all__ = [
    "POLICIES",
    "REALTIME",
    "Cpus",
    "Policy",
    "check_deadline",
    "check_priority",
    "check_slice",
    "timer_slack_ns",
]

Policy = Literal["fifo", "rr", "other", "batch", "idle"]
REALTIME = ("fifo", "rr")

POLICIES = {
    "stop": STOP,
    "deadline": DEADLINE,
    "fifo": FIFO,
    "rr": RR,
    "other": OTHER,
    "batch": BATCH,
    "idle": IDLE_POLICY,
}
"""What the engine calls each policy; ``stop`` is the kernel's own."""

TIMER_SLACK_NS = 50_000
"""Default of ``/proc/PID/timerslack_ns``; realtime and deadline policies have none."""

EINVAL = "the kernel says: sched_setscheduler: EINVAL: Invalid argument"

DL_PERIOD_US = (100, 1 << 22)
"""Bounds of the period of SCHED_DEADLINE: sysctl sched_deadline_period_min_us and sched_deadline_period_max_us."""
DL_LEAST_RUNTIME_NS = 1 << 10
"""Shortest runtime (DL_SCALE of kernel/sched/deadline.c), below the resolution of its arithmetic."""

SLICE_US = (100, 100_000)
"""Bounds that the kernel cuts a custom slice to (__setparam_fair)."""
CUSTOM_SLICE_SINCE = (6, 12)


def check_priority(policy: str, priority: int | None) -> None:
    """Raise ValueError for a priority (a nice value for fair policies) that `policy` does not have."""
    if priority is None:
        return
    if policy in REALTIME and not 1 <= priority <= 99:
        raise ValueError(f"expected a priority of 1 to 99 with {policy}, found {priority}; {EINVAL}")
    if policy == "deadline" and priority != 0:
        raise ValueError(f"expected no priority with deadline, found {priority}; {EINVAL}")
    if policy not in (*REALTIME, "deadline") and not -20 <= priority <= 19:
        raise ValueError(f"expected a nice value of -20 to 19 with {policy}, found {priority}")


def check_deadline(runtime_us: int, deadline_us: int, period_us: int) -> None:
    """Raise ValueError for parameters that ``__checkparam_dl`` of the kernel refuses."""
    if runtime_us * 1000 < DL_LEAST_RUNTIME_NS:
        raise ValueError(f"expected a dl-runtime of at least 2 us, found {runtime_us}; {EINVAL}")
    if not runtime_us <= deadline_us <= period_us:
        found = f"found {runtime_us}, {deadline_us} and {period_us}"
        raise ValueError(f"expected dl-runtime <= dl-deadline <= dl-period, {found}; {EINVAL}")
    least, most = DL_PERIOD_US
    if not least <= period_us <= most:
        raise ValueError(f"expected a dl-period of {least} to {most} us, found {period_us}; {EINVAL}")


def check_slice(slice_us: int, kernel: Kernel) -> None:
    """Raise ValueError for a slice of its own that `kernel` does not give a task, or cuts to another."""
    since = ".".join(map(str, CUSTOM_SLICE_SINCE))
    if (kernel.release.major, kernel.release.minor) < CUSTOM_SLICE_SINCE:
        raise ValueError(f"expected no slice before kernel {since}, which is the first to have it")
    least, most = SLICE_US
    if not least <= slice_us <= most:
        raise ValueError(f"expected a slice of {least} to {most} us, found {slice_us}: the kernel cuts it to that")


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
