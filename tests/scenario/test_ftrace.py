"""A simulation's trace as text: the reader takes every line, times ascend, and what begins ends."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rtsim.profile import load_profile
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


def test_interrupts_read_the_clock_between_their_entry_and_the_wake_up(
    events: pd.DataFrame, scenario: Scenario
) -> None:
    costs = load_profile(scenario.model.host.profile, folder=scenario.folder).costs
    entry_ns, timer_ns = (cost.distribution().mean_ns for cost in (costs.irq_entry, costs.timer_irq))
    assert entry_ns > 0
    assert timer_ns > 0
    woken = events[(events["event"] == "sched_waking") & (events["other_comm"] == "cyclictest")]
    timer = events["number"] == 2 + woken["other_pid"].iloc[0]
    starts = events[timer & (events["event"] == "hrtimer_start")]["value_ns"].to_numpy("int64")
    reads = events[timer & (events["event"] == "hrtimer_expire_entry")]["value_ns"].to_numpy("int64")
    expiries = starts[np.searchsorted(starts, reads[1:], side="right") - 1]  # the first is armed before it sleeps
    exit_ns = costs.idle_exit["C1"].distribution().mean_ns
    assert np.median(reads[1:] - expiries) == pytest.approx(entry_ns + exit_ns, abs=2)
    assert np.median(woken["time_ns"].to_numpy() - reads) == pytest.approx(timer_ns, abs=2)
