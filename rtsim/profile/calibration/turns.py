"""A period followed along its turns through all arrivals: which lie there, and how late.

The line through the first few turns is fitted over ever more of them, so that none is miscounted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt

__all__ = ["FEWEST_TURNS", "PRESENT", "PRESENT_IN_STRETCH", "Followed", "follow"]

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

FEWEST_TURNS = 8
"""Periods that a stretch must hold to tell a train."""
PRESENT = 0.8
"""Part of a train's turns that must have an arrival: a profile's periodic source has one in each."""
PRESENT_IN_STRETCH = 0.6


@dataclass(frozen=True)
class Followed:
    """A period through all stretches: what lies at its turns, and in how many of them."""

    period: float
    width: float
    """Half of that within which arrivals count as at their turn (ns)."""
    members: tuple[Booleans, ...]
    delays: tuple[Floats, ...]
    """Of the members, in stretches that are long enough to tell (ns)."""
    turns: int
    """In these stretches."""
    phases: float
    """Logarithm of how many lines of this width there are through these stretches."""

    @property
    def hits(self) -> int:
        return sum(map(len, self.delays))

    def lasts(self, observed_ns: int) -> bool:
        """Return whether there are nearly as many arrivals as the time has periods, not only from first to last."""
        members = sum(int(chosen.sum()) for chosen in self.members)
        return members >= PRESENT * (observed_ns / self.period - len(self.members))


def follow(times: Sequence[Floats], free: Sequence[Booleans], period: float, width: float) -> Followed | None:
    """Return what lies along the turns of a period in all stretches, None where one has no line through it."""
    members = [np.zeros(len(each), np.bool_) for each in times]
    delays, lines = [], []
    turns, phases = 0, 0.0
    told = [bool(len(each)) and bool(each[-1] >= FEWEST_TURNS * period) for each in times]
    # those that tell come first: most periods fail there
    for i in sorted(range(len(times)), key=lambda i: not told[i]):
        own = times[i][free[i]]
        if told[i]:
            line = _line(own, period, width)
            if line is None:
                return None
            inside, late = _at_turns(own, *line, width)
            here = round(float(times[i][-1]) / line[0]) + 1
            if inside.sum() < PRESENT_IN_STRETCH * here:
                return None
            lines.append((here, line[0]))
            delays.append(late[inside])
            turns, phases = turns + here, phases + log(here * (line[0] / width) ** 2)
        else:
            inside = _short(own, period, width)
        members[i][np.flatnonzero(free[i])[inside]] = True
    if not lines:
        return None
    weights, found = np.array(lines).T
    return Followed(float(np.average(found, weights=weights)), width, tuple(members), tuple(delays), turns, phases)


def _line(times: Floats, period: float, width: float) -> tuple[float, float] | None:
    """Return period and phase of the turns that most arrivals lie at, fitted over ever more of them."""
    if len(times) < FEWEST_TURNS * PRESENT_IN_STRETCH:
        return None
    reach, start = FEWEST_TURNS * period, float(times[0])
    part = times[: np.searchsorted(times, start + reach)]
    phase = _densest(np.mod(part - start, period), 2 * width, period) + start
    while True:
        part = times[: np.searchsorted(times, start + reach, side="right")]
        for tolerance in (2 * width, width):
            turns = np.rint((part - phase) / period)
            near = np.abs(part - phase - period * turns) <= tolerance
            if near.sum() < max(3.0, PRESENT_IN_STRETCH * (turns[-1] - turns[0] + 1)) or np.ptp(turns[near]) < 2:
                return None
            period, phase = _fitted(turns[near], part[near])
            if period <= 0:
                return None
        if start + reach >= times[-1]:
            break
        reach *= 1.7
    late = times - phase - period * np.rint((times - phase) / period)
    near = np.abs(late) <= 3 * width
    if not near.any():
        return None
    return period, phase + _densest(late[near] + 3 * width, width, np.inf) - 3 * width


def _fitted(turns: Floats, times: Floats) -> tuple[float, float]:
    """Return slope and intercept of the line through times over turns."""
    middle, mean = turns.mean(), times.mean()
    slope = float(((turns - middle) * (times - mean)).sum() / ((turns - middle) ** 2).sum())
    return slope, float(mean - slope * middle)


def _densest(phases: Floats, width: float, period: float) -> float:
    """Return the middle of the interval of twice the width that holds most of some phases, round a period's end."""
    ordered = np.sort(phases)
    if np.isfinite(period):
        ordered = np.concatenate((ordered, ordered + period))
    after = np.searchsorted(ordered, ordered + 2 * width, side="right")
    first = int(np.argmax(after - np.arange(len(ordered))))
    return float((ordered[first] + ordered[after[first] - 1]) / 2)


def _at_turns(times: Floats, period: float, phase: float, width: float) -> tuple[Booleans, Floats]:
    """Return which arrivals are within the width of a turn, the nearest of each turn, and the delays of all."""
    turns = np.rint((times - phase) / period)
    late = times - phase - period * turns
    inside = np.flatnonzero(np.abs(late) <= width)
    chosen = np.zeros(len(times), np.bool_)
    if len(inside):
        first = np.flatnonzero(np.diff(turns[inside], prepend=-np.inf))
        off = np.abs(late[inside])
        least = np.repeat(np.minimum.reduceat(off, first), np.diff(np.append(first, len(inside))))
        nearest = inside[off == least]
        chosen[nearest[np.diff(turns[nearest], prepend=-np.inf) > 0]] = True
    return chosen, late


def _short(times: Floats, period: float, width: float) -> Booleans:
    """Return which arrivals of a stretch of few turns are a train's whose period is known: most that have one phase."""
    if len(times) < 2:
        return np.zeros(len(times), np.bool_)
    phase = _densest(np.mod(times, period), width, period)
    inside, _ = _at_turns(times, period, phase, width)
    return inside if inside.sum() > 1 else np.zeros(len(times), np.bool_)
