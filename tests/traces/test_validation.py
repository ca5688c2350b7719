"""A cyclictest file against the result that predicts it."""

from pathlib import Path

import pytest

from rtsim.inputs.errors import InputError
from rtsim.measure.distance import parse_tolerances
from rtsim.measure.histogram import LogLinearHistogram
from rtsim.traces.cyclictest import read_cyclictest
from rtsim.traces.validation import find_task, validate_measured

RECORDED = Path(__file__).parents[2] / "data" / "recorded"


@pytest.fixture
def measured():
    return read_cyclictest(RECORDED / "kernel-6.12-eevdf/cyc-fifo80-hog3/cyclictest.json")


def result(**latencies):
    return {"tasks": {name: {"latency": LogLinearHistogram.from_values(v).to_dist()} for name, v in latencies.items()}}


def values_of(measured):
    samples = measured.samples()
    return [v + 700 for v, n in zip(samples.lower_ns.tolist(), samples.counts.tolist(), strict=True) for _ in range(n)]


def test_a_prediction_equal_to_the_measurement_has_no_error(measured):
    comparison = validate_measured(
        measured, result(cyclictest=values_of(measured)), tolerances=parse_tolerances("p50=0,p99=0,max=0")
    )
    assert comparison.passed
    assert comparison.ks == 0
    assert comparison.wasserstein_ns == 0
    assert (comparison.table().loc[["p50", "p90", "p99", "p99.9", "p99.99", "max"], "error_us"] == 0).all()


def test_a_prediction_off_by_half_is_beyond_15_percent(measured):
    slower = [round(v * 1.5) for v in values_of(measured)]
    comparison = validate_measured(measured, result(cyclictest=slower), tolerances=parse_tolerances("p50=0.15"))
    assert not comparison.passed
    assert comparison.table().loc["p50", "verdict"] == "beyond"
    assert comparison.table().loc["p50", "measured_us"] == 8


def test_the_task_is_found_or_named(measured):
    one = result(**{"realtime4/cyclictest": [1000], "realtime4/cyclictest/2": [1000], "realtime4/vcpu2": [1000]})
    assert find_task(one) == "realtime4/cyclictest"
    assert find_task(one, "realtime4/cyclictest/2") == "realtime4/cyclictest/2"
    with pytest.raises(InputError, match="expected a task 'nobody', there is realtime4/cyclictest"):
        find_task(one, "nobody")
    with pytest.raises(InputError, match="expected exactly one cyclictest, there is a/cyclictest, b/cyclictest"):
        find_task(result(**{"a/cyclictest": [1], "b/cyclictest": [1]}))
    with pytest.raises(InputError, match="expected exactly one cyclictest, there is probe"):
        find_task(result(probe=[1]))
    with pytest.raises(InputError, match="expected the tasks of a result"):
        find_task({})


def test_a_malformed_result_is_named(measured):
    with pytest.raises(InputError, match=r"tasks\.cyclictest\.latency: expected a distribution"):
        validate_measured(measured, {"tasks": {"cyclictest": {"latency": {"histogram": [[1, 2]]}}}})
