"""Hogs on one CPU share it as real kernels do: run lengths and shares of the recordings in data/recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtsim.scenario import Scenario, simulate

RECORDED = Path("data/recorded")
KERNELS = {"kernel-6.1-cfs": "6.1", "kernel-6.12-eevdf": "6.12"}


def hogs(command: str) -> dict[str, Any]:
    """Return the tasks of a recording's command: ``NAME,pol=other,cpus=3,nice=-10 ...``."""
    tasks = {}
    for word in command.split():
        name, *options = word.split(",")
        given = dict(option.split("=") for option in options)
        tasks[name] = {"cpus": given["cpus"], "priority": int(given.get("nice", 0)), "run": -1}
    return tasks


@pytest.mark.parametrize("case", ["share-2hog", "share-4hog", "share-nice-10+0+10"])
@pytest.mark.parametrize("folder", KERNELS)
def test_hogs_get_the_recorded_run_lengths_and_shares(folder: str, case: str) -> None:
    measured = json.loads((RECORDED / folder / "summary.json").read_text())[case]
    tasks = hogs(measured["cmd"])
    result = simulate(
        Scenario.of(
            {
                # the recorded machine: 2 cores of 2 threads, HZ=250
                "host": {
                    "topology": {"sockets": 1, "cores": 2, "threads": 2},
                    "kernel": {"release": KERNELS[folder]},
                },
                "workload": {"tasks": tasks},
                "duration": "20 s",
            }
        )
    )
    for name in tasks:
        predicted = result.task(name)
        share = predicted.cpu_time_ns / result.duration_ns
        assert share == pytest.approx(measured["tasks"][name]["cpu_share"], abs=0.012)
        run_length_ns = predicted.histograms["run_length"].quantile(0.5)
        assert run_length_ns == pytest.approx(measured["trace"][name]["run_len_us"]["p50"] * 1000, abs=60_000)
