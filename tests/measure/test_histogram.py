"""The histogram: where a value is counted, and what comes back out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.measure.histogram import BUCKETS, LogLinearHistogram, bucket_bounds, bucket_index

values = st.integers(0, 2**47 - 1) | st.integers(0, 5000) | st.integers(0, 46).map(lambda e: 2**e)
samples = st.lists(values, min_size=1, max_size=200)


@given(values)
def test_a_value_lies_in_its_bucket(value):
    lower, upper = bucket_bounds(bucket_index(value))
    assert lower <= value < upper


@given(values)
def test_index_is_the_documented_formula(value):
    if value < 2048:
        expected = value
    else:
        e = value.bit_length() - 1
        expected = 2048 + (e - 11) * 1024 + ((value >> (e - 10)) - 1024)
    assert bucket_index(value) == expected


def test_buckets_follow_each_other_without_gap_and_are_narrow():
    lower, upper = bucket_bounds(np.arange(BUCKETS))
    assert lower[0] == 0
    assert upper[-1] == 2**47
    assert (upper[:-1] == lower[1:]).all()
    assert ((upper - lower)[1:] <= np.maximum(1, lower[1:] / 1024)).all()


def test_values_beyond_the_last_bucket_are_clamped_but_the_maximum_stays_exact():
    histogram = LogLinearHistogram.from_values([5, 2**50])
    assert histogram.counts[BUCKETS - 1] == 1
    assert histogram.max_ns == histogram.quantile(1.0) == 2**50


@given(samples, st.sampled_from([0.001, 0.5, 0.9, 0.99, 0.999, 1.0]))
def test_quantile_is_the_order_statistic_to_the_resolution(sample, q):
    exact = sorted(sample)[max(math.ceil(round(q * 1000) * len(sample) / 1000), 1) - 1]
    found = LogLinearHistogram.from_values(sample).quantile(q)
    assert exact <= found <= exact * (1 + 1 / 1024)


@given(samples)
def test_extremes_sum_and_count_are_exact(sample):
    histogram = LogLinearHistogram.from_values(sample)
    assert (histogram.count, histogram.min_ns, histogram.max_ns) == (len(sample), min(sample), max(sample))
    assert histogram.total_ns == sum(sample)
    assert histogram.quantile(1.0) == max(sample)


@given(samples, samples)
def test_merging_equals_counting_together(a, b):
    merged = LogLinearHistogram.from_values(a).merge(LogLinearHistogram.from_values(b))
    together = LogLinearHistogram.from_values(a + b)
    assert merged.to_dist() == together.to_dist()
    assert merged.total_ns == together.total_ns


@given(st.lists(values, max_size=100))
def test_json_and_back(sample):
    dist = LogLinearHistogram.from_values(sample).to_dist()
    assert LogLinearHistogram.from_dist(dist).to_dist() == dist


@given(samples)
def test_ccdf_counts_what_lies_beyond(sample):
    at, share = LogLinearHistogram.from_values(sample).ccdf()
    for value, beyond in zip(at, share, strict=True):
        assert beyond == pytest.approx(sum(v > value for v in sample) / len(sample))
    assert share[-1] == 0


def test_without_samples_everything_is_null():
    dist = LogLinearHistogram().to_dist()
    assert dist["count"] == 0
    assert dist["min_ns"] is dist["mean_ns"] is dist["max_ns"] is None
    assert set(dist["quantiles_ns"]) == {"0.5", "0.9", "0.99", "0.999", "0.9999", "0.99999"}
    assert set(dist["quantiles_ns"].values()) == {None}
    assert dist["quantiles_ci_ns"]["0.5"] == [None, None]
    assert dist["histogram"] == []


def test_dist_has_the_agreed_form():
    dist = LogLinearHistogram.from_values([1000, 3000, 3001]).to_dist()
    assert dist == {
        "count": 3,
        "min_ns": 1000,
        "mean_ns": pytest.approx(7001 / 3),
        "max_ns": 3001,
        "quantiles_ns": {"0.5": 3001, "0.9": 3001, "0.99": 3001, "0.999": 3001, "0.9999": 3001, "0.99999": 3001},
        "quantiles_ci_ns": {
            "0.5": [None, None], "0.9": [1000, None], "0.99": [3000, None], "0.999": [3000, None],
            "0.9999": [3000, None], "0.99999": [3000, None],
        },
        "histogram": [[1000, 1001, 1], [3000, 3002, 2]],
    }  # fmt: skip


@pytest.mark.parametrize(
    "broken",
    [
        {"histogram": [[3000, 3003, 1]]},
        {"histogram": [[1000, 1001, 2]]},
        {"histogram": [[1000, 1001, -1]]},
        {"censored": {"count": 1, "from_ns": 5000}},
    ],
)
def test_a_dist_of_another_layout_is_refused(broken):
    dist = LogLinearHistogram.from_values([1000]).to_dist()
    with pytest.raises(ValueError, match=r"buckets|holds|negative|censored"):
        LogLinearHistogram.from_dist(dist | broken)


def test_negative_latencies_are_refused():
    with pytest.raises(ValueError, match="negative"):
        LogLinearHistogram.from_values([-1])
