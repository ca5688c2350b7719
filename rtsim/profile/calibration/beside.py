"""Latencies that a recording's folder holds beside its trace: a tool's histograms, and what rtwl's tasks wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rtsim.traces.measured import Measured, Unit
from rtsim.traces.reader import read_measured
from rtsim.traces.recording import Repetition
from rtsim.traces.rtwl import RtwlTask
from rtsim.traces.validation import LATENCY_FILES

__all__ = ["Releases", "first_measured", "releases", "traced_latencies"]

TRACED_FILES = ("cyclictest-traced.json", "cyclictest-traced.txt")


@dataclass(frozen=True)
class Releases:
    """Of one task, in ascending order (ns): expiries of its timers, and how long after each its code read the clock."""

    expiries: npt.NDArray[np.int64]
    latencies: npt.NDArray[np.int64]

    def last(self, time: int) -> tuple[int, int] | None:
        """Return expiry and latency of the last release up to a time, None before the first."""
        place = int(np.searchsorted(self.expiries, time, side="right")) - 1
        return None if place < 0 else (int(self.expiries[place]), int(self.latencies[place]))


def releases(folder: Path, tasks: Iterable[RtwlTask]) -> Mapping[str, Releases]:
    """Return the releases of a recorded case's realtime tasks, by name: their timers have no slack.

    Raises
    ------
    InputError
        A file of latencies cannot be read.
    """
    case = Repetition(folder, {}, {}, None)
    found = {}
    for task in tasks:
        if task.policy in ("fifo", "rr") and not task.slack_ns and (folder / f"{task.name}.lat.zst").is_file():
            rows = np.array(sorted(case.rows(f"{task.name}.lat")), np.int64).reshape(-1, 3)
            found[task.name] = Releases(rows[:, 0], rows[:, 1])
    return found


def first_measured(folder: Path, unit: Unit | None = None) -> Measured | None:
    """Return the first latencies of a recording that a tool measured without tracing, None if there are none.

    Parameters
    ----------
    unit
        Of a text that does not tell.

    Raises
    ------
    InputError
        They cannot be read.
    """
    return _first(folder, LATENCY_FILES, unit)


def traced_latencies(folder: Path) -> Measured | None:
    """Return what cyclictest measured while a recording's trace was taken; else as `first_measured`."""
    return _first(folder, TRACED_FILES)


def _first(folder: Path, names: Iterable[str], unit: Unit | None = None) -> Measured | None:
    return next((read_measured(folder / name, unit=unit) for name in names if (folder / name).is_file()), None)
