"""When the periods of bandwidth control ended in a recorded trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtsim.traces.recording import Case
from rtsim.validation.replay import Decision, Thread, timer_expiries

__all__ = ["cfs_period_phase", "ends_of_throttling", "phase_of"]


def cfs_period_phase(
    case: Case, path: str, found: Sequence[Decision], text: str, cpu: int, period_ns: int
) -> int | None:
    """Return where in the grid of periods those of cpu.max of the cgroup `path` ended (ns from boot), None if unknown.

    Their timer tells, unless several cgroups have one: the trace names none. Where it is on another CPU, which the
    trace leaves out, idle times tell.
    """
    members = {task.name for task in case.tasks if f"{task.cgroup}/".startswith(f"{path}/")}
    alone = sum("cpu.cfs_quota_us" in files for files in case.cgroups.values()) == 1
    expiries = timer_expiries(text, cpu, "sched_cfs_period_timer") if alone else []
    shown = ends_of_throttling(found, lambda thread: thread.name in members, lambda thread: thread.idle)
    return phase_of(expiries or shown, period_ns)


def ends_of_throttling(
    found: Sequence[Decision], limited: Callable[[Thread], bool], else_runs: Callable[[Thread], bool]
) -> list[int]:
    """Return the switches (ns) at which a thread came back that bandwidth control had kept from its CPU.

    A `limited` thread that left without blocking, for one that runs at such times (`else_runs`), and comes back from
    one without having woken, had been throttled.
    """
    throttled: set[int] = set()
    ends: list[int] = []
    for decision in found:
        leaving, coming = decision.thread, decision.next
        if decision.kind != "switch" or leaving is None or coming is None:
            continue
        if coming.pid in throttled and else_runs(leaving):
            ends.append(decision.time_ns)
        throttled.discard(coming.pid)
        if decision.resched and limited(leaving) and else_runs(coming):
            throttled.add(leaving.pid)
    return ends


def phase_of(ends: Sequence[int], period_ns: int) -> int | None:
    """Return where in the grid of periods these instants lie, None if there are none.

    Each comes somewhat after the end of the period that brought it about: the earliest in its period tells most.
    """
    earliest = min(ends, key=lambda end: (end - ends[0] + period_ns // 2) % period_ns, default=None)
    return None if earliest is None else earliest % period_ns
