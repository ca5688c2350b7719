"""Nice values and cgroup shares as weights (``kernel/sched/core.c``, ``sched_prio_to_weight``)."""

from __future__ import annotations

__all__ = ["IDLE_WEIGHT", "NICE_0_WEIGHT", "NICE_WEIGHTS", "nice_weight", "shares_of_weight"]

NICE_WEIGHTS = (
    88761, 71755, 56483, 46273, 36291,
    29154, 23254, 18705, 14949, 11916,
    9548, 7620, 6100, 4904, 3906,
    3121, 2501, 1991, 1586, 1277,
    1024, 820, 655, 526, 423,
    335, 272, 215, 172, 137,
    110, 87, 70, 56, 45,
    36, 29, 23, 18, 15,
)  # fmt: skip
"""Weight of nice -20 to 19: about 1.25 a step."""

NICE_0_WEIGHT = 1024
IDLE_WEIGHT = 3
"""Of SCHED_IDLE, and of a cgroup with cpu.idle."""


def nice_weight(nice: int) -> int:
    """Return the weight of a nice value.

    Raises
    ------
    ValueError
        "expected ..., found ...": outside -20 to 19.
    """
    if not -20 <= nice <= 19:
        raise ValueError(f"expected a nice value from -20 to 19, found {nice}")
    return NICE_WEIGHTS[nice + 20]


def shares_of_weight(weight: int) -> int:
    """Return cpu.shares for a cgroup v2 cpu.weight: weight * 1024 / 100, rounded to the nearest.

    Raises
    ------
    ValueError
        "expected ..., found ...": outside 1 to 10000.
    """
    if not 1 <= weight <= 10_000:
        raise ValueError(f"expected a cpu.weight from 1 to 10000, found {weight}")
    return (weight * 1024 + 50) // 100
