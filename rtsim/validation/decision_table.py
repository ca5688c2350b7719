"""Recorded decisions as the rows that `rtsim.sched.replay` asks the scheduler about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from rtsim.sched.replay import COLUMNS, KEEP, SWITCH, TICK, UNTRACED, WAKEUP
from rtsim.validation.replay import Decision, Thread

__all__ = [
    "NOBODY", "decision_table", "ends_of_throttling", "phase_of", "threads_of", "with_remote_wakeups", "without_pulled",
]  # fmt: skip

KINDS = {"wakeup": WAKEUP, "tick": TICK, "switch": SWITCH}
NOBODY = -1
"""No thread, or the idle one."""
UNCHARGED = (-1, UNTRACED)
SAME_INTERRUPT_NS = 100_000
"""A switch, or another wake-up in the interrupt, follows a mark sooner than this."""


def decision_table(found: Sequence[Decision], rows: Mapping[int, int]) -> npt.NDArray[np.int64]:
    """Return one row for each decision, and one more where schedule() let the running task go on.

    Parameters
    ----------
    found
        A CPU's decisions, in order.
    rows
        The row in the scheduler's state that stands for each pid.

    Returns
    -------
    Columns as `rtsim.sched.replay` numbers them; times in ns.
    """
    table: list[tuple[int, ...]] = []
    for number, (decision, weight) in enumerate(zip(found, _running_weights(found), strict=True)):
        time_ns = decision.charges[-1].time_ns if decision.charges else decision.time_ns
        thread, following = (_row(each, rows) for each in (decision.thread, decision.next))
        charged = _charged(decision)
        table.append((time_ns, KINDS[decision.kind], thread, weight, *charged, int(decision.resched), following))
        if decision.resched and decision.kind != "switch" and _went_on(found, number):
            table.append((time_ns, KEEP, NOBODY, weight, *UNCHARGED, 0, NOBODY))
    return np.array(table, np.int64).reshape(-1, COLUMNS)


def threads_of(found: Sequence[Decision]) -> list[Thread]:
    """Return who appears, once each: as it first appears, but realtime from the start if it turns realtime."""
    seen: dict[int, Thread] = {}
    for decision in found:
        for thread in (decision.thread, decision.next):
            if thread is not None and not thread.idle and (thread.pid not in seen or not thread.fair):
                seen[thread.pid] = thread
    return list(seen.values())


def without_pulled(found: Sequence[Decision]) -> list[Decision]:
    """Leave out wake-ups of threads that another CPU pulled away before they ran: only that CPU's trace shows it."""
    kept: list[Decision] = []
    runs: set[int] = set()
    """Who is seen next as running or leaving, looking back, and not as waking."""
    for decision in reversed(found):
        thread = decision.thread
        if decision.kind != "wakeup":
            runs.update(each.pid for each in (thread, decision.next) if each is not None)
        elif thread is not None:
            if thread.pid not in runs:
                continue
            runs.discard(thread.pid)
        kept.append(decision)
    return kept[::-1]


def with_remote_wakeups(found: Sequence[Decision], workload: Collection[str]) -> list[Decision]:
    """Add the wake-ups of the workload's threads that another CPU made, which only that CPU's trace would show.

    PREEMPT_RT queues a wakee on its CPU from afar. Its thread then runs without having woken up, at the latest when the
    CPU was last idle it slept: the controlling process starts all of them at once, so it woke when the first one did.
    """
    added: dict[int, list[Decision]] = {}
    awake: set[int] = set()
    busy_since = 0
    for number, decision in enumerate(found):
        thread, coming = decision.thread, decision.next
        if decision.kind != "switch":
            awake.update([thread.pid] if decision.kind == "wakeup" and thread is not None else [])
            continue
        if thread is not None and thread.idle:
            busy_since = number
        elif thread is not None:
            (awake.add if decision.resched else awake.discard)(thread.pid)
        if coming is not None and coming.name in workload and coming.pid not in awake:
            awake.add(coming.pid)
            added.setdefault(busy_since, []).append(_remote_wakeup(found[busy_since], coming))
    return [each for number, decision in enumerate(found) for each in (*added.get(number, ()), decision)]


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


def _remote_wakeup(decision: Decision, thread: Thread) -> Decision:
    """Return the wake-up of `thread` just before a `decision`, which it has marked the CPU for if that was idle."""
    idle = decision.thread is not None and decision.thread.idle
    return Decision(decision.time_ns, "wakeup", thread, resched=idle)


def _row(thread: Thread | None, rows: Mapping[int, int]) -> int:
    return NOBODY if thread is None else rows.get(thread.pid, NOBODY)


def _went_on(found: Sequence[Decision], number: int) -> bool:
    """Tell whether the running task went on although its CPU was marked: nothing else follows at once."""
    following = found[number + 1] if number + 1 < len(found) else None
    return following is None or following.time_ns - found[number].time_ns > SAME_INTERRUPT_NS


def _running_weights(found: Sequence[Decision]) -> list[int]:
    """Return the weight of the task that runs before each decision: its priority shows when it leaves."""
    weights = []
    running: Thread | None = None
    for decision in reversed(found):
        if decision.kind == "switch":
            running = decision.thread
        weights.append(running.weight if running is not None and running.fair else 0)
    return weights[::-1]


def _charged(decision: Decision) -> tuple[int, int]:
    """Return what the running task is seen charged up to this decision (ns), and its vruntime then."""
    if not decision.charges:
        return UNCHARGED
    vruntime = decision.charges[-1].vruntime_ns
    if vruntime is None:
        vruntime = UNTRACED
    elif vruntime >= 2**63:  # traced without its sign
        vruntime -= 2**64
    return sum(charge.runtime_ns for charge in decision.charges), vruntime
