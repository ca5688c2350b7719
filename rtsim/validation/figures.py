"""Measured figures beside predicted ones: which figures of a case are compared, and how far apart they may be.

The tolerances are those of ``data/recorded/README.md``. A prediction is an envelope: lowest and highest value over the
seeds, since under EEVDF another start order leads to another stable cycle. Times are in ns. What tasks that may use
several CPUs did is read from the trace, as far as the emulator let it be seen (`rtsim.validation.placed`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from statistics import median_low
from typing import Any

from rtsim.scenario import Result
from rtsim.traces.recording import Case, Recording, Repetition
from rtsim.validation.placed import Placed, TaskPlaced, placed
from rtsim.validation.scenarios import begins_late, start_us

__all__ = ["Figure", "Rule", "figures", "predict", "rules_of"]

US = 1_000
MS = 1_000_000
TICK_NS = 4 * MS
FEWEST_SAMPLES = 10
"""Fewer samples have no quantiles worth comparing (a hog's one wake-up, at its start)."""
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
CYCLICTEST = "cyclictest"

Predictions = Mapping[tuple[str, str], float | None]
"""One run: value by (task, figure); None where the run has no samples."""


@dataclass(frozen=True)
class Rule:
    """One kind of figure.

    `measured` takes the recording's words for a task in one repetition and gives None where the figure is not compared;
    `predicted` reads the same from a result; `tolerance` is absolute, in the figure's unit.
    """

    name: str
    measured: Callable[[Case, Repetition, str], float | None]
    predicted: Callable[[Result, str, int], float | None]
    """Of a result, a task, and the length of the task's own time in ns."""
    tolerance: Callable[[Case, float], float]
    agreement: float | None = None
    """Repetitions further apart than this say nothing; None: they always count."""
    excess: float = 0.0
    """What the machine may have added to a measured value."""


@dataclass(frozen=True)
class Figure:
    """One comparison; `measured` are the lowest and highest value of the repetitions."""

    case: str
    task: str
    name: str
    measured: tuple[float, float]
    predicted: tuple[float, float] | None
    """Lowest and highest value over the seeds; None where one of them has no such value."""
    tolerance: float

    @property
    def key(self) -> str:
        """Name of the figure within its recording."""
        return f"{self.case} {self.task} {self.name}"

    @property
    def inside(self) -> bool:
        """Whether what was measured lies in the envelope widened by the tolerance."""
        if self.predicted is None:
            return False
        low, high = self.predicted
        return low - self.tolerance <= self.measured[1] and self.measured[0] <= high + self.tolerance


def predict(recording: Recording, case: Case, scenario: Mapping[str, Any], result: Result) -> Predictions:
    """Return the values of one run that are compared with what was recorded."""
    found: dict[tuple[str, str], float | None] = {}
    for rule in rules_of(recording):
        for task in _tasks(case):
            if all(rule.measured(case, repetition, task) is None for repetition in case.repetitions):
                continue
            start_ns = 0 if task == CYCLICTEST else start_us(case, scenario, task) * US
            found[task, rule.name] = rule.predicted(result, task, result.duration_ns - start_ns)
    return found


def figures(recording: Recording, case: Case, runs: Sequence[Predictions]) -> list[Figure]:
    """Return the figures of a case, given the predictions of each seed."""
    found = []
    for task in _tasks(case):
        for rule in rules_of(recording):
            values = [rule.measured(case, repetition, task) for repetition in case.repetitions]
            measured = [value for value in values if value is not None]
            if len(measured) < len(values):
                continue
            low, high = min(measured) - rule.excess, max(measured)
            if rule.agreement is not None and high - low > rule.agreement:
                continue
            predicted = [run[task, rule.name] for run in runs]
            known = [value for value in predicted if value is not None]
            envelope = (min(known), max(known)) if known and len(known) == len(predicted) else None
            found.append(Figure(case.name, task, rule.name, (low, high), envelope, rule.tolerance(case, high)))
    return found


def rules_of(recording: Recording) -> tuple[Rule, ...]:
    """Return the rules that a recording's figures are held to: what is trusted differs."""
    if recording.native:
        return NATIVE
    cpus = {cpu for case in recording.cases.values() for task in case.tasks if len(task.cpus) > 1 for cpu in task.cpus}
    return (*SEVERAL_CPUS, *map(_time_on, sorted(cpus))) if cpus else ONE_CPU


def _tasks(case: Case) -> list[str]:
    return [*(task.name for task in case.tasks), *([CYCLICTEST] if case.cyclictest is not None else [])]


# --- what was measured ------------------------------------------------------------------------------------------------


def _share(case: Case, repetition: Repetition, task: str) -> float | None:
    """Return the share of the task's own time, unless that is under half of the run."""
    if task == CYCLICTEST or repetition.tasks[task]["wall_ns"] < case.duration_ns / 2:
        return None
    return float(repetition.tasks[task]["cpu_share"])


def _involuntary(case: Case, repetition: Repetition, task: str) -> float | None:
    """Return the count, except beside cyclictest: the hogs of those cases ran a second longer, with other switches."""
    return None if case.cyclictest is not None else float(repetition.tasks[task]["nivcsw"])


def _latency(quantile: str) -> Callable[[Case, Repetition, str], float | None]:
    def measured(case: Case, repetition: Repetition, task: str) -> float | None:
        if task == CYCLICTEST:
            return float(repetition.cyclictest_us[quantile]) * US if repetition.cyclictest_us else None
        told = repetition.tasks[task].get("wake_latency_ns")
        if told is None or not begins_late(case.tasks, repetition, case.task(task)):
            return _quantile(told, quantile)
        return _at(_own_latencies(repetition, task), quantile)

    return measured


def _own_latencies(repetition: Repetition, task: str) -> list[int]:
    """Return the latencies since a task that was kept from its start began: so does the one that is simulated."""
    began_ns = repetition.began_ns(task)
    return [latency for release, latency, *_ in repetition.rows(f"{task}.lat") if release >= began_ns]


def _at(values: Sequence[int], quantile: str) -> float | None:
    if len(values) < FEWEST_SAMPLES:
        return None
    return float(sorted(values)[ceil(QUANTILES[quantile] * len(values)) - 1])


def _waking_to_run(quantile: str) -> Callable[[Case, Repetition, str], float | None]:
    def measured(case: Case, repetition: Repetition, task: str) -> float | None:
        found = _quantile(repetition.trace.get(task, {}).get("waking_to_run_us"), quantile)
        return None if found is None else found * US

    return measured


def _quantile(summary: Mapping[str, Any] | None, quantile: str) -> float | None:
    if summary is None or summary["count"] < FEWEST_SAMPLES:
        return None
    return float(summary[quantile])


def _mean_run(case: Case, repetition: Repetition, task: str) -> float | None:
    found = repetition.trace.get(task, {}).get("run_len_us")
    return float(found["mean"]) * US if found and found["count"] >= FEWEST_SAMPLES else None


def _median_run(case: Case, repetition: Repetition, task: str) -> float | None:
    """Return a hog's median; beside a task that sleeps it is multimodal and says little."""
    if not _only_hogs(case):
        return None
    found = _quantile(repetition.trace.get(task, {}).get("run_len_us"), "p50")
    return None if found is None else found * US


def _median_run_of_gaps(case: Case, repetition: Repetition, task: str) -> float | None:
    """Return a hog's median run length where there is no trace: the time between gaps of half a tick or more.

    A gap begins with the tick that ends the run, which still belongs to it: its usual length is that of a short gap.
    """
    if not _only_hogs(case):
        return None
    rows = repetition.rows(f"{task}.gap")
    away = [(start, start + gap) for start, gap in rows if gap >= TICK_NS / 2]
    runs = [later[0] - earlier[1] for earlier, later in pairwise(away)]
    ticks = [gap for _, gap in rows if gap < TICK_NS / 2]
    return float(median_low(runs) + median_low(ticks)) if len(runs) >= FEWEST_SAMPLES and ticks else None


def _longest_starvation(case: Case, repetition: Repetition, task: str) -> float | None:
    """Return the longest latency where a FIFO hog starves a fair task until the kernel steps in."""
    starving = any(hog.kind == "hog" and hog.policy == "fifo" for hog in case.tasks)
    summary = repetition.tasks.get(task, {}).get("wake_latency_ns")
    return float(summary["max"]) if starving and summary else None


def _traced(repetition: Repetition, task: str) -> tuple[Placed, TaskPlaced]:
    found = placed(repetition.folder / "trace.txt.zst")
    return found, found.tasks.get(task, TaskPlaced())


def _migrations(case: Case, repetition: Repetition, task: str) -> float | None:
    """Return the count of a task that may move at all, as if the whole run had been traced."""
    whole, own = _traced(repetition, task)
    missing = max(case.duration_ns / whole.span_ns, 1)
    return own.migrations * missing if len(case.task(task).cpus) > 1 else None


def _trusted_share(case: Case, repetition: Repetition, task: str) -> float | None:
    return _share(case, repetition, task) if _traced(repetition, task)[0].trusts(task) else None


def _share_on(cpu: int) -> Callable[[Case, Repetition, str], float | None]:
    def measured(case: Case, repetition: Repetition, task: str) -> float | None:
        whole, own = _traced(repetition, task)
        mask = case.task(task).cpus
        compared = len(mask) > 1 and cpu in mask and whole.trusts(task)
        return own.on_cpu_ns[cpu] / whole.span_ns if compared else None

    return measured


def _clear_waking_to_run(quantile: str) -> Callable[[Case, Repetition, str], float | None]:
    """Return the quantile of the wake-ups that no turn of the emulator stretched."""

    def measured(case: Case, repetition: Repetition, task: str) -> float | None:
        return _at(_traced(repetition, task)[1].delays_ns, quantile)

    return measured


def _only_hogs(case: Case) -> bool:
    return case.cyclictest is None and all(task.kind == "hog" for task in case.tasks)


# --- what is predicted ------------------------------------------------------------------------------------------------


def _count(name: str) -> Callable[[Result, str, int], float | None]:
    return lambda result, task, _: float(getattr(result.task(task), name))


def _predicted_share(result: Result, task: str, own_ns: int) -> float:
    return result.task(task).charged_ns / own_ns


def _predicted_quantile(histogram: str, q: float) -> Callable[[Result, str, int], float | None]:
    return lambda result, task, _: result.task(task).histograms[histogram].quantile(q)


def _predicted_share_on(cpu: int) -> Callable[[Result, str, int], float | None]:
    """Of the run, as it is measured: a task that others keep from every CPU has no time of its own."""
    return lambda result, task, _: result.task(task).cpu_times_ns.get(cpu, 0) / result.duration_ns


def _predicted_mean_run(result: Result, task: str, own_ns: int) -> float | None:
    return result.task(task).histograms["run_length"].mean_ns


def _predicted_longest(result: Result, task: str, own_ns: int) -> float | None:
    return result.task(task).latency.max_ns


# --- how far apart they may be ----------------------------------------------------------------------------------------


def _constant(tolerance: float) -> Callable[[Case, float], float]:
    return lambda case, measured: tolerance


def _relative_or(share: float, least: float) -> Callable[[Case, float], float]:
    return lambda case, measured: max(share * measured, least)


def _tail(case: Case, measured: float) -> float:
    """15 %; 10 us below 100 us; one tick of a queueing delay, which another cycle of the queue moves by one."""
    if measured < 100 * US:
        return max(0.15 * measured, 10 * US)
    return max(0.15 * measured, TICK_NS) if measured > 500 * US else 0.15 * measured


def _run_length(case: Case, measured: float) -> float:
    return max((0.12 if case.cgroups else 0.08) * measured, 60 * US)


_MIDDLE = _relative_or(0.10, 2.5 * US)


def _quantiles(
    name: str,
    histogram: str,
    measured: Callable[[str], Callable[[Case, Repetition, str], float | None]],
    excess: float = 0.0,
) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            f"{name} {label}", measured(label), _predicted_quantile(histogram, q), _MIDDLE if q == 0.5 else _tail,
            excess=excess,
        )
        for label, q in QUANTILES.items()
    )  # fmt: skip


_WAKING = _quantiles("waking to run", "waking_to_run", _waking_to_run)
FOREIGN_INTERRUPT_NS = 4 * US
"""CPU 0 of the machines with several CPUs took a timer interrupt every 20 us (``sysinfo/interrupts_end``, IRQ 0), of 3
to 4 us on the clock that all CPUs share: a wake-up of 11 to 20 us holds one of them or none."""

ONE_CPU = (
    Rule("share", _share, _predicted_share, _constant(0.012)),
    *_quantiles("latency", "latency", _latency),
    *_WAKING,
    Rule("run length mean", _mean_run, _predicted_mean_run, _run_length),
    Rule("run length p50", _median_run, _predicted_quantile("run_length", 0.5), _run_length),
    Rule("involuntary switches", _involuntary, _count("switches_involuntary"), _relative_or(0.12, 6)),
)
"""Every task on one CPU, under an instruction clock: decisions, quanta and latencies are trusted."""

SEVERAL_CPUS = (
    Rule("share", _trusted_share, _predicted_share, _constant(0.03)),
    *_quantiles("waking to run", "waking_to_run", _clear_waking_to_run, FOREIGN_INTERRUPT_NS),
    Rule("migrations", _migrations, _count("migrations"), _relative_or(0.30, 5)),
)
"""Several CPUs under an instruction clock, which gives false wake latencies: the emulator rotates among CPUs."""


def _time_on(cpu: int) -> Rule:
    """Return the rule of the time on one CPU, as a share of the task's own time."""
    return Rule(f"time on CPU {cpu}", _share_on(cpu), _predicted_share_on(cpu), _constant(0.05))


NATIVE = (
    Rule("share", _share, _predicted_share, _constant(0.01), agreement=0.01),
    Rule("latency p50", _latency("p50"), _predicted_quantile("latency", 0.5), _constant(15 * US)),
    Rule(
        "run length p50", _median_run_of_gaps, _predicted_quantile("run_length", 0.5), _relative_or(0.01, 0),
        agreement=TICK_NS / 100,
    ),
    Rule("latency max", _longest_starvation, _predicted_longest, _constant(5 * MS)),
)  # fmt: skip
"""A virtual machine under its host's noise: what two runs agree on."""
