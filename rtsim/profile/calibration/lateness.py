"""How late timers are served: the entry of their interrupt, and before it what leaving an idle state takes.

The lateness of a timer is the clock reading of its interrupt (``now=`` of hrtimer_expire_entry) less its expiry. While
something ran it is the entry alone; on an idle CPU the exit of the idle state comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from rtsim.profile.calibration.durations import Fit, fit_durations
from rtsim.profile.calibration.text import exact
from rtsim.profile.entries import IdleEntry

__all__ = ["FEWEST", "LONGEST_EXIT_NS", "Lateness", "idle_exit"]

FEWEST = 10
"""A step met less often is left to the base."""
LONGEST_EXIT_NS = 1_000_000
"""No idle state takes longer to leave."""
LONGEST_ENTRY_NS = 100_000
CLOCK_NS = 1
"""Resolution of expiries and of ``now=``, whatever that of the trace's own stamps."""


def idle_exit(state: str) -> str:
    """Return the name of a state's cost."""
    return f"idle_exit.{state}"


@dataclass
class Lateness:
    """Of timers on CPUs on which nothing else came between expiry and interrupt (ns)."""

    busy: list[int] = field(default_factory=list)
    idle: dict[str, list[int]] = field(default_factory=dict)
    """By idle state."""
    untold: list[tuple[int, int]] = field(default_factory=list)
    """Where no event tells the state: how long the CPU had idled, and the lateness."""

    def add_busy(self, late: int) -> None:
        """Take a timer that expired while a thread ran."""
        if 0 <= late <= LONGEST_ENTRY_NS:
            self.busy.append(late)

    def add_idle(self, late: int, idled: int, state: str | None) -> None:
        """Take a timer that expired on a CPU that had idled for a time, in a state if that is known."""
        if not 0 <= late <= LONGEST_EXIT_NS:
            return
        if state is None:
            self.untold.append((idled, late))
        else:
            self.idle.setdefault(state, []).append(late)

    def fits(self, base: Mapping[str, IdleEntry], residencies_ns: Mapping[str, int]) -> dict[str, Fit]:
        """Return `irq_entry` and `idle_exit` of each state that was met often enough.

        Parameters
        ----------
        base
            Idle states of the base, shallow to deep. A state that no event tells is taken for the one that these let
            the CPU be in by then. Without a timer on a busy CPU, the entry is what the base leaves of the shallowest.
        residencies_ns
            Of states where the recording tells; a state that neither this nor the base has is left out.
        """
        residencies = {name: entry.residency for name, entry in base.items()} | dict(residencies_ns)
        states = self._by_state(base)
        costs: dict[str, Fit] = {}
        entry = self.busy
        if len(entry) < FEWEST:
            name = next((name for name in base if name in states), None)
            if name is None:
                return costs
            exit_ns = base[name].distribution().mean_ns
            entry = [max(late - round(exit_ns), 0) for late in states.pop(name)]
        costs["irq_entry"] = _fit(entry, 0.0)
        entry_ns = costs["irq_entry"].mean_ns
        exits = {name: _fit(lates, entry_ns) for name, lates in states.items() if name in residencies}
        return costs | {
            idle_exit(name): replace(fit, entry={**fit.entry, "residency": exact(residencies[name])})
            for name, fit in exits.items()
        }

    def _by_state(self, base: Mapping[str, IdleEntry]) -> dict[str, list[int]]:
        found = {name: list(lates) for name, lates in self.idle.items()}
        for idled, late in self.untold:
            fitting = [name for name, entry in base.items() if entry.residency <= idled]
            found.setdefault(fitting[-1] if fitting else next(iter(base)), []).append(late)
        return {name: lates for name, lates in found.items() if len(lates) >= FEWEST}


def _fit(lates: list[int], less_ns: float) -> Fit:
    return fit_durations(np.array(lates, np.int64) - round(less_ns), CLOCK_NS, as_measured=False)
