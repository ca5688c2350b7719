"""Ranking variants: paired intervals, ties, ranks without contradiction, and the reason given."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsim.measure.comparison import Outcome, compare_outcomes, mean_interval, paired_interval, shared_warnings


def rows_of(**values):
    return {row["name"]: row for row in compare_outcomes([Outcome(name, each) for name, each in values.items()])}


def test_common_noise_cancels_in_the_paired_difference():
    noise = np.array([0.0, 40_000, -30_000, 90_000, 10_000, 0])
    jitter = np.array([0.0, 50, -50, 30, -30, 0])
    rows = rows_of(a=100_000 + noise, b=103_000 + noise + jitter)
    assert rows["a"]["rank"] == 1
    assert rows["b"]["rank"] == 2
    assert rows["b"]["tied_with"] == []
    low, high = rows["b"]["difference_ci_ns"]
    assert 0 < low < 3000 < high
    assert rows["a"]["ci_ns"][1] > rows["b"]["value_ns"]  # unpaired, they overlap


def test_difference_interval_covers_t_and_order_statistics():
    differences = np.array([1000.0, 2000, 3000, 1000, 2000, 3000])
    baseline = np.full(6, 10_000.0)
    # mean 2000, s = 894.43, t(0.975, 5) = 2.5706: half = 2.5706 * 894.43 / sqrt(6) = 938.7; the median's interval with
    # six samples is their whole range.
    assert mean_interval(differences) == pytest.approx((2000 - 938.7, 2000 + 938.7), abs=0.1)
    assert paired_interval(baseline + differences, baseline) == pytest.approx((1000, 3000))


def test_ties_share_a_rank_and_name_each_other():
    a = [10_000, 12_000, 11_000, 10_000, 12_000, 11_000]
    rows = rows_of(a=a, b=[10_500, 11_500, 11_200, 10_700, 11_400, 11_300], c=[v + 80_000 for v in a])
    assert rows["a"]["rank"] == rows["b"]["rank"] == 1
    assert rows["a"]["tied_with"] == ["b"]
    assert rows["b"]["tied_with"] == ["a"]
    assert rows["c"]["rank"] == 2
    low, high = rows["b"]["difference_ci_ns"]
    assert low <= 0 <= high


def test_a_tie_across_ranks_is_named():
    a = np.array([10_000, 10_100, 9_900, 10_000, 10_100, 9_900])
    rows = rows_of(a=a, noisy=[9_000, 30_000, 8_000, 14_000, 24_000, 7_000], c=a + 10_000)
    assert {name: row["rank"] for name, row in rows.items()} == {"a": 1, "noisy": 1, "c": 2}  # a < c is separated
    assert rows["noisy"]["tied_with"] == ["a", "c"]
    assert rows["c"]["tied_with"] == ["noisy"]


@pytest.mark.parametrize("replications", [1, 5])
def test_few_replications_separate_nothing(replications):
    rows = rows_of(a=[10_000] * replications, b=[99_000] * replications)
    assert rows["b"]["rank"] == 1
    assert rows["b"]["difference_ns"] == 89_000
    assert rows["b"]["difference_ci_ns"] is None
    assert rows["b"]["tied_with"] == ["a"]


def test_equal_differences_are_as_sharp_as_the_buckets_and_no_sharper():
    rows = rows_of(a=[100_000] * 6, b=[100_020] * 6, c=[101_000] * 6)
    assert rows["b"]["tied_with"] == ["a"]
    assert rows["c"]["rank"] == 2
    assert rows_of(a=[0] * 6, b=[0] * 6)["b"]["difference_ci_ns"] == [0, 0]


def test_a_starved_variant_is_worst_and_one_that_starves_at_times_is_not_told_apart():
    rows = rows_of(
        good=[10_000, 11_000, 10_500] * 2,
        starved=[None] * 6,
        now_and_then=[10_000, None, 10_000, 10_000, 10_000, 10_000],
    )
    assert rows["good"]["rank"] == 1
    assert rows["starved"]["rank"] == 2
    assert (
        rows["starved"]["value_ns"] is rows["starved"]["difference_ns"] is rows["starved"]["difference_ci_ns"] is None
    )
    assert set(rows["now_and_then"]["tied_with"]) == {"good", "starved"}
    assert "no sample" in rows["starved"]["why"]


def test_why_names_the_cause_that_grew_most():
    best = Outcome("pinned", [10_000, 10_100], {"vm_exit": 2000, "irq": 900}, cpus_spent=5, workload_vcpus=2)
    other = Outcome("floating", [14_000, 14_050], {"vm_exit": 2100, "irq": 100, "thread:qemu emulator": 3100})
    rows = compare_outcomes([other, best])
    assert [row["name"] for row in rows] == ["pinned", "floating"]
    assert rows[0]["why"] == "most of it vm_exit, 2.0 us"
    assert rows[1]["why"] == "thread:qemu emulator +3.1 us"
    assert (rows[0]["cpus_spent"], rows[0]["workload_vcpus"]) == (5, 2)


def test_refused_variants_come_last_without_rank():
    text = "RealtimeMaskNotFoundOrInvalid: Realtime policy needs vCPU(s) mask configured"
    rows = compare_outcomes([Outcome("refused", refused=text), Outcome("fine", [1000, 1001])])
    assert [row["name"] for row in rows] == ["fine", "refused"]
    assert rows[1]["rank"] is None
    assert rows[1]["refused"] == text


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        ([Outcome("a", [1]), Outcome("a", [2])], "names"),
        ([Outcome("a", [1]), Outcome("b", [2, 3])], "same replications"),
        ([Outcome("a", [])], "at least one"),
    ],
)
def test_what_cannot_be_paired_is_refused(outcomes, message):
    with pytest.raises(ValueError, match=message):
        compare_outcomes(outcomes)


tables = st.integers(2, 9).flatmap(
    lambda n: st.lists(
        st.lists(st.one_of(st.none(), st.integers(0, 100_000)), min_size=n, max_size=n), min_size=1, max_size=6
    )
)


@settings(max_examples=60, deadline=None)
@given(tables)
def test_ranks_never_contradict_separations(table):
    rows = compare_outcomes([Outcome(f"v{i}", values) for i, values in enumerate(table)])
    ranks = {row["name"]: row["rank"] for row in rows}
    order = {row["name"]: place for place, row in enumerate(rows)}
    assert rows[0]["rank"] == 1
    assert sorted(set(ranks.values())) == list(range(1, max(ranks.values()) + 1))
    for a, b in itertools.combinations(rows, 2):
        tied = b["name"] in a["tied_with"]
        assert tied == (a["name"] in b["tied_with"])
        if not tied:
            assert ranks[a["name"]] != ranks[b["name"]]
            assert (ranks[a["name"]] < ranks[b["name"]]) == (order[a["name"]] < order[b["name"]])


def tail_values(rng, shape, kind):
    """Replications' tail quantiles as they come out of runs: skewed, with rare jumps, in coarse steps."""
    if kind == "normal":
        return rng.normal(50_000, 500, shape)
    if kind == "lognormal":
        return rng.lognormal(10, 0.5, shape)
    if kind == "rare jump":
        return 20_000 + 30_000 * (rng.random(shape) < 0.3) + rng.normal(0, 100, shape)
    return 1000 * rng.integers(20, 23, shape).astype(float)  # coarse steps: many equal values


@pytest.mark.parametrize("replications", [5, 6, 8, 10])
@pytest.mark.parametrize("kind", ["normal", "lognormal", "rare jump", "steps"])
def test_no_pair_that_one_seed_separates_is_reversed_by_another(kind, replications):
    """Twenty runs of eight variants, four of them truly alike: the hardest case for a procedure that must not flip."""
    rng = np.random.default_rng([replications, len(kind)])
    shift = np.array([0, 0, 0, 0, 300, 1000, 5000, 20_000.0])
    decided = {}
    for _ in range(20):
        values = tail_values(rng, (8, replications), kind) + shift[:, None]
        rows = compare_outcomes([Outcome(str(i), list(values[i])) for i in range(8)])
        for a, b in itertools.combinations(rows, 2):
            if b["name"] not in a["tied_with"]:
                decided.setdefault(frozenset((a["name"], b["name"])), set()).add(a["name"])
    assert all(len(winners) == 1 for winners in decided.values())
    if replications >= 8 and kind != "lognormal":
        assert decided[frozenset("07")] == {"0"}  # and it still decides what is decidable


def test_false_separations_stay_below_the_stated_share():
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(200):
        values = rng.lognormal(10, 0.3, (5, 8))
        rows = compare_outcomes([Outcome(str(i), list(v)) for i, v in enumerate(values)])
        wrong += any(len(row["tied_with"]) < 4 for row in rows)
    assert wrong <= 17  # 5 % of 200 is 10; 17 is 2.3 standard deviations more


def test_a_warning_is_told_once_with_the_variants_that_have_it():
    told = shared_warnings({"a": ["x"], "b": ["x", "both", "both"], "c": ["both", "x"]})
    assert told == ["x", "both (b; c)"]
    assert shared_warnings({"a": ["x"], "b": ["x"], "c": ["x"], "d": []}) == ["x (3 of 4 variants)"]
    assert shared_warnings({"a": [], "b": []}) == []
