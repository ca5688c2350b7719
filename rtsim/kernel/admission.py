"""What sched_setattr refuses: deadline tasks with impossible parameters, or too many of them for their CPUs.

Rules of ``deadline.c`` and ``syscalls.c`` (6.1 to 6.12): ``__checkparam_dl`` and ``sched_dl_overflow``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rtsim.inputs.errors import InputError

__all__ = ["Reservation", "check_deadline_admission"]

BW_SHIFT = 20
LEAST_RUNTIME_NS = 1 << 10


@dataclass(frozen=True)
class Reservation:
    """The parameters of one SCHED_DEADLINE task, or of a fair server."""

    name: str
    runtime_ns: int
    deadline_ns: int
    period_ns: int

    @property
    def bandwidth(self) -> int:
        """Share of a CPU in units of 2**-20, cut as the kernel cuts it (to_ratio)."""
        return _ratio(self.runtime_ns, self.period_ns)


def _ratio(runtime_ns: int, period_ns: int) -> int:
    return (runtime_ns << BW_SHIFT) // period_ns


def check_deadline_admission(
    tasks: Iterable[Reservation],
    cpus: int,
    *,
    rt_runtime_ns: int | None = 950_000_000,
    rt_period_ns: int = 1_000_000_000,
    fair_server: Reservation | None = None,
    period_limits_ns: tuple[int, int] = (100_000, (1 << 22) * 1000),
    source: str = "workload",
) -> None:
    """Check that a root domain of `cpus` CPUs admits `tasks`, set one after the other.

    Parameters
    ----------
    tasks
        In the order in which they get their policy; the first that does not fit is named.
    rt_runtime_ns, rt_period_ns
        sched_rt_runtime_us and sched_rt_period_us, whose ratio is the share of each CPU that deadline tasks may
        reserve; a runtime of None admits everything.
    fair_server
        What each CPU reserves for its fair server (6.12 and later).
    period_limits_ns
        sched_deadline_period_min_us and sched_deadline_period_max_us.

    Raises
    ------
    InputError
        With the kernel's errno: EINVAL for parameters that no task can have, EBUSY where the sum is too large.
    """
    reserved = cpus * fair_server.bandwidth if fair_server is not None else 0
    available = None if rt_runtime_ns is None else cpus * _ratio(rt_runtime_ns, rt_period_ns)
    for task in tasks:
        _check_parameters(task, period_limits_ns, source)
        reserved += task.bandwidth
        if available is not None and reserved > available:
            limit, wanted = available / (1 << BW_SHIFT), reserved / (1 << BW_SHIFT)
            raise InputError(
                source, task.name,
                f"expected deadline tasks that reserve at most {limit:.4g} CPUs of {cpus}, found {wanted:.4g} with this"
                " one (EBUSY: Device or resource busy)",
            )  # fmt: skip


def _check_parameters(task: Reservation, period_limits_ns: tuple[int, int], source: str) -> None:
    low, high = period_limits_ns
    if not LEAST_RUNTIME_NS <= task.runtime_ns <= task.deadline_ns <= task.period_ns:
        found = f"{task.runtime_ns}, {task.deadline_ns} and {task.period_ns} ns"
        expected = f"a runtime of at least {LEAST_RUNTIME_NS} ns, at most the deadline, and that at most the period"
    elif not low <= task.period_ns <= high:
        found = f"{task.period_ns} ns"
        expected = f"a period from {low} to {high} ns"
    else:
        return
    raise InputError(source, task.name, f"expected {expected}, found {found} (EINVAL: Invalid argument)")
