"""Variants of a scenario, ranked: every one simulated with the same seeds, differences taken in pairs.

Replication *i* of every variant has seed ``seed + i``, and streams of random numbers are named after what they are for,
so variants see the same noise and what they share cancels in their difference. Replications are merged as they arrive,
always in the same order: the outcome does not depend on how many workers there are or which of them is faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from rtsim.inputs.errors import InputError
from rtsim.measure.comparison import ComparisonRow, Outcome, compare_outcomes
from rtsim.measure.quantiles import quantile_name
from rtsim.planning.replicate import Progress, run_all
from rtsim.planning.tail import QuantileCauses
from rtsim.planning.vary import varied
from rtsim.scenario import Result, Scenario
from rtsim.scenario.result import merge_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Comparison", "RankBy", "compare"]


@dataclass(frozen=True)
class RankBy:
    """What variants are ranked by: one quantile of one task's latency.

    ``over`` tells what it is of a task with several threads (``TASK/0``, ``TASK/1``, ...): ``worst`` is the highest of
    their quantiles, ``all`` the quantile of their samples together.
    """

    task: str
    quantile: float = 0.9999
    over: Literal["worst", "all"] = "worst"

    def __str__(self) -> str:
        return f"{quantile_name(self.quantile)} latency of {self.task}"

    @classmethod
    def of(cls, scenario: Scenario) -> RankBy:
        """Return what a scenario asks for; without a task the first guest's cyclictest, or the first task there is.

        Raises
        ------
        InputError
            The scenario has nothing to rank.
        """
        model = scenario.model
        task = model.rank_by.task or _first_task(scenario)
        if task is None:
            raise InputError(scenario.source, "rank_by.task", "expected a task to rank by, the scenario has none")
        return cls(task, model.rank_by.quantile, model.rank_by.over)

    def tasks(self, result: Result, source: str) -> list[str]:
        """Return the names of the tasks in `result` that the quantile is taken of.

        Raises
        ------
        InputError
            The result has no such task; the line lists those it has.
        """
        if self.task not in result.tasks:
            known = ", ".join(result.observed()) or "none"
            raise InputError(
                source, "rank_by.task", f"expected an observed task, found {self.task!r}; there are {known}"
            )
        if self.over == "all":
            return [self.task]
        start = f"{self.task}/"
        return [name for name in result.tasks if name.startswith(start)] or [self.task]


def _first_task(scenario: Scenario) -> str | None:
    model = scenario.model
    for guest in model.guests:
        if guest.workload.cyclictest is not None:
            return f"{guest.name}/cyclictest"
    if model.observe:
        return model.observe[0]
    return "cyclictest" if model.workload.cyclictest is not None else next(iter(model.workload.tasks), None)


@dataclass(frozen=True)
class Comparison:
    """Variants in order, best first, with what each costs and why it stands where it does.

    Parameters
    ----------
    rank_by
        What they are ranked by.
    rows
        One a variant, those that Nova refuses last; times in ns.
    results
        The merged replications of each variant that ran.
    replications
        How many there were of each.
    """

    rank_by: RankBy
    rows: Sequence[ComparisonRow]
    results: Mapping[str, Result]
    replications: int

    def table(self) -> pd.DataFrame:
        """Return a frame, one row a variant, times in us.

        Columns: rank, tied_with, value_us, low_us, high_us (95 % interval of the value), difference_us,
        difference_low_us, difference_high_us (paired, to the best), cpus_spent, workload_vcpus, why, refused.
        """
        rows = []
        for row in self.rows:
            low, high = row["ci_ns"] or (None, None)
            least, most = row["difference_ci_ns"] or (None, None)
            rows.append(
                {
                    "variant": row["name"], "rank": row["rank"], "tied_with": ", ".join(row["tied_with"]),
                    "value_us": _us(row["value_ns"]), "low_us": _us(low), "high_us": _us(high),
                    "difference_us": _us(row["difference_ns"]), "difference_low_us": _us(least),
                    "difference_high_us": _us(most), "cpus_spent": row["cpus_spent"],
                    "workload_vcpus": row["workload_vcpus"], "why": row["why"], "refused": row["refused"],
                }
            )  # fmt: skip
        frame = pd.DataFrame(rows).set_index("variant")
        return frame.astype({"rank": "Int64", "cpus_spent": "Int64", "workload_vcpus": "Int64"})

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain data (the contract of ``rtsim compare --json``)."""
        return {
            "schema": 1,
            "rtsim": version("rtsim"),
            "rank_by": asdict(self.rank_by),
            "replications": self.replications,
            "rows": list(self.rows),
            "variants": {name: result.to_json() for name, result in self.results.items()},
        }

    def plot_ccdf(self, ax: Axes | None = None) -> Axes:
        """Draw the tails of all variants, best first, on log-log axes; returns the axes."""
        from rtsim.report.plots import plot_ccdf  # matplotlib: only where something is drawn

        ranked = [row["name"] for row in self.rows if row["name"] in self.results]
        axes = plot_ccdf({name: self.results[name].task(self.rank_by.task).latency for name in ranked}, ax=ax)
        axes.set_title(self.rank_by.task)
        return axes

    def _repr_html_(self) -> str:
        from rtsim.report.html import ranking_table

        return str(ranking_table({"rank_by": asdict(self.rank_by), "rows": self.rows}))


def _us(value_ns: float | None) -> float | None:
    return None if value_ns is None else round(value_ns / 1000, 3)


def compare(
    scenario: Scenario | Mapping[str, Scenario],
    *,
    vary: Mapping[str, Sequence[str]] | None = None,
    replications: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Simulate variants with common random numbers and rank them.

    Parameters
    ----------
    scenario
        A scenario, whose ``variants`` are compared, or scenarios by name.
    vary
        By path, the values it takes (YAML text): their combinations take the place of the scenario's variants.
    replications
        Runs of each variant, with seeds seed, seed + 1, ...; by default as the scenario says. Fewer than six can
        separate nothing, ten and more are advised.
    executor
        Where replications run: any `concurrent.futures.Executor`; by default two threads. The outcome is the same.
    progress
        Called with the number of finished and planned replications.

    Raises
    ------
    InputError
        There is nothing to compare, or a variant is wrong. A variant that Nova refuses is a row that says so.
    """
    variants = _variants(scenario, vary)
    first = next(iter(variants.values()))
    rank_by = RankBy.of(first)
    count = first.model.replications if replications is None else replications
    if count < 1:
        raise InputError("replications", "", f"expected at least 1, found {count}")
    summaries: dict[str, _Summary] = {name: _Summary(name, rank_by, each) for name, each in variants.items()}
    jobs = [(name, each.seeded(each.model.seed + i)) for name, each in variants.items() for i in range(count)]
    for done, (name, run) in enumerate(run_all(jobs, executor), start=1):
        summaries[name].add(run)
        if progress is not None:
            progress(done, len(jobs))
    rows = compare_outcomes([summary.outcome() for summary in summaries.values()])
    results = {name: summary.result for name, summary in summaries.items() if summary.result is not None}
    return Comparison(rank_by, rows, results, count)


def _variants(
    scenario: Scenario | Mapping[str, Scenario], vary: Mapping[str, Sequence[str]] | None
) -> Mapping[str, Scenario]:
    if isinstance(scenario, Scenario):
        variants: Mapping[str, Scenario] = varied(scenario, vary) if vary else scenario.variants()
        if not variants:
            raise InputError(scenario.source, "variants", "expected variants to compare, or --vary")
        return variants
    if vary:
        raise InputError("compare", "vary", "expected one scenario to vary, found several")
    if not scenario:
        raise InputError("compare", "", "expected at least one variant")
    return scenario


# --- summing up -------------------------------------------------------------------------------------------------------


class _Summary:
    """One variant as its replications come in."""

    def __init__(self, name: str, rank_by: RankBy, scenario: Scenario) -> None:
        self.name = name
        self.rank_by = rank_by
        self.source = scenario.source
        self.result: Result | None = None
        self.refused: str | None = None
        self.values_ns: list[float | None] = []
        self.causes = QuantileCauses(rank_by.quantile)

    def add(self, run: Result | str) -> None:
        if isinstance(run, str):
            self.refused = run
            return
        tasks = self.rank_by.tasks(run, self.source)
        values = {name: run.task(name).latency.quantile(self.rank_by.quantile) for name in tasks}
        found = {name: value for name, value in values.items() if value is not None}
        if len(found) < len(values):  # a thread that never ran is infinitely late
            self.values_ns.append(None)
        else:
            worst = max(found, key=lambda name: found[name])
            self.values_ns.append(float(found[worst]))
            self.causes.add(run.task(worst))
        self.result = run if self.result is None else merge_results([self.result, run])

    def outcome(self) -> Outcome:
        if self.result is None:
            return Outcome(self.name, refused=self.refused)
        guests = self.result.guests.values()
        return Outcome(
            self.name, self.values_ns, self.causes.means(),
            cpus_spent=sum(guest["cpus_spent"] for guest in guests) if guests else None,
            workload_vcpus=sum(guest["workload_vcpus"] for guest in guests) if guests else None,
        )  # fmt: skip
