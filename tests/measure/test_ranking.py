"""Kendall's tau over the pairs that a measurement tells apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from rtsim.measure.distribution import Distribution
from rtsim.measure.ranking import rank


def at(us, count=1000, **more):
    return Distribution.of([(1000 * us, 1000 * us + 1000, count)], resolution_ns=1000, **more)


def spread(us, count=1000):
    return Distribution.of([(1000 * (us + i), 1000 * (us + i) + 1000, count // 10) for i in range(10)])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=12,
                unique_by=(lambda pair: pair[0], lambda pair: pair[1])))  # fmt: skip
def test_tau_is_kendalls_where_all_pairs_count(pairs):
    found = rank(0.5, [(str(i), at(measured), at(predicted)) for i, (measured, predicted) in enumerate(pairs)])
    assert found.counted == found.pairs
    assert found.tau == pytest.approx(kendalltau(*zip(*pairs, strict=True)).statistic)


def test_pairs_within_their_spread_do_not_count():
    near = rank(0.5, [("a", spread(10), at(9)), ("b", spread(10), at(8)), ("c", spread(30), at(7))])
    assert (near.pairs, near.counted, near.tau) == (3, 2, -1)
    assert {(low.name, high.name) for low, high in near.discordant} == {("a", "c"), ("b", "c")}


def test_equal_predictions_are_neither_right_nor_wrong():
    found = rank(0.5, [("a", at(1), at(5)), ("b", at(2), at(5)), ("c", at(3), at(6))])
    assert len(found.tied) == 1
    assert found.tau == pytest.approx(2 / 3)


def test_a_censored_quantile_is_above_what_the_histogram_holds():
    beyond = at(1, 10, censored=990, limit_ns=20_000)
    found = rank(0.5, [("a", at(5), at(5)), ("b", beyond, at(30))])
    assert found.tau == 1
    assert rank(0.5, [("a", beyond, at(5)), ("b", at(30), at(9))]).tau is None


def test_no_pair_no_tau():
    assert rank(0.5, [("a", at(1), at(1))]).tau is None
    assert rank(0.5, [("a", at(1), at(1)), ("none", Distribution.of([]), at(2))]).pairs == 0
