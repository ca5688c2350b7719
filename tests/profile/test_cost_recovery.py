"""Known costs among known noise: simulated, exported as a recording and calibrated back on another base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtsim.profile import Profile, load_profile
from rtsim.profile.calibration import calibrate
from rtsim.profile.calibration.anchor import REST
from rtsim.profile.load import profile_data
from rtsim.scenario import Result, Scenario, simulate
from rtsim.scenario.ftrace import simulated_ftrace
from tests.profile.noisy import noisy_profile, scenario_of

TOLD = (("irq_entry",), ("timer_irq",), ("wake",), ("schedule",), ("wake", "schedule", "put_fair"), REST)
"""Costs, or sums of them, that the recording of a CPU that idles and one that computes tells."""


def scenario(profile: dict[str, Any], folder: Path, seed: int) -> dict[str, Any]:
    """Return cyclictest on both CPUs, on the second of them over a fair task that computes; out of step with ticks."""
    data = scenario_of(profile, folder, seed, "5 s")
    data["workload"] = {
        "cyclictest": {"interval": "997 us", "policy": "fifo", "priority": 95, "cpus": "0-1"},
        "tasks": {"hog": {"policy": "SCHED_OTHER", "priority": 0, "cpus": [1], "run": -1}},
    }
    return data


def recorded(known: Scenario, folder: Path) -> Result:
    """Write what a run of it looks like to ``rtsim record`` (whose tracer takes time itself, this one none)."""
    folder.mkdir()
    with open(folder / "trace.txt", "w", encoding="utf-8") as stream:
        stream.writelines(simulated_ftrace(known))
    result = simulate(known)
    dist = result.to_json()["tasks"]["cyclictest"]["latency"]
    counts = {str(low): count for low, _, count in dist["histogram"]}
    thread = {
        "histogram": counts,
        "cycles": dist["count"],
        "min": dist["min_ns"],
        "max": dist["max_ns"],
        "avg": 0,
        "cpu": 0,
    }
    written = {"num_threads": 1, "resolution_in_ns": 1, "cmdline:": "cyclictest --nsecs", "thread": {"0": thread}}
    (folder / "cyclictest-traced.json").write_text(json.dumps(written))
    return result


def mean_ns(profile: Profile, *costs: str) -> float:
    charging = {"put_fair": profile.costs.put_fair or profile.costs.preempt_fair}
    return sum((charging.get(cost) or getattr(profile.costs, cost)).distribution().mean_ns for cost in costs)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_known_costs_and_latencies_are_found_again(seed: int, tmp_path: Path) -> None:
    profile = noisy_profile(seed) | {"costs": server_costs()}
    data = scenario(profile, tmp_path, seed)
    result = recorded(Scenario.of(data, source="known"), tmp_path / "recording")
    calibrate(tmp_path / "recording", base="kernel-lab", workload=["hog"]).write(tmp_path / "found.yaml")
    known, found = load_profile(data["host"]["profile"]), load_profile(tmp_path / "found.yaml")
    for costs in TOLD:
        assert mean_ns(found, *costs) == pytest.approx(mean_ns(known, *costs), rel=0.05), costs
    polling = known.costs.idle_exit["poll"].distribution().mean_ns  # by the base's residencies it passes for C1
    assert found.costs.idle_exit["C1"].distribution().mean_ns == pytest.approx(polling, abs=30)
    data["host"]["profile"] = str(tmp_path / "found.yaml")
    again = simulate(Scenario.of(data, source="found"))
    for task in ("cyclictest/0", "cyclictest/1"):
        medians = [run.to_json()["tasks"][task]["latency"]["quantiles_ns"]["0.5"] for run in (result, again)]
        assert medians[1] == pytest.approx(medians[0], rel=0.05), task


def server_costs() -> dict[str, Any]:
    """Return a server's costs, charging apart, and without the long idle exit that cyclictest keeps it out of."""
    known = profile_data("tuned")["costs"]
    apart = {
        "preempt_fair": {"constant": "700 ns", "source": "drawn"},
        "schedule": {"constant": "900 ns", "source": "drawn"},
    }
    return known | apart
