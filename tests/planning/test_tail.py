"""What a quantile is explained by: the samples that make it, however long the run."""

from __future__ import annotations

import numpy as np
import pytest

from rtsim.measure.histogram import LogLinearHistogram
from rtsim.planning.tail import QuantileCauses
from rtsim.scenario.result import WORST, TaskResult, WorstSample

USUAL_NS, LATE_NS = 10_000, 500_000


def run_of(samples: int, late: int) -> TaskResult:
    """Return a run in which `late` samples waited for a thread, and all others for the switch."""
    latency = LogLinearHistogram.from_values(np.array([USUAL_NS] * (samples - late) + [LATE_NS] * late))
    kept = min(WORST, late)
    worst = [WorstSample(i, LATE_NS, {"thread:other": LATE_NS}, "") for i in range(kept)]
    worst += [WorstSample(i, USUAL_NS, {"switch": USUAL_NS}, "") for i in range(WORST - kept)]
    return TaskResult(
        policy="fifo", cpus=(0,), histograms={"latency": latency}, cpu_time_ns=0, charged_ns=0, smt_ns=0, wakeups=0,
        skipped=0, switches_voluntary=0, switches_involuntary=0, migrations=0, run_delay_ns=0,
        causes_ns={"switch": USUAL_NS * (samples - late), "thread:other": LATE_NS * late}, worst=tuple(worst),
    )  # fmt: skip


def causes(quantile: float, *runs: TaskResult) -> dict[str, float]:
    found = QuantileCauses(quantile)
    for run in runs:
        found.add(run)
    return found.means()


@pytest.mark.parametrize("samples", [10_000, 50_000, 1_000_000])
def test_a_tail_is_explained_by_its_samples_however_long_the_run(samples: int) -> None:
    """The 99.99th percentile of the longest has a hundred samples at or above it, ten times what a run keeps."""
    assert causes(0.9999, run_of(samples, late=samples // 1000)) == {"thread:other": LATE_NS}


def test_samples_below_the_quantile_explain_nothing() -> None:
    """Of 50,000 samples, p99.99 is the sixth from the top: five late ones are a part of it."""
    assert causes(0.9999, run_of(50_000, late=5)) == {"thread:other": LATE_NS * 5 / 6, "switch": USUAL_NS / 6}


def test_a_median_is_explained_by_all_samples() -> None:
    found = causes(0.5, run_of(1_000, late=10))
    assert found == {"switch": USUAL_NS * 0.99, "thread:other": LATE_NS * 0.01}


def test_runs_count_by_their_samples() -> None:
    assert causes(0.9999, run_of(10_000, late=10), run_of(10_000, late=0)) == {
        "thread:other": LATE_NS / 2, "switch": USUAL_NS / 2,
    }  # fmt: skip
