"""assert_predicts, as somebody's own test suite calls it."""

from pathlib import Path

import pytest

from rtsim.inputs.errors import InputError
from rtsim.scenario import Scenario
from rtsim.validation import assert_predicts

RECORDING = Path(__file__).parents[2] / "data/recorded/kernel-6.1-cfs/cyc-fifo80-hog3"
SCENARIO = {
    "host": {
        "topology": {"sockets": 1, "cores": 2, "threads": 2, "numbering": "adjacent"},
        "kernel": {"release": "6.1", "preempt": "voluntary", "hz": 250}, "profile": "tuned",
    },
    "workload": {
        "tasks": {f"hog{n}": {"policy": "SCHED_OTHER", "cpus": "3", "run": -1} for n in range(3)},
        "cyclictest": {"interval": "1 ms", "policy": "fifo", "priority": 80, "cpus": "3"},
    },
    "duration": "1 s",
}  # fmt: skip


def scenario() -> Scenario:
    return Scenario.of(SCENARIO, source="lab")


def test_it_passes_within_and_fails_beyond_the_tolerance():
    assert assert_predicts(RECORDING, scenario(), p99="0.15/10us").measured_count == 4000
    with pytest.raises(AssertionError, match=r"(?s)lab does not predict .*p50 .* beyond"):
        assert_predicts(RECORDING, scenario(), p50=0.01, p99="0.15/10us")


def test_a_text_in_nanoseconds_is_compared_as_such_if_that_is_said():
    plain = Path(__file__).parents[1] / "traces/fixtures/cyclictest-plain-ns.txt"
    assert assert_predicts(plain, scenario(), unit="ns", mean="0/100us").measured.max_ns == 3_667_419
    with pytest.raises(AssertionError, match=r"(?s) beyond.*say unit='ns'"):
        assert_predicts(plain, scenario(), mean="0/100us")


def test_tolerances_are_named_as_quantiles():
    with pytest.raises(InputError, match=r"expected a tolerance such as p99=0\.15"):
        assert_predicts(RECORDING, scenario())
    with pytest.raises(InputError, match=r"assert_predicts: 'p999=0\.1'"):
        assert_predicts(RECORDING, scenario(), p999=0.1)


def test_what_is_no_latency_is_refused():
    noise = Path(__file__).parents[2] / "data/measured/rtla/osnoise-hist-6.12.txt"
    with pytest.raises(InputError, match=r"expected latencies .*, found osnoise's noise"):
        assert_predicts(noise, scenario(), p99_9=0.15)
