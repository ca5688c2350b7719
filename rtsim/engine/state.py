"""The engine's whole state: a handful of structured arrays, one dtype each.

Their fields are in `rtsim.engine.fields` and `rtsim.engine.sched_fields`, with a comment and a unit each. Host and
guest are rows of the same arrays. A CPU row of a guest names the vCPU task that carries it; everything else is the
same. All integers are int64 (numpy and Numba widen other mixes differently); times are nanoseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rtsim.engine.fields import (
    ARRIVAL,
    CPU,
    JOB,
    KERNEL,
    LOCK,
    MACHINE,
    OP,
    SLOT,
    SOURCE,
    TASK,
    TIMER,
    TRACE,
    WATCH,
    WORST,
)
from rtsim.engine.jit import INTERPRETED
from rtsim.engine.sched_fields import (
    CFS_RQ,
    DL_ENTITY,
    DOMAIN,
    ENTITY,
    GROUP,
    LB,
    LB_GROUP,
    LLC,
    RT_RQ,
    SCHED_GROUP,
    SCHED_TIMER,
    TASK_LIST,
)

__all__ = ["ARRAYS", "WORDS_PER_ARRAY", "Rows", "State", "allocate"]

_INT64 = np.dtype(np.int64)

ARRAYS: dict[str, tuple[np.dtype[Any], int]] = {
    "m": (MACHINE, 1),  # one row
    "kernels": (KERNEL, 1),
    "cpus": (CPU, 1),
    "tasks": (TASK, 1),
    "entities": (ENTITY, 1),  # one a task, then one a queue of a group
    "cfs_rqs": (CFS_RQ, 1),  # one a CPU, then those of the groups
    "rt_rqs": (RT_RQ, 1),  # as `cfs_rqs`
    "dl_entities": (DL_ENTITY, 1),  # one a task, then one a CPU: its fair server
    "groups": (GROUP, 1),
    "domains": (DOMAIN, 1),
    "sched_groups": (SCHED_GROUP, 1),
    "llcs": (LLC, 1),
    "members": (_INT64, 1),  # rows of `cpus`: of domains, groups and cores, one list after the other
    "lb": (LB, 1),  # one row: the balancing pass under way
    "lb_groups": (LB_GROUP, 1),  # three rows: the local group, the busiest so far, the one looked at
    "task_lists": (TASK_LIST, 1),  # (CPUs * LISTS,)
    "sched_timers": (SCHED_TIMER, 1),
    "ops": (OP, 1),
    "jobs": (JOB, 1),
    "timers": (TIMER, 1),
    "cpu_times": (_INT64, 2),  # (tasks that may use several CPUs, host CPUs): ns on CPUs left since
    "masks": (_INT64, 2),  # (masks, AFFINITY_WORDS): what OP_AFFINITY sets
    "locks": (LOCK, 1),  # mutexes, condition variables and barriers
    "sources": (SOURCE, 1),
    "arrivals": (ARRIVAL, 1),  # of recorded sources, one after the other
    "calendar": (SLOT, 1),
    "tables": (_INT64, 2),  # (tables, TABLE_SIZE + 1): the last column holds the value of a constant, or NONE
    "watches": (WATCH, 1),
    "causes": (_INT64, 2),  # (watches, n_causes): of the sample under way
    "touched": (_INT64, 2),  # (watches, n_causes): which causes the sample under way has, in order
    "cause_totals": (_INT64, 2),  # (watches, n_causes): over all samples
    "histograms": (_INT64, 3),  # (watches, len(HISTOGRAMS), buckets): counts
    "worst": (WORST, 1),  # (watches * WORST_SAMPLES,)
    "worst_causes": (_INT64, 2),  # (watches * WORST_SAMPLES, n_causes)
    "trace": (TRACE, 1),
}
"""The arrays of a state: dtype and number of dimensions."""

WORDS_PER_ARRAY = 4
"""Words of the directory an array takes: its address and up to three lengths."""


class Rows(np.recarray[Any, Any]):
    """An array for interpreted handlers: fields by dot, and no negative index: compiled code does not look for them."""

    def __getitem__(self, index: Any) -> Any:
        _refuse_negative(index)
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        _refuse_negative(index)
        super().__setitem__(index, value)


def _refuse_negative(index: Any) -> None:
    for each in index if isinstance(index, tuple) else (index,):
        if isinstance(each, (int, np.integer)) and each < 0:
            raise IndexError(f"expected an index from 0 on, found {each}")


class State:
    """The arrays handlers work on, one attribute each (see `ARRAYS`), and the directory compiled code finds them by."""

    m: npt.NDArray[Any]
    kernels: npt.NDArray[Any]
    cpus: npt.NDArray[Any]
    tasks: npt.NDArray[Any]
    entities: npt.NDArray[Any]
    cfs_rqs: npt.NDArray[Any]
    rt_rqs: npt.NDArray[Any]
    dl_entities: npt.NDArray[Any]
    groups: npt.NDArray[Any]
    domains: npt.NDArray[Any]
    sched_groups: npt.NDArray[Any]
    llcs: npt.NDArray[Any]
    members: npt.NDArray[np.int64]
    lb: npt.NDArray[Any]
    lb_groups: npt.NDArray[Any]
    task_lists: npt.NDArray[Any]
    sched_timers: npt.NDArray[Any]
    ops: npt.NDArray[Any]
    jobs: npt.NDArray[Any]
    timers: npt.NDArray[Any]
    cpu_times: npt.NDArray[np.int64]
    masks: npt.NDArray[np.int64]
    locks: npt.NDArray[Any]
    sources: npt.NDArray[Any]
    arrivals: npt.NDArray[Any]
    calendar: npt.NDArray[Any]
    tables: npt.NDArray[np.int64]
    watches: npt.NDArray[Any]
    causes: npt.NDArray[np.int64]
    touched: npt.NDArray[np.int64]
    cause_totals: npt.NDArray[np.int64]
    histograms: npt.NDArray[np.int64]
    worst: npt.NDArray[Any]
    worst_causes: npt.NDArray[np.int64]
    trace: npt.NDArray[Any]

    def __init__(self, **arrays: npt.NDArray[Any]) -> None:
        directory = np.zeros(len(ARRAYS) * WORDS_PER_ARRAY, np.int64)
        for position, (name, (dtype, dimensions)) in enumerate(ARRAYS.items()):
            array = arrays[name]
            if array.dtype != dtype or array.ndim != dimensions or not array.flags.c_contiguous:
                raise TypeError(f"state array {name}: expected contiguous {dimensions}-d {dtype}, got {array.dtype}")
            setattr(self, name, array.view(Rows) if INTERPRETED else array)
            at = position * WORDS_PER_ARRAY
            directory[at] = array.ctypes.data
            directory[at + 1 : at + 1 + dimensions] = array.shape
        self._directory = directory
        self.address = directory.ctypes.data


def allocate(dtype: np.dtype[Any], rows: int) -> npt.NDArray[Any]:
    """Return `rows` zeroed rows."""
    return np.zeros(rows, dtype)
