"""Variants, simulated with the same seeds, merged and ranked."""

import json
import pickle
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest

from rtsim.inputs.errors import InputError
from rtsim.planning import Comparison, RankBy, compare
from rtsim.scenario import Scenario, simulate

REPLICATIONS = 6
MASK = 'guests.realtime4.flavor.properties["hw:cpu_realtime_mask"]'


@pytest.fixture(scope="module")
def smt4():
    return Scenario.load("data/scenarios/smt4.yaml").lasting("1 s")


@pytest.fixture(scope="module")
def comparison(smt4):
    return compare(smt4, replications=REPLICATIONS)


class Elsewhere(Executor):
    """Runs everything at once, and passes all through bytes as another process or machine would."""

    def submit(self, function, /, *args, **kwargs):
        function, args, kwargs = pickle.loads(pickle.dumps((function, args, kwargs)))
        future = Future()
        future.set_result(pickle.loads(pickle.dumps(function(*args, **kwargs))))
        return future


def row_of(comparison, name):
    return next(row for row in comparison.rows if row["name"] == name)


def test_every_variant_is_a_row_with_its_price(comparison):
    assert sorted(row["name"] for row in comparison.rows) == ["dedicated only", "mask ^0-1", "mask ^0-2"]
    assert row_of(comparison, "mask ^0-2")["workload_vcpus"] == 1
    assert {row["cpus_spent"] for row in comparison.rows} == {4}
    values = [row["value_ns"] for row in comparison.rows]
    assert values == sorted(values)


def test_replications_have_successive_seeds_and_the_value_is_the_worst_threads(smt4, comparison):
    values = []
    for seed in range(1, 1 + REPLICATIONS):
        result = simulate(smt4.variants()["mask ^0-1"].seeded(seed))
        threads = [result.task(f"realtime4/cyclictest/{vcpu}") for vcpu in (2, 3)]
        values.append(max(thread.latency.quantile(0.999) for thread in threads))
    assert row_of(comparison, "mask ^0-1")["value_ns"] == pytest.approx(sum(values) / REPLICATIONS)


def test_replications_are_merged(comparison):
    task = comparison.results["mask ^0-1"].task("realtime4/cyclictest")
    assert task.latency.count == 2 * 1000 * REPLICATIONS
    assert sum(task.causes_ns.values()) == task.latency.total_ns
    worst = [sample.latency_ns for sample in task.worst]
    assert len(worst) == 10
    assert worst[0] == task.latency.max_ns
    assert worst == sorted(worst, reverse=True)


@pytest.mark.parametrize("workers", [1, 5])
def test_the_outcome_does_not_depend_on_the_number_of_workers(smt4, comparison, workers):
    with ThreadPoolExecutor(workers) as pool:
        other = compare(smt4, replications=REPLICATIONS, executor=pool)
    assert json.dumps(other.to_json()) == json.dumps(comparison.to_json())


def test_work_can_be_sent_elsewhere(smt4, comparison):
    other = compare(smt4, replications=REPLICATIONS, executor=Elsewhere())
    assert json.dumps(other.to_json()) == json.dumps(comparison.to_json())


def test_identical_variants_are_tied(smt4):
    result = compare({"one": smt4, "other": smt4}, replications=REPLICATIONS)
    assert [row["rank"] for row in result.rows] == [1, 1]
    assert row_of(result, "other")["tied_with"] == ["one"]
    assert row_of(result, "other")["difference_ns"] == 0


def test_a_vcpu_behind_the_hosts_own_work_is_worse_and_the_row_says_why(smt4):
    hog = {"workload": {"tasks": {"hog": {"policy": "SCHED_FIFO", "priority": 50, "cpus": [2], "run": 300,
                                          "timer": {"period": 7013}}}}}  # fmt: skip
    result = compare({"alone": smt4, "with hog": smt4.patched(hog)}, replications=REPLICATIONS)
    assert [(row["name"], row["rank"]) for row in result.rows] == [("alone", 1), ("with hog", 2)]
    assert row_of(result, "with hog")["why"].startswith("thread:hog +")


def test_why_counts_the_samples_that_make_the_quantile(smt4):
    """300 us fifty times a second are little in the mean, and nearly all of that CPU's p99.9."""
    rare = {"workload": {"tasks": {"rare": {"policy": "SCHED_FIFO", "priority": 50, "cpus": [2], "run": 300,
                                            "timer": {"period": 20_017}}}}}  # fmt: skip
    result = compare({"alone": smt4, "rare": smt4.patched(rare)}, replications=REPLICATIONS)
    row = row_of(result, "rare")
    mean_us = float(row["why"].split()[-2])
    worst = result.results["rare"].task("realtime4/cyclictest/2")
    overall_us = worst.causes_ns["thread:rare"] / worst.latency.count / 1000
    assert row["why"].startswith("thread:rare +")
    assert mean_us > 20 * overall_us > 0


def test_what_nova_refuses_is_a_row_and_the_others_are_compared(smt4):
    result = compare(smt4, vary={MASK: ["^0-1", "^0-3", "^0-2"]}, replications=2)
    refused = result.rows[-1]
    assert refused["name"] == "hw:cpu_realtime_mask=^0-3"
    assert refused["rank"] is None
    assert refused["refused"].startswith("RealtimeMaskNotFoundOrInvalid: ")
    assert [row["rank"] for row in result.rows[:-1]] == [1, 1]
    assert set(result.results) == {"hw:cpu_realtime_mask=^0-1", "hw:cpu_realtime_mask=^0-2"}


def test_everything_refused_is_still_a_table(smt4):
    result = compare(smt4, vary={MASK: ["^0-3"]}, replications=1)
    assert len(result.rows) == 1
    assert result.to_json()["variants"] == {}
    assert result.table()["refused"].notna().all()


def test_a_wrong_variant_is_named(smt4):
    wrong = smt4.patched({"variants": {"two seeds": {"seeds": 2}}})
    with pytest.raises(InputError, match=r"smt4.yaml: variant two seeds: .*seeds"):
        compare(wrong)


def test_an_error_in_one_replication_ends_the_comparison(smt4):
    wrong = smt4.patched({"guests": {"realtime4": {"workload": {"cyclictest": {"cpus": "7"}}}}})
    with pytest.raises(InputError, match="expected vCPUs 0 to 3, found 7"):
        compare({"right": smt4, "wrong": wrong}, replications=2)


def test_the_task_to_rank_by_must_exist(smt4):
    with pytest.raises(
        InputError, match=r"expected an observed task, found 'realtime4/oslat'; there are realtime4/vcpu0"
    ):
        compare(smt4.patched({"rank_by": {"task": "realtime4/oslat"}}), replications=1)


def test_nothing_to_compare_is_said(smt4):
    with pytest.raises(InputError, match="expected variants to compare, or --vary"):
        compare(smt4.patched({"variants": None}))


def test_rank_by_defaults_to_the_first_guests_cyclictest(smt4):
    assert RankBy.of(smt4.patched({"rank_by": None})) == RankBy("realtime4/cyclictest", 0.9999, "worst")
    host_only = smt4.patched({"rank_by": None, "guests": None, "workload": {"cyclictest": {"cpus": "1"}}})
    assert RankBy.of(host_only).task == "cyclictest"


def test_all_takes_the_quantile_of_all_threads_together(smt4):
    variant = smt4.variants()["mask ^0-1"].patched({"rank_by": {"over": "all"}})
    result = compare({"it": variant}, replications=1)
    merged = result.results["it"].task("realtime4/cyclictest")
    assert result.rows[0]["value_ns"] == merged.latency.quantile(0.999)


def test_progress_counts_replications(smt4):
    seen = []
    compare(smt4.lasting("100 ms"), replications=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 6) for i in range(1, 7)]


def test_giving_up_ends_the_runs_that_are_under_way(smt4):
    def give_up(done, total):
        raise KeyboardInterrupt

    variants = {"short": smt4, "endless": smt4.lasting("500 h")}
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        compare(variants, replications=1, progress=give_up)
    assert time.monotonic() - begin < 30


def test_the_table_is_a_frame_in_us(comparison):
    table = comparison.table()
    assert isinstance(comparison, Comparison)
    assert list(table.index) == [row["name"] for row in comparison.rows]
    assert table.loc["mask ^0-1", "value_us"] == pytest.approx(
        row_of(comparison, "mask ^0-1")["value_ns"] / 1000, abs=1e-3
    )


def test_it_shows_itself_in_a_notebook_and_draws_its_tails(comparison):
    import matplotlib.figure

    assert "mask ^0-1" in comparison._repr_html_()
    axes = matplotlib.figure.Figure().subplots()
    assert comparison.plot_ccdf(axes) is axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [row["name"] for row in comparison.rows]
