"""Quantile tables: monotone integers whose draws have the distribution's quantiles and moments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rtsim.profile import Constant, Empirical, Exponential, Gamma, Limited, Lognormal, Mixture, Uniform, sample
from rtsim.profile.tables import SIZE, SURVIVAL, build, mean_ns

SIGMA = np.log(5) / stats.norm.ppf(0.99)
CASES = [
    (Uniform(1000, 90_000), stats.uniform(1000, 89_000)),
    (Exponential(1e6), stats.expon(scale=1e6)),
    (Lognormal(8000, 40_000), stats.lognorm(SIGMA, scale=8000)),
    (Gamma(50_000, 0.3), stats.gamma(0.3**-2, scale=50_000 * 0.3**2)),
    (Gamma(50_000, 1.5), stats.gamma(1.5**-2, scale=50_000 * 1.5**2)),
]

times = st.integers(1, 10**12)
distributions = st.one_of(
    times.map(Constant),
    st.tuples(times, times).map(lambda ends: Uniform(min(ends), max(ends))),
    st.floats(1, 1e12).map(Exponential),
    st.tuples(times, st.floats(1, 30)).map(lambda m: Lognormal(m[0], int(m[0] * m[1]))),
    st.tuples(st.integers(10, 10**12), st.floats(0.02, 5)).map(lambda m: Gamma(*m)),
)


@pytest.mark.parametrize(("distribution", "exact"), CASES)
def test_entries_are_the_quantiles(distribution, exact):
    table = distribution.table()
    assert table.shape == (SIZE,)
    assert table.dtype == np.int64
    expected = exact.isf(SURVIVAL[1:])
    assert np.abs(table[1:] - expected).max() <= 0.5 + 1e-9 * expected.max()


@pytest.mark.parametrize(("distribution", "exact"), CASES)
def test_moments_are_those_of_the_distribution(distribution, exact):
    # a draw is rounded down: half a nanosecond below
    assert distribution.mean_ns + 0.5 == pytest.approx(exact.mean(), rel=1e-3)
    assert distribution.second_moment_ns2 == pytest.approx(exact.var() + exact.mean() ** 2, rel=1e-3)


def test_survival_probabilities_halve_from_level_to_level():
    assert SURVIVAL[0] == 1
    assert SURVIVAL[64] == 0.5
    assert SURVIVAL[32] == 0.75
    assert SURVIVAL[-1] == 2.0**-32
    assert np.all(np.diff(SURVIVAL) < 0)


@settings(max_examples=100, deadline=None)
@given(distributions, st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=20))
def test_tables_are_monotone_and_draws_stay_inside(distribution, draws):
    table = distribution.table()
    assert np.all(np.diff(table) >= 0)
    values = [sample(table, u) for u in sorted(draws, reverse=True)]
    assert all(table[0] <= value <= table[-1] for value in values)


@given(distributions, st.integers(2**33, 2**64 - 1), st.integers(2**33, 2**64 - 1))
def test_a_smaller_survival_is_a_larger_value(distribution, one, other):
    table = distribution.table()
    assert sample(table, min(one, other)) >= sample(table, max(one, other))


def test_a_draw_finds_its_cell():
    table = np.arange(SIZE, dtype=np.int64) << 32
    top = 2**64 - 1
    assert sample(table, top) >> 32 == 0
    assert sample(table, 2**63) >> 32 == 63
    assert sample(table, 2**63 - 1) >> 32 == 64
    assert sample(table, 2**63 + 2**62) >> 32 == 31
    assert sample(table, 2**33 - 1) >> 32 == 31 * 64
    assert sample(table, 2**32) >> 32 == 32 * 64 - 1
    assert sample(table, 0) >> 32 == 32 * 64 - 1


def test_draws_are_linear_within_a_cell():
    table = np.zeros(SIZE, np.int64)
    table[1:] = 1000
    # cell 0 of level 0: survival from 1 down to 127/128
    assert sample(table, 2**64 - 1) == 0
    assert sample(table, 2**64 - 2**56) == 499
    assert sample(table, 2**64 - 2**57 + 1) == 999
    assert sample(table, 2**64 - 2**57 - 1) == 1000


@pytest.mark.parametrize("distribution", [case[0] for case in CASES] + [Constant(7)])
def test_the_mean_is_that_of_draws(distribution):
    bits = np.random.default_rng(7).integers(0, 2**64, 40_000, dtype=np.uint64)
    table = distribution.table()
    values = np.array([sample(table, int(u)) for u in bits], float)
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - distribution.mean_ns) <= 4 * error
    square_error = (values**2).std() / np.sqrt(len(values))
    assert abs((values**2).mean() - distribution.second_moment_ns2) <= 4 * square_error


def test_a_constant_is_exact():
    assert set(Constant(1600).table()) == {1600}
    assert (Constant(1600).mean_ns, Constant(1600).second_moment_ns2) == (1600, 1600**2)
    assert set(Lognormal(5, 5).table()) == {5}


def test_a_limit_caps_and_keeps_the_rest():
    free, capped = Lognormal(8000, 40_000), Limited(Lognormal(8000, 40_000), 50_000)
    assert capped.max_ns == 50_000
    below = free.table() < 50_000
    assert np.array_equal(free.table()[below], capped.table()[below])


def test_a_lognormal_does_not_start_at_zero():
    # its first cell holds the lowest 1/128 and passes through that cell's median, quantile 1/256
    table = Lognormal(8000, 40_000).table()
    middle = stats.lognorm(SIGMA, scale=8000).ppf(1 / 256)
    assert (table[0] + table[1]) / 2 == pytest.approx(middle, abs=1)


def test_a_mixture_has_the_weighted_survival_function():
    parts = ((0.9, Lognormal(2000, 5000)), (0.1, Lognormal(100_000, 400_000)))
    mixture = Mixture(parts)
    table = mixture.table()[1:-1]
    spread = (0.5, -0.5)
    low, high = (sum(weight * part.sf(table + step) for weight, part in parts) for step in spread)
    assert np.all(low <= SURVIVAL[1:-1] * (1 + 1e-9))
    assert np.all(high >= SURVIVAL[1:-1] * (1 - 1e-9))
    mean = sum(weight * part.mean_ns for weight, part in parts)
    assert mixture.mean_ns == pytest.approx(mean, rel=1e-3)


def test_a_mixture_of_constants_jumps_within_one_cell():
    table = Mixture(((3, Constant(10)), (1, Constant(1000)))).table()
    assert set(table) == {10, 1000}
    assert set(table) == {10, 1000}
    jump = np.argmax(table == 1000)
    assert SURVIVAL[jump] < 0.25 <= SURVIVAL[jump - 1]


def test_measured_values_keep_their_weights():
    measured = Empirical((10, 20, 40), (10, 20, 40), (2, 1, 1))
    table = measured.table()
    for survival, value in ((0.9, 10), (0.51, 10), (0.4, 20), (0.26, 20), (0.2, 40), (1e-6, 40)):
        assert table[np.argmin(np.abs(SURVIVAL - survival))] == value
    assert measured.mean_ns == pytest.approx(20, rel=0.01)


@pytest.mark.parametrize("distribution", [case[0] for case in CASES])
def test_survival_functions_invert_the_quantiles(distribution):
    inside = SURVIVAL[1:-1:50]
    assert distribution.sf(distribution.isf(inside)) == pytest.approx(inside, rel=1e-6)


def test_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="give it a max"):
        Lognormal(10**9, 10**18).table()
    with pytest.raises(ValueError, match="expected no negative values"):
        build(lambda survival: -survival)


def test_the_mean_counts_each_integer_of_a_cell_once():
    table = np.full(SIZE, 3, np.int64)
    table[0] = 0
    # cell 0 has probability 1/128 and the values 0, 1, 2
    assert mean_ns(table) == pytest.approx(1 / 128 + 3 * 127 / 128)
