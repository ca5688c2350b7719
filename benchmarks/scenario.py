"""The benchmarks' scenario (``rt2.yaml``): advancing it, and how fast that was. As a program: its peak memory."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtsim.engine.clock import run_until
from rtsim.engine.constants import H_LATENCY
from rtsim.scenario import Scenario
from rtsim.scenario.assemble import Assembly, assemble

SECOND = 1_000_000_000

SCENARIO = Path(__file__).with_name("rt2.yaml")


def assembled() -> Assembly:
    """Return the scenario's state, with the engine compiled."""
    assembly = assemble(Scenario.load(SCENARIO))
    run_until(assembly.state, 0)
    return assembly


@dataclass
class Speed:
    """What a stretch of simulation did, and the CPU time it took."""

    wakeups: int
    events: int
    cpu_s: float

    @property
    def wakeups_per_s(self) -> float:
        """Wake-ups of the guest's cyclictests, a second of one core."""
        return self.wakeups / self.cpu_s

    @property
    def events_per_s(self) -> float:
        """Calendar events, a second of one core."""
        return self.events / self.cpu_s


class Compiled:
    """The scenario on the compiled clock, advanced piece by piece."""

    def __init__(self) -> None:
        self.assembly = assembled()
        self.now_ns = 0
        threads = {thread for names in self.assembly.together.values() for thread in names}
        self.rows = [row for row, name in enumerate(self.assembly.names.tasks) if name in threads]

    def advance(self, seconds: int) -> Speed:
        """Simulate `seconds` more."""
        state = self.assembly.state
        self.now_ns += seconds * SECOND
        wakeups, events = self._wakeups(), int(state.m[0]["events"])
        begin = time.process_time()
        run_until(state, self.now_ns)
        cpu_s = time.process_time() - begin
        return Speed(self._wakeups() - wakeups, int(state.m[0]["events"]) - events, cpu_s)

    def latency_counts(self) -> np.ndarray:
        """Return the histogram of all cyclictests' latencies: counts, shape (buckets,)."""
        state = self.assembly.state
        watches = state.tasks["watch"][self.rows]
        return np.asarray(state.histograms[watches, H_LATENCY].sum(axis=0))

    def _wakeups(self) -> int:
        return int(self.assembly.state.tasks["wakeups"][self.rows].sum())


def peak_mib() -> float:
    """Return the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    run = Compiled()
    for seconds in map(int, sys.argv[1:]):
        run.advance(seconds)
        print(f"{peak_mib():.1f}")
