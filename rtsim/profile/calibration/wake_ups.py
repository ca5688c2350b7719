"""Wake-ups of realtime threads by their timers, from the timer's expiry to the switch to the thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rtsim.profile.calibration.beside import Releases

__all__ = ["WakeUp", "WakeUps"]

TOOL = "cyclictest"


@dataclass
class WakeUp:
    """One of them, in ns from the timer's expiry."""

    expiry: int
    """In the trace's clock."""
    late: int
    """Up to the interrupt's reading of the clock."""
    latency: int | None
    """Up to the thread's own reading of the clock, where it wrote that down."""
    left: int | None = None
    """Up to the end of the interrupt."""
    switched: int | None = None
    """Up to the switch to the thread; some kernels do not trace the one from idle."""

    @property
    def to_user(self) -> int | None:
        """From the switch to the thread's own reading of the clock."""
        return None if self.latency is None or self.switched is None else self.latency - self.switched


@dataclass
class WakeUps:
    """Those of one trace, by the thread's name.

    Parameters
    ----------
    releases
        Of threads that wrote them down, by name.
    """

    releases: Mapping[str, Releases] = field(default_factory=dict)
    expiries_traced: bool = False
    """The trace tells when timers expire."""
    by_name: dict[str, list[WakeUp]] = field(default_factory=dict)
    _awaited: dict[int, WakeUp] = field(default_factory=dict)
    """By pid: who has been woken and not been switched to."""

    def of_tool(self) -> list[WakeUp]:
        """Return those of cyclictest's threads."""
        return self.by_name.get(TOOL, [])

    def all(self) -> list[WakeUp]:
        """Return those of all threads."""
        return [each for found in self.by_name.values() for each in found]

    def woken(self, name: str, pid: int, read: int, stamp: int, expiry: int | None) -> WakeUp | None:
        """Note that a thread was woken for its timer; None if it is not known when that expired.

        Parameters
        ----------
        read, stamp
            When the interrupt read the clock, in the timers' clock and in the trace's.
        expiry
            Of the timer, in the former, where the trace tells.
        """
        release = self.releases[name].last(read) if name in self.releases else None
        expiry, latency = (expiry, None) if release is None else release
        if expiry is None:
            return None
        late = read - expiry
        found = self._awaited[pid] = WakeUp(stamp - late, late, latency)
        self.by_name.setdefault(name, []).append(found)
        return found

    def switch(self, time: int, leaving: int, coming: int) -> WakeUp | None:
        """End the wait of a thread that is switched to, or that ran without a switch that was traced."""
        self._awaited.pop(leaving, None)
        found = self._awaited.pop(coming, None)
        if found is not None:
            found.switched = time - found.expiry
        return found
