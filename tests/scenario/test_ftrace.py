"""A simulation's trace as text: the reader takes every line, times ascend, and what begins ends."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest

from rtsim.scenario import Scenario, simulate
from rtsim.scenario.ftrace import simulated_ftrace
from rtsim.traces.events import EventChunk
from rtsim.traces.text import TextTrace
from tests.profile.noisy import noisy_profile, scenario_of


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    folder: Path = tmp_path_factory.mktemp("ftrace")
    data = scenario_of(noisy_profile(3), folder, 3, "300 ms")
    data["workload"] = {"cyclictest": {"interval": "1 ms", "policy": "fifo", "priority": 80, "cpus": "1"}}
    return Scenario.of(data, source="ftrace")


@pytest.fixture(scope="module")
def events(scenario: Scenario) -> pd.DataFrame:
    reader = TextTrace(BytesIO("".join(simulated_ftrace(scenario)).encode()), "simulated")
    chunks = [(chunk.values, chunk.names) for chunk in reader]
    assert reader.notes.warnings() == []
    return pd.concat([EventChunk(values, chunks[-1][1]).frame() for values, _ in chunks], ignore_index=True)


@pytest.mark.parametrize("event", ["irq_handler", "softirq", "local_timer"])
def test_interrupts_begin_and_end_in_turn_on_each_cpu(events: pd.DataFrame, event: str) -> None:
    names = {f"{event}_entry": 1, f"{event}_exit": -1}
    found = events[events["event"].isin(names)]
    assert len(found) > 20
    for _, of_cpu in found.groupby("cpu"):
        depth = of_cpu["event"].map(names).astype(int).cumsum()
        assert set(depth) == {0, 1}


def test_the_task_of_each_line_is_the_one_that_was_switched_to(events: pd.DataFrame) -> None:
    for _, of_cpu in events.groupby("cpu"):
        running = of_cpu["other_pid"].where(of_cpu["event"] == "sched_switch").ffill().shift().fillna(0)
        assert (of_cpu["pid"] == running).all()


def test_wake_ups_are_those_that_the_result_counts(events: pd.DataFrame, scenario: Scenario) -> None:
    woken = events[(events["event"] == "sched_waking") & (events["other_comm"] == "cyclictest")]
    assert len(woken) == simulate(scenario).task("cyclictest").wakeups > 250
    assert set(woken["other_prio"]) == {19}
