"""Quantile ranks and their distribution-free intervals."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.measure.histogram import LogLinearHistogram
from rtsim.measure.quantiles import QUANTILES, interval_ranks, quantile_name, quantile_rank


@given(st.sampled_from(QUANTILES), st.integers(1, 10**9))
def test_rank_is_the_smallest_that_reaches_the_share(q, count):
    rank = quantile_rank(q, count)
    assert Decimal(rank) >= Decimal(str(q)) * count > Decimal(rank - 1)


def test_q_means_the_decimal_it_is_written_as():
    assert quantile_rank(0.07, 100) == 7
    assert quantile_rank(np.float64(0.9), 10) == 9


@pytest.mark.parametrize("q", [0, -0.1, 1.01])
def test_only_shares_have_a_rank(q):
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        quantile_rank(q, 10)


def test_ends_out_of_reach_are_none():
    assert interval_ranks(0.5, 0) == (None, None)
    assert interval_ranks(0.5, 5) == (None, None)
    assert interval_ranks(0.5, 6) == (1, 6)
    assert interval_ranks(0.99999, 368_886)[1] is None
    assert interval_ranks(0.99999, 368_887)[1] == 368_887


def test_median_interval_of_the_textbook():
    # n = 20: (6, 15) has coverage 0.9586, (7, 14) only 0.8847 (binomial tables).
    assert interval_ranks(0.5, 20) == (6, 15)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("count", [30, 500])
def test_coverage_holds_for_a_skewed_distribution(q, count):
    rng = np.random.default_rng(7)
    truth = -np.log(1 - q) * 1e6
    trials = 600
    missed_below = missed_above = 0
    for _ in range(trials):
        low, high = LogLinearHistogram.from_values(rng.exponential(1e6, count).astype(np.int64)).quantile_interval(q)
        missed_below += low is not None and low > truth
        missed_above += high is not None and high < truth
    # Each side is missed with probability <= 2.5 %: 15 of 600, and 28 is 3.4 standard deviations more.
    assert missed_below <= 28
    assert missed_above <= 28


def test_names_are_the_fields():
    assert [quantile_name(q) for q in QUANTILES] == ["p50", "p90", "p99", "p99.9", "p99.99", "p99.999"]
