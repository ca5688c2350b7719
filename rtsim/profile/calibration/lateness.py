"""How late timers are served: the entry of their interrupt, and before it what leaving an idle state takes.

The lateness of a timer is the clock reading of its interrupt (``now=`` of hrtimer_expire_entry) less its expiry. While
something ran it is the entry alone; on an idle CPU the exit of the idle state comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from rtsim.profile.calibration.durations import Fit, fit_durations
from rtsim.profile.calibration.text import exact
from rtsim.profile.entries import IdleEntry

__all__ = ["FEWEST", "Late", "Lateness", "idle_exit"]

FEWEST = 10
"""A step met less often is left to the base."""
LONGEST_EXIT_NS = 1_000_000
"""No idle state takes longer to leave."""
LONGEST_ENTRY_NS = 100_000
BUSY = "busy"
CLOCK_NS = 1
"""Resolution of expiries and of ``now=``, whatever that of the trace's own stamps."""


def idle_exit(state: str) -> str:
    """Return the name of a state's cost."""
    return f"idle_exit.{state}"


class Late(NamedTuple):
    """A timer that nothing else kept waiting."""

    late: int
    """From its expiry to the clock reading (ns)."""
    realtime: bool
    """A realtime thread was woken for it."""
    idled: int | None = None
    """How long its CPU had idled (ns), None if a thread ran."""
    state: str | None = None
    """In which idle state, None where no event tells."""


@dataclass
class Lateness:
    """Of timers on CPUs on which nothing else came between expiry and interrupt."""

    seen: list[Late] = field(default_factory=list)

    def add(self, found: Late) -> None:
        """Take one, unless it was so late that something was in its way that no event tells of."""
        if 0 <= found.late <= (LONGEST_ENTRY_NS if found.idled is None else LONGEST_EXIT_NS):
            self.seen.append(found)

    def fits(self, base: Mapping[str, IdleEntry], entry_ns: float, residencies_ns: Mapping[str, int]) -> dict[str, Fit]:
        """Return `irq_entry` and `idle_exit` of each state that was met often enough.

        Timers of realtime threads go before others: ticks, for one, expire on all CPUs at once and may disturb each
        other.

        Parameters
        ----------
        base
            Idle states of the base, shallow to deep. A state that no event tells is taken for the one that these let
            the CPU be in by then.
        entry_ns
            The base's `irq_entry`. Without a timer on a busy CPU, lateness in the shallowest state met is parted as
            entry and exit are in the base.
        residencies_ns
            Of states where the recording tells; a state that neither this nor the base has is left out.
        """
        residencies = {name: entry.residency for name, entry in base.items()} | dict(residencies_ns)
        states = self._by_state(base)
        entry = states.pop(BUSY, [])
        costs: dict[str, Fit] = {}
        if not entry:
            name = next((name for name in base if name in states), None)
            if name is None:
                return costs
            whole = entry_ns + base[name].distribution().mean_ns
            entry = [round(late * entry_ns / whole) if whole else late for late in states[name]]
        costs["irq_entry"] = _fit(entry, 0.0)
        entry_ns = costs["irq_entry"].mean_ns
        exits = {name: _fit(lates, entry_ns) for name, lates in states.items() if name in residencies}
        return costs | {
            idle_exit(name): replace(fit, entry={**fit.entry, "residency": exact(residencies[name])})
            for name, fit in exits.items()
        }

    def _by_state(self, base: Mapping[str, IdleEntry]) -> dict[str, list[int]]:
        """Return the lateness by idle state, and `BUSY`; those met often enough."""
        found: dict[str, list[Late]] = {}
        for each in self.seen:
            found.setdefault(_state(each, base), []).append(each)
        chosen = {}
        for name, lates in found.items():
            realtime = [each.late for each in lates if each.realtime]
            chosen[name] = realtime if len(realtime) >= FEWEST else [each.late for each in lates]
        return {name: lates for name, lates in chosen.items() if len(lates) >= FEWEST}


def _state(found: Late, base: Mapping[str, IdleEntry]) -> str:
    if found.idled is None:
        return BUSY
    if found.state is not None:
        return found.state
    fitting = [name for name, entry in base.items() if entry.residency <= found.idled]
    return fitting[-1] if fitting else next(iter(base))


def _fit(lates: list[int], less_ns: float) -> Fit:
    return fit_durations(np.array(lates, np.int64) - round(less_ns), CLOCK_NS, as_measured=False)
