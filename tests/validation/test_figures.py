"""Which figures are compared, how far apart they may be, and what counts as inside."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from rtsim.validation.figures import Figure, figures, rules_of
from tests.validation.recordings import NATIVE, ONE_CPU, recording

US = 1_000
MS = 1_000_000


class Unknown(dict[Any, Any]):
    """A run of which nothing was observed."""

    def __missing__(self, key: object) -> None:
        return None


def figures_of(name: str, case: str) -> dict[tuple[str, str], Figure]:
    found = recording(name)
    return {(figure.task, figure.name): figure for figure in figures(found, found.cases[case], [Unknown()])}


@pytest.mark.parametrize("name", ONE_CPU)
def test_no_figure_is_counted_twice_and_there_are_a_dozen_a_case(name: str) -> None:
    found = recording(name)
    keys = Counter(figure.key for case in found.cases.values() for figure in figures(found, case, [Unknown()]))
    assert set(keys.values()) == {1}
    assert 10 * len(found.cases) <= len(keys) <= 18 * len(found.cases)


TOLERANCES = {
    ("per1ms-other-hog1", "per", "share"): 0.012,
    ("per1ms-fifo80-idle", "per", "latency p50"): 2.5 * US,
    ("per1ms-other-hog1", "per", "latency p50"): 7_089.1,
    ("per1ms-other-hog1", "per", "latency p90"): 10.6 * US,
    ("per1ms-fifo80-hog3", "per", "latency p99"): 10 * US,
    ("per10ms-work2ms-other-hog3", "per", "waking to run p50"): 582.9 * US,
    ("per10ms-work2ms-other-hog3", "per", "waking to run p99"): 4 * MS,
    ("per1ms-other-hog1", "per", "run length mean"): 60 * US,
    ("share-2hog", "hog0", "run length p50"): 320 * US,
    ("cg4096x1+1024x2", "hog0", "run length p50"): 1_920 * US,
    ("share-2hog", "hog0", "involuntary switches"): 0.12 * 500,
    ("per1ms-other-idle", "per", "involuntary switches"): 6,
}


@pytest.mark.parametrize("key", TOLERANCES, ids=" ".join)
def test_tolerances_are_those_of_the_recordings_readme(key: tuple[str, str, str]) -> None:
    case, task, name = key
    figure = figures_of("kernel-6.12-eevdf", case)[task, name]
    assert figure.tolerance == pytest.approx(TOLERANCES[key], rel=0.02)


def test_what_says_little_is_left_out() -> None:
    beside = figures_of("kernel-6.12-eevdf", "per10ms-work2ms-other-hog3")
    assert ("hog0", "run length mean") in beside
    assert ("hog0", "run length p50") not in beside
    cyclictest = figures_of("kernel-6.12-eevdf", "cyc-fifo80-hog3")
    assert set(cyclictest) == {
        *((f"hog{i}", "share") for i in range(3)),
        *(("cyclictest", f"latency {quantile}") for quantile in ("p50", "p90", "p99")),
    }
    assert cyclictest["cyclictest", "latency p50"].measured == (8 * US, 8 * US)


def test_a_task_that_ran_for_less_than_half_the_time_has_no_share() -> None:
    found = recording("kernel-6.1-cfs")
    case = found.cases["share-2hog"]
    (repetition,) = case.repetitions
    short = {**repetition.tasks, "hog1": {**repetition.tasks["hog1"], "wall_ns": case.duration_ns // 2 - 1}}
    changed = replace(case, repetitions=(replace(repetition, tasks=short),))
    shares = [figure.task for figure in figures(found, changed, [Unknown()]) if figure.name == "share"]
    assert shares == ["hog0"]


def test_several_cpus_are_compared_by_placement_and_not_by_wake_latency() -> None:
    found = figures_of("kernel-6.12-eevdf-4cpu", "fifo3x5ms-mask2-3")
    assert {name for _, name in found} == {
        "share",
        "migrations",
        *(f"waking to run {q}" for q in ("p50", "p90", "p99")),
        *(f"time on CPU {cpu}" for cpu in (2, 3)),
    }
    assert found["fb", "migrations"].tolerance == 5
    assert found["fb", "time on CPU 2"].tolerance == 0.05


def test_of_a_trace_that_lost_its_beginning_the_rest_counts() -> None:
    found = figures_of("kernel-6.12-eevdf-4cpu", "fifo3x5ms-mask2-3")
    low, high = found["fa", "migrations"].measured
    assert low == high == pytest.approx(358 * 3 / 2.714, rel=1e-3)
    assert found["fa", "migrations"].tolerance == pytest.approx(0.3 * high)
    assert found["fa", "waking to run p99"].measured[1] < 6 * MS, "50 ms in summary.json: halves of two wake-ups"


def test_cpu_times_that_turns_of_the_emulator_stretch_are_left_out() -> None:
    found = figures_of("kernel-6.1-cfs-4cpu", "wake-fifo-mask2-3-fifohog2")
    assert {name for task, name in found if task == "per"} == {
        "migrations",
        *(f"waking to run {q}" for q in ("p50", "p90", "p99")),
    }
    assert found["per", "waking to run p90"].measured == (8 * US, 12 * US), "with CPU 0's interrupt or without"
    assert ("vcpu", "share") in found


def test_native_figures_are_those_that_both_repetitions_agree_on() -> None:
    assert ("hog0", "share") not in figures_of(NATIVE, "share-2hog"), "0.414 and 0.498"
    agreed = figures_of(NATIVE, "share-4hog")["hog0", "share"]
    assert agreed.measured == (0.2475, 0.2486)
    quantum = figures_of(NATIVE, "share-4hog")["hog0", "run length p50"]
    assert quantum.measured[0] == pytest.approx(4 * MS, rel=0.01)
    starved = figures_of(NATIVE, "starve-fifo1hog-otherper10ms")["emu", "latency max"]
    assert 945 * MS < starved.measured[0] <= starved.measured[1] < 950 * MS


def test_each_kind_of_recording_has_its_rules() -> None:
    kinds = {name: rules_of(recording(name)) for name in (*ONE_CPU, "kernel-6.1-cfs-4cpu", NATIVE)}
    assert len({kinds[name] for name in ONE_CPU}) == 1
    assert len(set(kinds.values())) == 3


INSIDE = {
    "equal": ((10, 10), (10, 10), 0, True),
    "above by the tolerance": ((12, 12), (5, 10), 2, True),
    "above by more": ((12.1, 12.1), (5, 10), 2, False),
    "below by the tolerance": ((3, 3), (5, 10), 2, True),
    "below by more": ((2.9, 2.9), (5, 10), 2, False),
    "two measured values around": ((1, 20), (5, 10), 0, True),
    "two measured values above": ((11, 20), (5, 10), 0.5, False),
    "nothing predicted": ((10, 10), None, 5, False),
}


@pytest.mark.parametrize("name", INSIDE)
def test_inside_is_within_the_envelope_and_the_tolerance(name: str) -> None:
    measured, predicted, tolerance, inside = INSIDE[name]
    assert Figure("case", "task", "figure", measured, predicted, tolerance).inside is inside


def test_the_envelope_holds_all_seeds_and_a_seed_without_samples_voids_it() -> None:
    found = recording("kernel-6.1-cfs")
    case = found.cases["share-2hog"]
    runs = [Unknown({("hog0", "share"): value}) for value in (0.51, 0.48, 0.5)]
    by_key = {figure.key: figure for figure in figures(found, case, runs)}
    assert by_key["share-2hog hog0 share"].predicted == (0.48, 0.51)
    assert by_key["share-2hog hog0 share"].inside
    assert by_key["share-2hog hog1 share"].predicted is None
    void = {figure.key: figure for figure in figures(found, case, [*runs, Unknown()])}
    assert void["share-2hog hog0 share"].predicted is None


def test_latencies_count_from_where_a_task_that_was_kept_from_its_start_began() -> None:
    """fa waited 1.1 s behind a realtime hog to begin, 1.2 s for its first release; then at most two slices."""
    rows = recording("kernel-6.1-cfs-more").cases["rrhog-fifo-equal"].repetitions[0].rows("fa.lat")
    assert rows[0][1] > 1_200 * MS
    figure = figures_of("kernel-6.1-cfs-more", "rrhog-fifo-equal")["fa", "latency p99"]
    assert figure.measured == (max(row[1] for row in rows[1:]),) * 2
