"""Which variant is better, and which cannot be told apart.

Every variant is simulated with the same seeds, so replication *i* of two variants saw the same noise and their values
are compared in pairs: what they share cancels. A pair is *separated* when the confidence interval of its mean
difference excludes zero; otherwise it is a tie.

The interval has to satisfy two judges, and covers both their intervals. One is Student's t over the replications'
differences, with Bonferroni's correction over all pairs, so that the 95 % holds for the whole table and not for each
line; Tukey's range test would be sharper but assumes one variance for all variants, which a starved and an isolated
guest do not have. The other is the 95 % interval of the median difference from order statistics, which assumes nothing:
tail quantiles jump with rare events and repeat in coarse steps, where a few equal differences look infinitely sharp to
t, and a bootstrap of them too. Fewer than six replications cannot satisfy the second judge (five of five the same way
is chance once in 16) and separate nothing. Values closer than the histogram's resolution are tied, and a replication
without any sample is infinitely bad: it separates only if it is so in every replication.

Ties are not transitive: A may tie with B and B with C while A beats C. So the rank is read off the separations alone:
one more than the longest chain of ever better variants above it. A separated pair never shares a rank and is never out
of order; variants that nothing separates from the best share rank 1; and ``tied_with`` names every tie, also one
across ranks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student_t

from rtsim.measure.quantiles import interval_ranks

__all__ = ["ComparisonRow", "Outcome", "compare_outcomes", "mean_interval", "paired_interval", "shared_warnings"]

RESOLUTION = 1 / 1024
"""Relative width of a histogram bucket: quantiles are not known more finely."""

Values = npt.NDArray[np.float64]

NO_CHANGE_NS = 50.0
"""Changes of a cause that would be printed as 0.0 us."""


@dataclass(frozen=True)
class Outcome:
    """One variant's replications, as the comparison needs them.

    Parameters
    ----------
    name
        The variant.
    values_ns
        The ranked value of each replication, replication i with seed i in every variant; None: no sample.
    causes_ns
        Mean latency by cause: total over samples divided by their number.
    cpus_spent, workload_vcpus
        The price: host CPUs taken, and vCPUs left to the workload.
    refused
        The exception text if Nova refuses the variant; it is listed last, without rank.
    """

    name: str
    values_ns: Sequence[float | None] = ()
    causes_ns: Mapping[str, float] = field(default_factory=dict)
    cpus_spent: int | None = None
    workload_vcpus: int | None = None
    refused: str | None = None


class ComparisonRow(TypedDict):
    """One row of the comparison, as in its JSON; times in ns."""

    name: str
    rank: int | None
    tied_with: list[str]
    value_ns: float | None
    ci_ns: list[float] | None
    difference_ns: float | None
    difference_ci_ns: list[float] | None
    cpus_spent: int | None
    workload_vcpus: int | None
    why: str
    refused: str | None


def compare_outcomes(outcomes: Sequence[Outcome], confidence: float = 0.95) -> list[ComparisonRow]:
    """Rank variants by the mean of their replications' values, best first.

    ``ci_ns`` is the t interval of a variant's own mean. ``difference_ci_ns`` is the paired interval of its difference
    to the best, at the confidence that ties are judged with: it contains zero exactly if the two are tied.

    Raises
    ------
    ValueError
        Two variants have one name, or the numbers of replications differ.
    """
    names = [outcome.name for outcome in outcomes]
    if len(set(names)) != len(names):
        raise ValueError("variants need different names")
    running = [outcome for outcome in outcomes if outcome.refused is None]
    if len({len(outcome.values_ns) for outcome in running}) > 1:
        raise ValueError("paired comparison needs the same replications of every variant")
    values = {o.name: np.array([math.inf if v is None else v for v in o.values_ns], dtype=float) for o in running}
    if any(len(v) == 0 for v in values.values()):
        raise ValueError("at least one replication is needed")
    ordered = sorted(running, key=lambda outcome: float(values[outcome.name].mean()))
    pairs = max(len(ordered) * (len(ordered) - 1) // 2, 1)
    each = 1 - (1 - confidence) / pairs
    beats = {
        (better.name, worse.name): _separated(paired_interval(values[worse.name], values[better.name], each))
        for better, worse in itertools.combinations(ordered, 2)
    }
    ranks = _ranks([outcome.name for outcome in ordered], beats)
    rows = [_row(outcome, ordered, values, beats, ranks, confidence, each) for outcome in ordered]
    return rows + [_refused_row(outcome) for outcome in outcomes if outcome.refused is not None]


def mean_interval(values: Values, confidence: float = 0.95, *, least_spread: float = 0.0) -> tuple[float, float] | None:
    """Return the t interval of the mean of `values`, shape (replications,); None with fewer than two, or infinite ones.

    Their standard deviation is taken as at least `least_spread`.
    """
    count = len(values)
    if count < 2 or np.isinf(values).any():
        return None
    spread = max(float(values.std(ddof=1)), least_spread)
    half = float(student_t.ppf((1 + confidence) / 2, count - 1)) * spread / math.sqrt(count)
    middle = float(values.mean())
    return middle - half, middle + half


def paired_interval(values: Values, baseline: Values, confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the interval of ``values - baseline``, both shape (replications,), in ns; None below six replications.

    It covers the t interval of the mean difference at `confidence` and the 95 % order-statistic interval of the median
    difference. The differences' standard deviation is taken as at least that of a value anywhere in its bucket. Where
    one side has no sample (infinite) in every replication and the other always has, the difference is infinite; where
    only some replications are infinite the interval spans everything.
    """
    lower, upper = interval_ranks(0.5, len(values))
    if lower is None or upper is None:
        return None
    lost, lost_baseline = np.isinf(values), np.isinf(baseline)
    if lost.any() or lost_baseline.any():
        if lost.all() and not lost_baseline.any():
            return math.inf, math.inf
        if lost_baseline.all() and not lost.any():
            return -math.inf, -math.inf
        return -math.inf, math.inf
    differences = np.sort(values - baseline)
    bucket = RESOLUTION * max(float(values.mean()), float(baseline.mean()))
    mean = mean_interval(differences, confidence, least_spread=bucket / math.sqrt(12))
    assert mean is not None  # six finite differences have one
    return min(mean[0], float(differences[lower - 1])), max(mean[1], float(differences[upper - 1]))


def _separated(interval: tuple[float, float] | None) -> bool:
    return interval is not None and not interval[0] <= 0 <= interval[1]


def _ranks(ordered: Sequence[str], beats: Mapping[tuple[str, str], bool]) -> dict[str, int]:
    """Return ranks that follow the values; a variant ranks below every one that beats it."""
    ranks: dict[str, int] = {}
    rank = 1
    for place, name in enumerate(ordered):
        rank = max([rank, *(ranks[better] + 1 for better in ordered[:place] if beats[better, name])])
        ranks[name] = rank
    return ranks


def _row(
    outcome: Outcome, ordered: Sequence[Outcome], values: Mapping[str, Values], beats: Mapping[tuple[str, str], bool],
    ranks: Mapping[str, int], confidence: float, each: float,
) -> ComparisonRow:  # fmt: skip
    best, name = ordered[0], outcome.name
    own = values[name]
    mean = float(own.mean())
    difference = 0.0 if outcome is best else mean - float(values[best.name].mean())
    interval = (0.0, 0.0) if outcome is best else paired_interval(own, values[best.name], each)
    tied = [o.name for o in ordered if o is not outcome and not beats.get((o.name, name), beats.get((name, o.name)))]
    return {
        "name": name,
        "rank": ranks[name],
        "tied_with": tied,
        "value_ns": _finite(mean),
        "ci_ns": _finite_pair(mean_interval(own, confidence)),
        "difference_ns": _finite(difference),
        "difference_ci_ns": _finite_pair(interval),
        "cpus_spent": outcome.cpus_spent,
        "workload_vcpus": outcome.workload_vcpus,
        "why": _why(outcome, ordered),
        "refused": None,
    }


def _refused_row(outcome: Outcome) -> ComparisonRow:
    return {
        "name": outcome.name, "rank": None, "tied_with": [], "value_ns": None, "ci_ns": None, "difference_ns": None,
        "difference_ci_ns": None, "cpus_spent": outcome.cpus_spent, "workload_vcpus": outcome.workload_vcpus, "why": "",
        "refused": outcome.refused,
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _finite_pair(interval: tuple[float, float] | None) -> list[float] | None:
    return list(interval) if interval is not None and all(map(math.isfinite, interval)) else None


def _why(outcome: Outcome, ordered: Sequence[Outcome]) -> str:
    """Return the cause that sets `outcome` apart from the best; of the best itself, its largest cause."""
    best = ordered[0]
    if any(value is None for value in outcome.values_ns):
        return "no sample: the task did not run in every replication"
    if outcome is best:
        if not outcome.causes_ns:
            return ""
        cause, mean = max(outcome.causes_ns.items(), key=lambda item: (item[1], item[0]))
        return f"most of it {cause}, {mean / 1000:.1f} us"
    causes = sorted({*outcome.causes_ns, *best.causes_ns})
    if not causes:
        return ""
    changes = {cause: outcome.causes_ns.get(cause, 0) - best.causes_ns.get(cause, 0) for cause in causes}
    cause = max(causes, key=lambda name: changes[name])
    if changes[cause] <= 0:  # worse in its tail only: the largest change is a gain
        cause = max(causes, key=lambda name: abs(changes[name]))
    if abs(changes[cause]) < NO_CHANGE_NS:
        return "no difference"
    return f"{cause} {changes[cause] / 1000:+.1f} us"


def shared_warnings(by_variant: Mapping[str, Sequence[str]]) -> list[str]:
    """Return each warning once, those of most variants first; unless all have it, with one or two names or a number."""
    having: dict[str, list[str]] = {}
    for variant, warnings in by_variant.items():
        for warning in dict.fromkeys(warnings):
            having.setdefault(warning, []).append(variant)
    ordered = sorted(having.items(), key=lambda item: -len(item[1]))
    return [text + _having(names, len(by_variant)) for text, names in ordered]


def _having(names: Sequence[str], variants: int) -> str:
    if len(names) == variants:
        return ""
    return f" ({'; '.join(names)})" if len(names) <= 2 else f" ({len(names)} of {variants} variants)"
