"""Measured beside predicted along the whole distribution: PIT, Q-Q, exceedances with censored samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf

from rtsim.measure.agreement import exceedances, pit, qq
from rtsim.measure.distribution import Distribution
from rtsim.measure.histogram import LogLinearHistogram

values = st.lists(st.integers(0, 50_000), min_size=1, max_size=200)


def exact(samples):
    return LogLinearHistogram.from_values(samples).distribution()


def in_us(samples, limit_us=None):
    """What a tool counts that rounds down to us and has a histogram of `limit_us` buckets."""
    us = np.asarray(samples) // 1000
    kept = us if limit_us is None else us[us < limit_us]
    buckets = ((1000 * int(each), 1000 * int(each) + 1000, int(count))
               for each, count in zip(*np.unique(kept, return_counts=True), strict=True))  # fmt: skip
    return Distribution.of(
        buckets, censored=len(us) - len(kept), limit_ns=None if limit_us is None else 1000 * limit_us,
        resolution_ns=1000,
    )  # fmt: skip


@given(values)
def test_a_right_prediction_has_a_flat_pit(samples):
    below, beyond = pit(exact(samples), exact(samples))
    assert below == pytest.approx(1)
    assert not beyond.any()


@given(values, st.integers(1, 50))
def test_censored_samples_fill_what_is_predicted_beyond_the_limit(samples, limit_us):
    below, beyond = pit(in_us(samples, limit_us), in_us(samples))
    assert below + beyond == pytest.approx(1)
    late = np.mean(np.asarray(samples) // 1000 >= limit_us)
    assert beyond.mean() == pytest.approx(late)


@given(values, values)
def test_pit_counts_every_sample(measured, predicted):
    below, beyond = pit(in_us(measured, 20), in_us(predicted))
    assert (below + beyond).mean() == pytest.approx(1)


def test_pit_of_shifted_and_of_narrow_predictions():
    rng = np.random.default_rng(5)
    measured = rng.integers(10_000, 20_000, 5000)
    early, _ = pit(exact(measured), exact(measured - 5000))
    assert early[-1] > 5 > 0.5 > early[5]
    narrow, _ = pit(exact(measured), exact(rng.integers(14_000, 16_000, 5000)))
    assert narrow[0] > 5
    assert narrow[-1] > 5


@given(values)
def test_equal_quantiles_of_equal_distributions(samples):
    share, predicted, measured = qq(in_us(samples), in_us(samples))
    assert len(share) > 0
    assert (predicted == measured).all()
    assert (np.diff(measured) >= 0).all()


@given(values, st.integers(1, 50))
def test_no_quantile_beyond_the_limit(samples, limit_us):
    share, _, measured = qq(in_us(samples, limit_us), in_us(samples))
    assert (measured < 1000 * limit_us).all()
    assert (share <= np.mean(np.asarray(samples) // 1000 < limit_us)).all()


@given(st.lists(st.integers(0, 50_000), min_size=20, max_size=200), st.integers(1, 60))
def test_shares_are_those_of_kaplan_and_meier(samples, limit_us):
    us = np.asarray(samples) // 1000
    late = us >= limit_us
    estimate = ecdf(CensoredData(uncensored=us[~late], right=np.full(late.sum(), limit_us))).sf
    for found in exceedances(in_us(samples, limit_us), in_us(samples)):
        assert found.threshold_ns <= 1000 * limit_us
        assert found.measured == pytest.approx(estimate.evaluate(found.threshold_ns // 1000 - 1))
        assert found.measured == pytest.approx(found.predicted)
        assert not found.apart


def test_the_limit_is_the_last_threshold():
    measured = in_us([1500] * 980 + [7500] * 18 + [30_000] * 2, 20)
    found = exceedances(measured, exact([1500] * 990 + [9000] * 10))
    assert [(each.threshold_ns, each.measured, each.predicted, each.censored) for each in found] == [
        (2000, 0.02, 0.01, False), (8000, 0.002, 0.01, False), (20_000, 0.002, 0.0, True),
    ]  # fmt: skip


def test_shares_that_chance_does_not_explain_are_apart():
    measured = in_us([1500] * 900 + [9500] * 100)
    same, *_ = exceedances(measured, exact([1500] * 910 + [9000] * 90))
    more, *_ = exceedances(measured, exact([1500] * 990 + [9000] * 10))
    assert not same.apart
    assert more.apart


def test_without_samples_there_is_nothing():
    empty = Distribution.of([])
    assert exceedances(empty, exact([1])) == []
    assert len(qq(empty, exact([1]))[0]) == 0
    assert not pit(empty, exact([1]))[0].any()
