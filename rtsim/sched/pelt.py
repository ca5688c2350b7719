"""PELT: how much a group has lately wanted of a CPU, as a geometric average over periods of 1024 us (``pelt.c``).

Half of it is forgotten in 32 periods. Only queues of groups keep it: it tells how a group's weight is to be split among
the CPUs that its tasks run on.
"""

from __future__ import annotations

import numpy as np

from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched.entity import scaled_down

__all__ = ["decay_load", "update_load"]

LOAD_AVG_PERIOD = 32
LOAD_AVG_MAX = 47742
MIN_DIVIDER = LOAD_AVG_MAX - 1024

# (2**32 - 1) * y**n with y**32 = 1/2, rounded down, as the kernel's table has it
_INVERSE = np.array([int((2**32 - 1) * 0.5 ** (n / 32)) for n in range(LOAD_AVG_PERIOD)], dtype=np.int64)


@handler
def decay_load(value: int, periods: int) -> int:
    """Return `value` after `periods` of forgetting."""
    if periods > LOAD_AVG_PERIOD * 63:
        return 0
    value >>= periods // LOAD_AVG_PERIOD
    factor = _INVERSE[periods % LOAD_AVG_PERIOD]
    # a product of two 32-bit numbers does not fit into a signed 64-bit one: the lower half in two steps
    upper, middle, lower = value >> 32, (value >> 16) & 0xFFFF, value & 0xFFFF
    return upper * factor + ((middle * factor + (lower * factor >> 16)) >> 16)


@handler
def _segments(periods: int, first: int, last: int) -> int:
    """Return the weight of a stretch: `first` us of a period long past, whole periods, `last` us of the present one."""
    return decay_load(first, periods) + LOAD_AVG_MAX - decay_load(LOAD_AVG_MAX, periods) - 1024 + last


@handler
def update_load(s: State, queue: int) -> None:
    """Bring the load average of `queue` up to its CPU's clock."""
    q = s.cfs_rqs[queue]
    delta = (s.cpus[q.cpu].clock - q.load_updated) >> 10
    if delta <= 0:
        return
    q.load_updated += delta << 10
    load = scaled_down(q.load)
    contribution = delta
    delta += q.period_contrib
    periods = delta >> 10
    if periods > 0:
        q.load_sum = decay_load(q.load_sum, periods)
        delta &= 1023
        contribution = _segments(periods, 1024 - q.period_contrib, delta)
    q.period_contrib = delta
    q.load_sum += load * contribution
    if periods > 0:
        q.load_avg = q.load_sum // (MIN_DIVIDER + q.period_contrib)
