"""The real rt-app, where it is installed, and the model do the same things equally often, and with the same periods."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rtsim.engine.constants import OP_EXIT
from rtsim.scenario import Scenario
from rtsim.scenario.assemble import assemble
from tests.engine.small import MS, Run, run_state

pytestmark = pytest.mark.skipif(shutil.which("rt-app") is None, reason="rt-app is not installed")

ROUNDS = 20  # of the ticker and its follower
PERIOD = 50_000  # us
TIMER = {"ref": "unique", "period": PERIOD, "mode": "absolute"}
#: A signal to who does not wait is lost: the ticker waits first, so that the follower has started.
TICKER = {"loop": ROUNDS, "timer": TIMER, "run": 1000, "resume": "follower"}
WORKLOAD: dict[str, Any] = {  # all in phases: rt-app 1.0 takes the loop of a task without them for one without end
    "tasks": {
        "ticker": {"loop": 1, "phases": {"p": TICKER}},
        "follower": {"loop": 1, "phases": {"p": {"loop": ROUNDS, "suspend": "follower", "run": 500}}},
        "pair": {"instance": 2, "loop": 3, "phases": {"p": {"run": 200, "barrier": "meet", "sleep": 60_000}}},
        "loops": {"loop": 2, "phases": {"a": {"loop": 3, "run0": 100, "sleep0": 2000}, "b": {"runtime": 300}}},
    },
    "global": {"duration": 2, "calibration": 20, "ftrace": False, "lock_pages": False, "logdir": "."},
}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[int]]]:
    """Run rt-app; return the lines of each thread's log: idx, perf, run, period, start, end, ... in us.

    Where a busy host keeps the follower from its CPU for a whole period, a signal is lost: such a run is repeated.
    """
    for _ in range(10):
        found = run_rtapp(tmp_path_factory.mktemp("rt-app"))
        if len(found["follower-1"]) == ROUNDS:
            return found
    pytest.skip("this host is too busy: ten times a signal was lost")


def run_rtapp(folder: Path) -> dict[str, list[list[int]]]:
    (folder / "w.json").write_text(json.dumps(WORKLOAD))
    subprocess.run(["rt-app", "w.json"], cwd=folder, check=True, capture_output=True, timeout=60)
    found = {}
    for file in folder.glob("rt-app-*.log"):
        lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
        found[file.stem.removeprefix("rt-app-")] = [[int(word) for word in line.split()] for line in lines]
    return found


@pytest.fixture(scope="module")
def simulated() -> Run:
    host = {"topology": {"sockets": 1, "cores": 4}}
    keys = {"host": host, "duration": "1900 ms", "warmup": "0 s", "workload": WORKLOAD}
    built = assemble(Scenario.of(keys))
    return run_state(built.state, built.names, 1900 * MS)


def test_both_wake_as_often(logs: dict[str, list[list[int]]], simulated: Run) -> None:
    assert len(logs["ticker-0"]) == int(simulated.task("ticker")["wakeups"]) == ROUNDS
    assert len(logs["follower-1"]) == int(simulated.task("follower")["wakeups"]) == ROUNDS
    assert len(logs["loops-4"]) == int(simulated.task("loops")["wakeups"]) + 2 == 8  # a turn of b does not sleep


def test_both_keep_the_period(logs: dict[str, list[list[int]]], simulated: Run) -> None:
    starts = [line[4] for line in logs["ticker-0"]]
    assert (starts[-1] - starts[0]) / (ROUNDS - 1) == pytest.approx(PERIOD, rel=0.05)
    assert int(simulated.task("ticker")["release"]) == ROUNDS * PERIOD * 1000


def test_both_end(logs: dict[str, list[list[int]]], simulated: Run) -> None:
    assert len(logs["pair-2"]) == len(logs["pair-3"]) == 3
    for name in ("ticker", "follower", "pair-0", "pair-1", "loops"):
        task = simulated.task(name)
        assert simulated.state.ops[int(task["pc"])]["code"] == OP_EXIT
