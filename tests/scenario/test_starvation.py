"""An OTHER sleeper behind a FIFO hog waits as long, and as often, as in the recordings of data/recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtsim.scenario import Result, Scenario, simulate

RECORDED = Path("data/recorded")
CASE = "starve-fifo1hog-other10ms"
MS = 1_000_000


def starved(kernel: dict[str, Any], *, delay_us: int, duration: str = "4 s", cpus: int = 4) -> Result:
    """Run a FIFO hog of priority 1 and a sleeper (50 us of work each 10 ms) on the last CPU."""
    sleeper = {
        "run": 50,
        "timer": {"period": 10_000, "mode": "absolute"},
        "delay": delay_us,
        "overrun": "skip",
        "cpus": [cpus - 1],
    }
    return simulate(
        Scenario.of(
            {
                "host": {
                    "topology": {"sockets": 1, "cores": cpus, "threads": 1},
                    "kernel": kernel,
                    "profile": "tuned",
                },
                "workload": {
                    "tasks": {
                        "vcpu": {"policy": "SCHED_FIFO", "priority": 1, "run": -1, "cpus": [cpus - 1]},
                        "emu": sleeper,
                    }
                },
                "duration": duration,
                "warmup": "0 s",
            }
        )
    )


def recorded(folder: str) -> dict[str, Any]:
    measured: dict[str, Any] = json.loads((RECORDED / folder / "summary.json").read_text())[CASE]["tasks"]["emu"]
    return measured


def test_the_fair_server_serves_for_a_second_after_each_starvation() -> None:
    measured = recorded("kernel-6.12-eevdf")
    latency = starved({"release": "6.12.117"}, delay_us=measured["phase_ns"] // 1000).task("emu").latency
    # the second time the sleeper wakes just before the server's deadline and keeps it for another second, as recorded
    assert latency.count == pytest.approx(measured["loops"], abs=3)
    assert latency.max_ns == pytest.approx(measured["wake_latency_ns"]["max"], abs=4 * MS)
    p90_ns = latency.quantile(0.9)
    assert p90_ns is not None
    assert p90_ns <= 80_000


def test_throttling_serves_fair_tasks_in_what_it_leaves_of_each_second() -> None:
    measured = recorded("kernel-6.1-cfs")
    latency = starved({"release": "6.1.192"}, delay_us=measured["phase_ns"] // 1000).task("emu").latency
    assert latency.count == pytest.approx(measured["loops"], abs=3)
    assert latency.max_ns == pytest.approx(measured["wake_latency_ns"]["max"], abs=8 * MS)


def test_with_group_scheduling_throttling_stays_beside_the_server() -> None:
    kernel = {"release": "6.18", "preempt": "none", "config": {"rt_group_sched": True}}
    latency = starved(kernel, delay_us=1_500, duration="10 s", cpus=2).task("emu").latency
    assert latency.max_ns == pytest.approx(947.5 * MS, abs=6.5 * MS)
