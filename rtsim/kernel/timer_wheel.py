"""The timer wheel: timers of a kernel that does not mind when exactly they expire (kernel/time/timer.c)."""

from __future__ import annotations

__all__ = ["wheel_delay"]

LEVEL_SHIFT = 3
"""LVL_CLK_SHIFT: each level is 8 times as coarse as the one below."""
FIRST_LEVEL = 63
"""Jiffies ahead that the finest level reaches (LVL_SIZE - 1)."""


def wheel_delay(jiffies: int) -> int:
    """Return after how many jiffies a timer expires that is armed again and again, each time for `jiffies` ahead.

    Its expiry is rounded up to the granularity of its level (calc_index), from which it is armed anew.

    >>> wheel_delay(250), wheel_delay(1000)
    (256, 1024)
    """
    level = 0
    while jiffies >= FIRST_LEVEL << (level * LEVEL_SHIFT):
        level += 1
    shift = level * LEVEL_SHIFT
    return ((jiffies >> shift) + 1) << shift
