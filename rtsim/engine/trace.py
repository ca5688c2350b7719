"""The event trace: a ring of records, always on, whole when the ring is long enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rtsim.engine.constants import TRACE_WINDOW
from rtsim.engine.jit import inlined
from rtsim.engine.state import State

__all__ = ["copy_window", "record", "recorded", "rows"]


@inlined
def record(s: State, kind: int, cpu: int, task: int, value: int) -> None:
    """Append a trace record at the present time."""
    m = s.m[0]
    row = s.trace[m.trace_next & (len(s.trace) - 1)]  # its length is a power of two
    m.trace_next += 1
    row.time = m.now
    row.kind = kind
    row.cpu = cpu
    row.task = task
    row.value = value


@inlined
def copy_window(s: State, kept: int) -> None:
    """Keep the newest records with the worst sample in row `kept`."""
    newest = s.m[0].trace_next
    count = min(newest, TRACE_WINDOW, len(s.trace))
    window = s.worst[kept].window
    for i in range(count):
        row = s.trace[(newest - count + i) % len(s.trace)]
        window[5 * i] = row.time
        window[5 * i + 1] = row.kind
        window[5 * i + 2] = row.cpu
        window[5 * i + 3] = row.task
        window[5 * i + 4] = row.value
    s.worst[kept].trace_count = count


def recorded(s: State) -> npt.NDArray[Any]:
    """Return the records still in the ring, oldest first, as a plain structured array."""
    trace = np.asarray(s.trace).view(np.ndarray)
    total, size = int(s.m[0]["trace_next"]), len(trace)
    if total <= size:
        return trace[:total].copy()
    return np.roll(trace, -(total % size))


def rows(window: npt.NDArray[np.int64], count: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield the records (time, kind, cpu, task, value) of a worst sample's window."""
    for i in range(count):
        time, kind, cpu, task, value = (int(number) for number in window[5 * i : 5 * i + 5])
        yield time, kind, cpu, task, value
