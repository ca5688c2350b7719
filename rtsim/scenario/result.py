"""What a run gives: each task's latencies, their causes and the worst samples; where each CPU's time went."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pandas as pd

from rtsim.measure.histogram import LogLinearHistogram
from rtsim.scenario.bounds import Bound, largest

__all__ = ["Result", "TaskResult", "WorstSample", "merge_results"]

Key = TypeVar("Key")

SCHEMA = 1
HISTOGRAMS = ("latency", "waking_to_run", "run_length", "response")
WORST = 10
TABLE_QUANTILES = (0.5, 0.99, 0.9999)


@dataclass(frozen=True)
class WorstSample:
    """One of the longest latencies, with its causes and what happened around it."""

    release_ns: int
    latency_ns: int
    causes_ns: Mapping[str, int]
    story: str

    def to_json(self) -> dict[str, Any]:
        """Return the sample as plain data."""
        return {
            "release_ns": self.release_ns, "latency_ns": self.latency_ns, "causes_ns": dict(self.causes_ns),
            "story": self.story,
        }  # fmt: skip


@dataclass(frozen=True)
class TaskResult:
    """One task, or several threads of a workload together, over the observed time."""

    policy: str
    cpus: tuple[int, ...]
    histograms: Mapping[str, LogLinearHistogram]
    """By the names of `HISTOGRAMS`; empty ones for tasks that are not observed."""
    cpu_time_ns: int
    """In which it was executed itself, with its part of each switch."""
    charged_ns: int
    """What the scheduler has charged it for, as its own CPU clock tells (CLOCK_THREAD_CPUTIME_ID, getrusage)."""
    smt_ns: int
    """Of `cpu_time_ns`, what tasks on other CPUs of its core have cost it."""
    wakeups: int
    skipped: int
    switches_voluntary: int
    switches_involuntary: int
    migrations: int
    run_delay_ns: int
    """Time it waited for a CPU (``/proc/PID/schedstat``); of a vCPU, what the guest sees as steal."""
    causes_ns: Mapping[str, int]
    worst: tuple[WorstSample, ...]
    cpu_times_ns: Mapping[int, int] = field(default_factory=dict)
    """Of a host's task that may use several CPUs: its time on each."""
    exits: Mapping[str, int] = field(default_factory=dict)
    """How often a vCPU left guest mode, by reason: those of ``vm_exit`` in a profile, ``arm`` for programming its timer
    and ``ipi`` for interrupting another vCPU."""

    @property
    def work_ns(self) -> int:
        """CPU time that its work would have taken with cores to itself."""
        return self.cpu_time_ns - self.smt_ns

    @property
    def latency(self) -> LogLinearHistogram:
        """Release to user space."""
        return self.histograms["latency"]

    def merged(self, others: Iterable[TaskResult]) -> TaskResult:
        """Return this and `others` as one: histograms and counts added, the worst samples of all."""
        result = self
        for other in others:
            worst = sorted([*result.worst, *other.worst], key=lambda sample: -sample.latency_ns)[:WORST]
            result = replace(
                result,
                cpus=tuple(sorted({*result.cpus, *other.cpus})),
                histograms={name: result.histograms[name].merge(other.histograms[name]) for name in HISTOGRAMS},
                causes_ns=_added(result.causes_ns, other.causes_ns),
                worst=tuple(worst),
                cpu_times_ns=_added(result.cpu_times_ns, other.cpu_times_ns),
                exits=_added(result.exits, other.exits),
                **{name: getattr(result, name) + getattr(other, name) for name in COUNTS},
            )
        return result

    def to_json(self, duration_ns: int) -> dict[str, Any]:
        """Return the task as plain data (the contract of ``rtsim run --json``)."""
        return {
            "policy": self.policy,
            "cpus": list(self.cpus),
            **{name: self.histograms[name].to_dist() for name in HISTOGRAMS},
            "cpu_time_ns": self.cpu_time_ns,
            "charged_ns": self.charged_ns,
            "smt_ns": self.smt_ns,
            "cpu_times_ns": {str(cpu): ns for cpu, ns in sorted(self.cpu_times_ns.items())},
            "cpu_share": self.cpu_time_ns / duration_ns,
            "wakeups": self.wakeups,
            "skipped": self.skipped,
            "switches_voluntary": self.switches_voluntary,
            "switches_involuntary": self.switches_involuntary,
            "migrations": self.migrations,
            "run_delay_ns": self.run_delay_ns,
            "exits": dict(self.exits),
            "causes_ns": dict(self.causes_ns),
            "worst": [sample.to_json() for sample in self.worst],
        }


def _added(one: Mapping[Key, int], other: Mapping[Key, int]) -> dict[Key, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in dict.fromkeys([*one, *other])}


COUNTS = (
    "cpu_time_ns", "charged_ns", "smt_ns", "wakeups", "skipped", "switches_voluntary", "switches_involuntary",
    "migrations", "run_delay_ns",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One run of a scenario, or several replications merged."""

    version: str
    scenario: Mapping[str, Any]
    tasks: Mapping[str, TaskResult]
    cpus: Mapping[int, Mapping[str, int]]
    guests: Mapping[str, Mapping[str, Any]]
    duration_ns: int
    """Observed time; that of all replications together, where merged."""
    events: int
    lost_jobs: int = 0
    """Arrivals of work that a thread, starved for long, had no room to note; more than 0 says its load is too low."""
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    """Upper limits, of the tasks that have any."""
    warnings: tuple[str, ...] = ()
    """What makes the input incomplete or doubtful, and what will hurt the guests, as `guests` has it of each."""

    def task(self, name: str) -> TaskResult:
        """Return one task's result.

        Raises
        ------
        KeyError
            There is no such task; the message lists those there are.
        """
        try:
            return self.tasks[name]
        except KeyError:
            raise KeyError(f"no task {name!r}; there are {', '.join(self.tasks)}") from None

    def observed(self) -> list[str]:
        """Return the names of the tasks with latency samples."""
        return [name for name, task in self.tasks.items() if task.latency.count]

    def worst(self, count: int = WORST, task: str | None = None) -> list[WorstSample]:
        """Return the longest latencies of a task, by default of the first workload, longest first."""
        return list(self.task(task or self.headline()).worst[:count])

    def headline(self) -> str:
        """Return the task most people look at first: a guest's cyclictest, else the first observed task."""
        names = self.observed()
        for name in names:
            if name.endswith("/cyclictest") or name == "cyclictest":
                return name
        return names[0] if names else next(iter(self.tasks))

    def latencies(self) -> pd.DataFrame:
        """Return count, quantiles and extremes of the latencies in us, a row a task."""
        rows = []
        for name in self.observed():
            latency = self.tasks[name].latency
            row: dict[str, Any] = {"task": name, "count": latency.count, "min_us": _us(latency.min_ns)}
            row["mean_us"] = _us(latency.mean_ns)
            for q in TABLE_QUANTILES:
                row[f"p{q * 100:g}_us"] = _us(latency.quantile(q))
            rows.append({**row, "max_us": _us(latency.max_ns)})
        return pd.DataFrame(rows).set_index("task") if rows else pd.DataFrame()

    def causes(self) -> pd.DataFrame:
        """Return the mean latency by cause in us: a row a task, a column a cause."""
        rows = {
            name: {cause: total / self.tasks[name].latency.count / 1000 for cause, total in causes.items()}
            for name in self.observed()
            if (causes := self.tasks[name].causes_ns)
        }
        return pd.DataFrame.from_dict(rows, orient="index").fillna(0.0)

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data (the contract of ``rtsim run --json``)."""
        return {
            "schema": SCHEMA,
            "rtsim": self.version,
            "scenario": dict(self.scenario),
            "duration_ns": self.duration_ns,
            "events": self.events,
            "lost_jobs": self.lost_jobs,
            "tasks": {name: task.to_json(self.duration_ns) for name, task in self.tasks.items()},
            "cpus": {str(cpu): dict(account) for cpu, account in self.cpus.items()},
            "guests": {name: dict(guest) for name, guest in self.guests.items()},
            "bounds": {name: bound.to_json() for name, bound in self.bounds.items()},
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        return f"<Result: {len(self.observed())} observed tasks, {self.duration_ns / 1e9:g} s>"

    def _repr_html_(self) -> str:
        table = self.latencies().to_html(float_format="{:.1f}".format, border=0)
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{table}"


def merge_results(results: Sequence[Result]) -> Result:
    """Return replications of one scenario as one result; the first one's scenario stands for all."""
    first = results[0]
    tasks = {
        name: task.merged(other.tasks[name] for other in results[1:])
        for name, task in first.tasks.items()
        if all(name in other.tasks for other in results)
    }
    cpus = {
        cpu: {bucket: sum(result.cpus[cpu][bucket] for result in results) for bucket in account}
        for cpu, account in first.cpus.items()
    }
    bounds = {
        name: largest(result.bounds[name] for result in results)
        for name in first.bounds
        if all(name in result.bounds for result in results)
    }
    return replace(
        first, tasks=tasks, bounds=bounds, cpus=cpus, duration_ns=sum(result.duration_ns for result in results),
        events=sum(result.events for result in results), lost_jobs=sum(result.lost_jobs for result in results),
    )  # fmt: skip


def _us(value_ns: float | None) -> float | None:
    return None if value_ns is None else round(value_ns / 1000, 3)
