"""From a builder's rows to the arrays of a state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtsim.engine import random
from rtsim.engine.constants import (
    ACT_START,
    AFFINITY_WORDS,
    BASE,
    CAUSE_NAMES,
    CAUSES,
    HISTOGRAM_BUCKETS,
    HISTOGRAMS,
    NONE,
    WORST_SAMPLES,
)
from rtsim.engine.domains import lay_out_domains
from rtsim.engine.hierarchy import lay_out
from rtsim.engine.rows import filled
from rtsim.engine.state import ARRAYS, State, allocate

if TYPE_CHECKING:
    from rtsim.engine.builder import Builder

__all__ = ["Names", "lay_out_state"]


@dataclass(frozen=True)
class Names:
    """What the rows stand for, in row order."""

    cpus: tuple[str, ...]
    tasks: tuple[str, ...]
    sources: tuple[str, ...]
    watched: tuple[int, ...]

    def causes(self) -> tuple[str, ...]:
        """Return the names of a cause vector's entries."""
        guest = tuple(f"guest/{name}" for name in CAUSE_NAMES)
        return CAUSE_NAMES + guest + tuple(f"thread:{name}" for name in self.tasks)


def lay_out_state(b: Builder, names: Names, observe_from_ns: int) -> State:
    """Return the state of a builder's rows, ready for its first `advance`."""
    if b.trace_length < 1 or b.trace_length & (b.trace_length - 1):
        raise ValueError(f"the trace's length is a power of two, not {b.trace_length}")
    _link_vcpus(b)
    _spread_tasks(b)
    spread = _number_spread_tasks(b)
    built = State(
        **_scheduler(b),
        **_observation(len(b.tasks), names.watched),
        **_filled(
            m=[_machine(b, observe_from_ns)], kernels=b.kernels, cpus=b.cpus, tasks=b.tasks,
            ops=[op._asdict() for op in b.ops], timers=b.timers, locks=b.locks, sources=b.sources,
            calendar=[{"position": NONE}] * (3 * len(b.cpus) + len(b.sources)),
        ),
        cpu_times=np.zeros((spread, b.kernels[0]["cpu_count"]), np.int64),
        masks=np.array(b.masks, dtype=np.int64).reshape(-1, AFFINITY_WORDS),
        jobs=_empty("jobs", b.jobs),
        arrivals=_arrivals(b.arrivals),
        tables=np.array(b.tables, dtype=np.int64).reshape(-1, random.TABLE_SIZE + 1),
        trace=_empty("trace", b.trace_length),
    )  # fmt: skip
    built.cpus["left"][:, BASE] = NONE
    return built


def _filled(**arrays: Sequence[Mapping[str, Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return arrays of the state, each from its rows."""
    return {name: filled(ARRAYS[name][0], rows) for name, rows in arrays.items()}


def _empty(name: str, length: int) -> npt.NDArray[Any]:
    return allocate(ARRAYS[name][0], length)


def _link_vcpus(b: Builder) -> None:
    for index, row in enumerate(b.cpus):
        if row["carrier"] >= 0:
            b.tasks[row["carrier"]]["guest_cpu"] = index


def _spread_tasks(b: Builder) -> None:
    """Say which kernels have tasks that may run on several CPUs, and put each task on its first CPU."""
    for number, kernel in enumerate(b.kernels):
        tasks = [task for task in b.tasks if task["kernel"] == number]
        kernel["spread"] = int(bool(b.masks) or any(task["nr_allowed"] > 1 for task in tasks))
        kernel["balances"] = int(kernel["spread"] or kernel.get("force_irqthreads", 0))
    for row in b.tasks:
        row["cpu"] = row["recent_cpu"] = _first_cpu(b, row)


def _first_cpu(b: Builder, task: dict[str, Any]) -> int:
    """Return the first CPU that `task` may use, an isolated one only if all are."""
    base = b.kernels[task["kernel"]]["cpu_base"]
    return min((base + cpu for cpu in task["cpus"]), key=lambda row: (b.cpus[row]["isolated"], row))


def _number_spread_tasks(b: Builder) -> int:
    """Give each host task that may run on several CPUs, or come to, its row of `cpu_times`; return how many."""
    rows = 0
    for task in b.tasks:
        several = task["kernel"] == 0 and (bool(b.masks) or task["nr_allowed"] > 1)
        task["times_row"] = rows if several else NONE
        rows += int(several)
    return rows


def _scheduler(b: Builder) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of run queues and scheduling domains."""
    queues = lay_out(b.kernels, b.cpus, b.tasks, b.groups, b.rt_phase)
    return queues | lay_out_domains(b.kernels, b.cpus, b.domains, b.balance_phase)


def _machine(b: Builder, observe_from_ns: int) -> dict[str, int]:
    return {
        "n_host_cpus": b.kernels[0]["cpu_count"], "n_causes": 2 * CAUSES + len(b.tasks),
        "source_slots": 3 * len(b.cpus), "handling": NONE, "here": NONE,
        "observe_from": observe_from_ns, "action": ACT_START,
    }  # fmt: skip


def _observation(task_count: int, watched: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of what is observed of the watched tasks: histograms, causes and worst samples."""
    count, causes = len(watched), 2 * CAUSES + task_count
    worst = count * WORST_SAMPLES
    return {
        **_filled(watches=[{"task": task, "cpu": NONE, "next": NONE, "prev": NONE} for task in watched]),
        "causes": np.zeros((count, causes), np.int64),
        "touched": np.zeros((count, causes), np.int64),
        "cause_totals": np.zeros((count, causes), np.int64),
        "histograms": np.zeros((count, len(HISTOGRAMS), HISTOGRAM_BUCKETS), np.int64),
        "worst": _empty("worst", worst),
        "worst_causes": np.zeros((worst, causes), np.int64),
    }


def _arrivals(recorded: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[Any]:
    array = _empty("arrivals", sum(map(len, recorded)))
    rows = np.concatenate(recorded) if recorded else np.zeros((0, 2), np.int64)
    array["time"], array["duration"] = rows.T
    return array
