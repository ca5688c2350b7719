"""Measured beside predicted: errors at the tool's resolution, censoring, tolerances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from rtsim.inputs.errors import InputError
from rtsim.measure.distance import (
    Tolerance,
    compare_distributions,
    ks_distance,
    parse_tolerances,
    wasserstein_ns,
)
from rtsim.measure.distribution import AtLeast, Distribution
from rtsim.measure.histogram import LogLinearHistogram


def measured_us(bins, **more):
    return Distribution.of(((1000 * us, 1000 * us + 1000, n) for us, n in bins.items()), resolution_ns=1000, **more)


def predicted(values):
    return LogLinearHistogram.from_values(values).distribution()


def by_name(comparison):
    return {row.quantity: row for row in comparison.rows}


def test_the_prediction_is_rounded_down_as_the_tool_rounds():
    comparison = compare_distributions(
        measured_us({7: 90, 12: 10}, max_ns=12_000), predicted([7600] * 90 + [12_999] * 10)
    )
    rows = by_name(comparison)
    assert [rows[name].error_ns for name in ("p50", "p90", "p99", "max")] == [0, 0, 0, 0]
    assert comparison.ks == 0
    assert comparison.wasserstein_ns == 0


def test_errors_are_relative_to_the_measured_value():
    row = by_name(compare_distributions(measured_us({10: 100}), predicted([12_500] * 100)))["p50"]
    assert (row.error_ns, row.relative_error) == (2000, 0.2)


def test_verdicts():
    tolerances = parse_tolerances("p50=0.10, p99=0.15/4us, max=0.5")
    comparison = compare_distributions(
        measured_us({10: 90, 20: 10}, max_ns=20_000), predicted([12_000] * 90 + [24_000] * 10), tolerances
    )
    rows = by_name(comparison)
    assert [rows[name].verdict for name in ("p50", "p90", "p99", "max")] == ["beyond", "", "within", "within"]
    assert not comparison.passed
    assert list(comparison.table().loc["p50", ["measured_us", "predicted_us", "tolerance"]]) == [10, 12, "10 %"]
    assert comparison.table().loc["p99", "tolerance"] == "15 % or 4 us"


def test_a_censored_quantile_is_no_number():
    measured = measured_us({10: 90}, censored=10, limit_ns=60_000, max_ns=1_475_000)
    rows = by_name(compare_distributions(measured, predicted([10_000] * 100), parse_tolerances("p50=0.1,p99=0.1")))
    assert rows["p99"].measured_ns == AtLeast(60_000)
    assert rows["p99"].error_ns is None
    assert rows["p99"].verdict == "beyond"  # 10 us predicted, at least 60 us measured
    assert rows["max"].measured_ns == 1_475_000


def test_a_censored_quantile_that_may_agree_is_undecided_and_does_not_pass():
    measured = measured_us({10: 90}, censored=10, limit_ns=60_000)
    comparison = compare_distributions(measured, predicted([10_000] * 90 + [80_000] * 10), parse_tolerances("p99=0.1"))
    assert by_name(comparison)["p99"].verdict == "undecided"
    assert not comparison.passed
    assert comparison.table().loc["p99", "measured_us"] == ">= 60 us"


def test_distances_stop_at_the_limit():
    measured = measured_us({10: 50}, censored=50, limit_ns=60_000)
    assert ks_distance(measured, predicted([10_500] * 50 + [90_000] * 50).coarsened(1000)) == 0
    assert ks_distance(measured, predicted([10_500] * 80 + [90_000] * 20).coarsened(1000)) == pytest.approx(0.3)
    assert wasserstein_ns(measured, predicted([10_000])) is None


def test_without_samples_there_is_no_distance():
    nothing = Distribution.of([])
    assert ks_distance(nothing, predicted([1])) is None
    comparison = compare_distributions(nothing, predicted([1]), parse_tolerances("p50=1"))
    assert by_name(comparison)["p50"].verdict == "undecided"


fine = st.lists(st.integers(0, 2000), min_size=1, max_size=80)


@given(fine, fine)
def test_distances_are_those_of_the_samples_where_buckets_are_exact(a, b):
    gap = max(abs(np.mean(np.array(a) <= v) - np.mean(np.array(b) <= v)) for v in {*a, *b})
    assert ks_distance(predicted(a), predicted(b)) == pytest.approx(gap)
    assert wasserstein_ns(predicted(a), predicted(b)) == pytest.approx(wasserstein_distance(a, b))


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50), st.sampled_from([1000, 4000]))
def test_coarsening_moves_no_sample_by_more_than_the_resolution(values, resolution):
    coarse = predicted(values).coarsened(resolution)
    assert coarse.count == len(values)
    ordered = np.sort(values)
    for rank, value in enumerate(ordered, start=1):
        low, high = coarse.at_rank(rank)
        assert low - value / 1024 <= value <= high + value / 1024


@given(st.lists(st.integers(0, 90), min_size=1, max_size=30), st.integers(1, 5))
def test_dist_json_keeps_censoring(bins, censored):
    made = measured_us(dict.fromkeys(bins, 1), censored=censored, limit_ns=100_000, max_ns=500_000)
    again = Distribution.from_dist(made.to_dist())
    assert again.to_dist() == made.to_dist()
    assert (again.censored, again.limit_ns, again.resolution_ns) == (censored, 100_000, 1000)
    assert made.to_dist()["quantiles_ns"]["0.99999"] is None


def test_tolerances_of_any_quantile():
    assert parse_tolerances("p99.95=0.2,mean=0.1/1us") == {"p99.95": Tolerance(0.2), "mean": Tolerance(0.1, 1000)}
    rows = by_name(compare_distributions(predicted([100]), predicted([100]), parse_tolerances("p99.95=0.2")))
    assert rows["p99.95"].verdict == "within"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p50",
        "p50=",
        "p50=x",
        "p50=-0.1",
        "p50=nan",
        "p0=0.1",
        "p100=0.1",
        "q5=0.1",
        "p50=0.1,p50=0.2",
        "p50=0.1/2",
        "p50=0.1/us",
    ],
)
def test_malformed_tolerances_are_named(text):
    with pytest.raises(InputError, match="--tolerance"):
        parse_tolerances(text)


@pytest.mark.parametrize(
    ("buckets", "more"),
    [
        ([(0, 10, 1), (5, 15, 1)], {}),
        ([(10, 10, 1)], {}),
        ([(0, 10, -1)], {}),
        ([(0, 10, 1)], {"censored": 1}),
        ([(0, 10, 1)], {"censored": 1, "limit_ns": 5}),
    ],
)
def test_impossible_buckets_are_refused(buckets, more):
    with pytest.raises(ValueError, match=r"buckets|counts|limit"):
        Distribution.of(buckets, **more)
