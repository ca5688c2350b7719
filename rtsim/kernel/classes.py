"""Scheduling classes in their order, and whether a thread that wakes takes the CPU from the one that runs."""

from __future__ import annotations

from typing import Literal

__all__ = ["Verdict", "verdict"]

Verdict = Literal["yes", "turns", "no"]

RANK = {"stop": 5, "deadline": 4, "fifo": 3, "rr": 3, "other": 2, "batch": 2, "idle": 1}
"""Of the classes; SCHED_IDLE is of the fair class, but gives way to the rest of it."""


def verdict(policy: str, priority: int, over: str, over_priority: int) -> Verdict:
    """Return whether a waking thread preempts a running one (``check_preempt_curr``).

    Parameters
    ----------
    policy, priority
        Of the one that wakes; priorities count among fifo and rr only.
    over, over_priority
        Of the one that runs.

    Returns
    -------
    str
        ``yes``; ``no``: it waits until the other sleeps; ``turns``: the two share the CPU, by time slices or weight.

    Examples
    --------
    >>> verdict("fifo", 50, "fifo", 1), verdict("fifo", 1, "fifo", 1), verdict("other", 0, "other", 0)
    ('yes', 'no', 'turns')
    """
    own, other = RANK[policy], RANK[over]
    if own != other:
        return "turns" if {own, other} == {1, 2} and own < other else "yes" if own > other else "no"
    if own == RANK["fifo"]:
        if priority != over_priority:
            return "yes" if priority > over_priority else "no"
        return "turns" if over == "rr" else "no"
    return "turns" if own < RANK["fifo"] else "no"
