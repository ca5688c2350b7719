"""What is kept of samples: histograms, and the worst ones with their causes and what happened before them."""

from __future__ import annotations

import numpy as np

from rtsim.engine import trace
from rtsim.engine.bits import leading_zeros
from rtsim.engine.constants import (
    HISTOGRAM_BUCKETS,
    WORST_SAMPLES,
)
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State

__all__ = ["bucket_index", "count_value", "keep_worst"]


@inlined
def bucket_index(value: int) -> int:
    """Return the histogram bucket of `value` ns: exact below 2048, then 1024 buckets an octave."""
    if value < 2048:
        return value
    exponent = 63 - leading_zeros(np.uint64(value))
    return 2048 + (exponent - 11) * 1024 + (value >> (exponent - 10)) - 1024


@handler
def count_value(s: State, watch: int, which: int, value: int) -> None:
    """Count `value` ns in histogram `which` of `watch`."""
    w = s.watches[watch]
    if w.count[which] == 0 or value < w.least[which]:
        w.least[which] = value
    if value > w.most[which]:
        w.most[which] = value
    w.count[which] += 1
    w.total[which] += value
    s.histograms[watch, which, min(bucket_index(value), HISTOGRAM_BUCKETS - 1)] += 1


@handler
def keep_worst(s: State, watch: int, latency: int) -> None:
    """Put the sample of `watch` in place of the smallest kept one."""
    w = s.watches[watch]
    first = watch * WORST_SAMPLES
    place = first + w.worst_count
    if w.worst_count < WORST_SAMPLES:
        w.worst_count += 1
    else:
        place = first
        for i in range(first + 1, first + WORST_SAMPLES):
            if s.worst[i].latency < s.worst[place].latency:
                place = i
    s.worst[place].release = w.release
    s.worst[place].latency = latency
    for cause in range(s.m[0].n_causes):
        s.worst_causes[place, cause] = s.causes[watch, cause]
    trace.copy_window(s, place)
    least = s.worst[first].latency
    for i in range(first + 1, first + w.worst_count):
        least = min(least, s.worst[i].latency)
    w.worst_least = least
