"""What each lever of a realtime guest buys and costs: alone, missing from all, and all together.

All combinations are simulated with the same seeds. A lever *alone* is compared with none pulled, *all but* it with all
pulled: a lever may buy much alone and nothing beside the others, or the reverse. *All but* a pair shows what two levers
buy of which one is enough.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pandas as pd

from rtsim.inputs.errors import InputError
from rtsim.measure.comparison import mean_interval, paired_interval
from rtsim.planning.compare import RankBy
from rtsim.planning.pull import LEVERS, PAIRS, Levered
from rtsim.planning.replicate import Progress, run_all
from rtsim.planning.tail import QuantileCauses
from rtsim.scenario import Result, Scenario
from rtsim.scenario.result import merge_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LeverRow", "Levers", "levers"]

MEASURES: Mapping[str, float | None] = {"p50": 0.5, "p99.99": 0.9999, "max": None}
"""By name, the quantile; None: the largest sample."""
TAIL = 0.9999
"""Quantile whose samples tell the cause that a lever removes."""
NO_CHANGE_NS = 50.0
"""Changes of a cause that would be printed as 0.0 us."""


class LeverRow(TypedDict):
    """One combination of levers, as in the JSON; times in ns."""

    name: str
    pulled: list[str]
    against: str | None
    """The row it is compared with: none for a lever alone, all where one or two are missing."""
    values_ns: dict[str, float | None]
    """By measure, the mean over replications of the worst thread's value."""
    values_ci_ns: dict[str, list[float] | None]
    differences_ns: dict[str, float | None]
    differences_ci_ns: dict[str, list[float] | None]
    """95 % intervals, paired over replications, for each comparison by itself."""
    bound_ns: int | None
    cpus_spent: int
    locked_mib: int
    others_lost: float | None
    """Share of the work that other guests and the host's workload do with no lever pulled and not here; negative: they
    do more. None without others."""
    causes_ns: dict[str, float]
    """Mean latency by cause of the samples from p99.99 on (`QuantileCauses`), of the worst thread of each run."""
    why: str


@dataclass(frozen=True)
class Levers:
    """The levers of one guest: none, each alone, all but each, all but two that stand in for each other, all.

    Parameters
    ----------
    task
        Whose latency is measured.
    guest
        Whose levers are pulled.
    rows
        In that order; times in ns.
    results
        The merged replications of each row, by its name.
    replications
        How many there were of each.
    """

    task: str
    guest: str
    rows: Sequence[LeverRow]
    results: Mapping[str, Result]
    replications: int

    def row(self, name: str) -> LeverRow:
        """Return the row of that name.

        They are ``none``, ``pinning``, ..., ``all but pinning``, ..., ``all but emulator, policy``, ``all``.
        """
        return next(row for row in self.rows if row["name"] == name)

    def table(self) -> pd.DataFrame:
        """Return a frame, one row a combination, times in us.

        Columns: against, p50_us, p99.99_us, max_us, their differences (``..._change_us``) with ends of the 95 %
        interval (``..._low_us``, ``..._high_us``), bound_us, cpus_spent, locked_mib, others_lost, why.
        """
        frame = [_frame_row(row) for row in self.rows]
        return pd.DataFrame(frame).set_index("levers")

    def to_json(self) -> dict[str, Any]:
        """Return the levers as plain data (the contract of ``rtsim levers --json``)."""
        return {
            "schema": 1, "rtsim": version("rtsim"), "guest": self.guest, "task": self.task,
            "replications": self.replications, "levers": list(self.rows),
            "results": {name: result.to_json() for name, result in self.results.items()},
        }  # fmt: skip

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw p50, p99.99, maximum and bound of all rows; returns the axes."""
        from rtsim.report.levers import plot_levers  # matplotlib: only where something is drawn

        return plot_levers(self.rows, self.task, ax=ax)

    def _repr_html_(self) -> str:
        from rtsim.report.levers import levers_table

        return str(levers_table(self.rows))


def _frame_row(row: LeverRow) -> dict[str, Any]:
    found: dict[str, Any] = {"levers": row["name"], "against": row["against"]}
    for name in MEASURES:
        found[f"{name}_us"] = _us(row["values_ns"][name])
        found[f"{name}_change_us"] = _us(row["differences_ns"].get(name))
        ends = row["differences_ci_ns"].get(name) or (None, None)
        found[f"{name}_low_us"], found[f"{name}_high_us"] = map(_us, ends)
    return found | {
        "bound_us": _us(row["bound_ns"]), "cpus_spent": row["cpus_spent"], "locked_mib": row["locked_mib"],
        "others_lost": row["others_lost"], "why": row["why"],
    }  # fmt: skip


def _us(value_ns: float | None) -> float | None:
    return None if value_ns is None else round(value_ns / 1000, 3)


def levers(
    scenario: Scenario,
    *,
    guest: str | None = None,
    replications: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Levers:
    """Simulate a guest with no lever, each alone, all but each (and each of `PAIRS`), and all, with the same seeds.

    Parameters
    ----------
    scenario
        A scenario with a pinned guest on a host that isolates CPUs; what levers do is in `rtsim.planning.pull`.
    guest
        Whose levers; by default the one of the task that the scenario ranks by.
    replications
        Runs of each combination; by default as the scenario says. Fewer than six have no intervals.
    executor, progress
        As of `rtsim.compare`.

    Raises
    ------
    InputError
        There is no such guest, or it has no levers to let go.
    NovaRefusal
        Nova refuses one of the guests.
    """
    rank_by = RankBy.of(scenario)
    levered = Levered.of(scenario, guest or rank_by.task.partition("/")[0])
    count = scenario.model.replications if replications is None else replications
    if count < 1:
        raise InputError("replications", "", f"expected at least 1, found {count}")
    summaries = {name: _Summary(name, pulled, rank_by, levered) for name, pulled in _combinations().items()}
    scenarios = {name: levered.pulled(each.pulled) for name, each in summaries.items()}
    jobs = [(name, each.seeded(each.model.seed + i)) for name, each in scenarios.items() for i in range(count)]
    for done, (name, run) in enumerate(run_all(jobs, executor), start=1):
        assert isinstance(run, Result)  # Nova has placed the guests already
        summaries[name].add(run)
        if progress is not None:
            progress(done, len(jobs))
    rows = [summary.row(summaries) for summary in summaries.values()]
    results = {name: summary.merged() for name, summary in summaries.items()}
    return Levers(rank_by.task, levered.guest.name, rows, results, count)


def _combinations() -> dict[str, frozenset[str]]:
    every = frozenset(LEVERS)
    return {
        "none": frozenset(),
        **{name: frozenset({name}) for name in LEVERS},
        **{f"all but {name}": every - {name} for name in LEVERS},
        **{f"all but {', '.join(pair)}": every - {*pair} for pair in PAIRS},
        "all": every,
    }


@dataclass
class _Summary:
    """One combination as its replications come in."""

    name: str
    pulled: frozenset[str]
    rank_by: RankBy
    levered: Levered
    values_ns: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MEASURES})
    tail: QuantileCauses = field(default_factory=lambda: QuantileCauses(TAIL))
    work_of_others_ns: list[int] = field(default_factory=list)
    result: Result | None = None
    """The replications so far, merged."""

    def add(self, run: Result) -> None:
        """Take a replication in; a thread that never ran is infinitely late."""
        tasks = {name: run.task(name) for name in self.rank_by.tasks(run, self.levered.scenario.source)}
        for measure, quantile in MEASURES.items():
            found = {
                name: task.latency.max_ns if quantile is None else task.latency.quantile(quantile)
                for name, task in tasks.items()
            }
            values = {name: math.inf if value is None else float(value) for name, value in found.items()}
            worst = max(values, key=lambda name: values[name])
            self.values_ns[measure].append(values[worst])
            if quantile == TAIL and tasks[worst].latency.count:
                self.tail.add(tasks[worst])
        self.work_of_others_ns.append(_work_of_others(run, self.levered))
        self.result = run if self.result is None else merge_results([self.result, run])

    def merged(self) -> Result:
        assert self.result is not None
        return self.result

    def row(self, summaries: Mapping[str, _Summary]) -> LeverRow:
        """Return the row, compared with the one that a lever was added to or taken from."""
        against = {0: None, 1: "none", len(LEVERS): "none"}.get(len(self.pulled), "all")
        values = {name: np.array(each, dtype=float) for name, each in self.values_ns.items()}
        base = None if against is None else summaries[against]
        intervals = base.intervals_of(values) if base else {}
        others = sum(summaries["none"].work_of_others_ns)
        bound = self.merged().bounds.get(self.rank_by.task)
        causes = self.tail.means()
        return {
            "name": self.name,
            "pulled": [name for name in LEVERS if name in self.pulled],
            "against": against,
            "values_ns": {name: _finite(float(each.mean())) for name, each in values.items()},
            "values_ci_ns": {name: _ends(mean_interval(each)) for name, each in values.items()},
            "differences_ns": base.differences_of(values) if base else {},
            "differences_ci_ns": intervals,
            "bound_ns": bound.rtsl_ns if bound else None,
            "cpus_spent": self.merged().guests[self.levered.guest.name]["cpus_spent"],
            "locked_mib": self.levered.locked_mib(self.pulled),
            "others_lost": 1 - sum(self.work_of_others_ns) / others if others else None,
            "causes_ns": dict(sorted(causes.items(), key=lambda item: -item[1])),
            "why": _why(causes, base.tail.means(), intervals["p99.99"]) if base else "",
        }

    def differences_of(self, values: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, float | None]:
        means = {name: float(np.mean(each)) for name, each in self.values_ns.items()}
        return {name: _finite(float(each.mean()) - means[name]) for name, each in values.items()}

    def intervals_of(self, values: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, list[float] | None]:
        base = {name: np.array(each, dtype=float) for name, each in self.values_ns.items()}
        return {name: _ends(paired_interval(each, base[name])) for name, each in values.items()}


def _work_of_others(run: Result, levered: Levered) -> int:
    """Return what the vCPUs of other guests and the host's own workload have done, as CPU time on idle cores (ns).

    CPU time alone would hide what a busy thread of the same core takes from them.
    """
    own, guests = levered.guest.name, {guest.name for guest in levered.scenario.model.guests}
    total = 0
    for name, task in run.tasks.items():
        level, _, thread = name.partition("/")
        if level in guests:
            counts = level != own and re.fullmatch(r"vcpu\d+", thread) is not None
        else:
            counts = level != "host" and not any(other.startswith(f"{name}/") for other in run.tasks)
        total += task.work_ns if counts else 0
    return total


def _why(causes: Mapping[str, float], base: Mapping[str, float], interval: list[float] | None) -> str:
    """Return the cause whose part of the tail changes most the way that the tail as a whole does.

    A change that the interval does not tell from zero has no cause.
    """
    changes = {cause: causes.get(cause, 0.0) - base.get(cause, 0.0) for cause in sorted({*causes, *base})}
    if not changes:
        return ""
    way = 1 if sum(changes.values()) > 0 else -1
    cause = max(changes, key=lambda name: way * changes[name])
    if abs(changes[cause]) < NO_CHANGE_NS:
        return "no difference"
    if interval is not None and interval[0] <= 0 <= interval[1]:
        return "may be chance"
    return f"{cause} {changes[cause] / 1000:+.1f} us"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _ends(interval: tuple[float, float] | None) -> list[float] | None:
    return list(interval) if interval is not None and all(map(math.isfinite, interval)) else None
