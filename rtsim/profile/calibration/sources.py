"""From what struck single CPUs to the noise sources of a profile: alike CPUs become one ``per-cpu`` source.

A name that stands for several activities is parted into its periodic trains and the rest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from rtsim.inputs.cpulist import format_cpulist
from rtsim.profile.calibration.arrivals import Process, fit_arrivals
from rtsim.profile.calibration.durations import Fit, fit_durations
from rtsim.profile.calibration.timeline import Occurrences, Source, Timeline
from rtsim.profile.calibration.trains import find_trains
from rtsim.profile.model import CLASSES, Vector

__all__ = ["FoundSource", "find_sources", "without_switches"]

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

ALIKE = 0.1
"""CPUs whose rates or mean durations differ by less share one source, also where a trace is long enough to tell."""
CERTAIN = 0.999
AT_ONCE_NS = 10_000
"""Stalls of several CPUs that begin within this time are one of the whole machine."""
ONE_MACHINE = 0.9
SAME_PERIOD = 1e-3
"""Trains of several CPUs whose periods differ by less may be one source."""
TOO_CLOSE = 0.25
"""Of a period: a jitter that leaves arrivals periodic brings two of them no closer."""
FEWEST_BESIDE = 5
"""Arrivals too many for their periods that let trains be looked for among periodic ones."""
SECOND_NS = 1_000_000_000
LOCKED = 0.01
"""A first arrival within this part of its period is phase-locked."""


@dataclass(frozen=True)
class FoundSource:
    """One noise source, as the profile says it and as it was found."""

    name: str
    kind: str
    cpus: str
    """As in a profile: ``per-cpu``, ``all`` or a list."""
    process: Process
    duration: Fit
    policy: str | None = None
    priority: int | None = None
    scope: str = "cpu"

    def entry(self, recording: str) -> dict[str, Any]:
        """Return the source as a profile's ``noise`` has it; `recording` is where it was seen."""
        entry: dict[str, Any] = {"name": self.name, "class": self.kind}
        if self.policy is not None:
            entry |= {"policy": self.policy}
            entry |= {"priority": self.priority} if self.policy != "stop" else {}
        if self.kind == "softirq":
            entry["vector"] = self.name.partition("-")[0]
        if self.scope != "cpu":
            entry["scope"] = self.scope
        told = f"{recording}: {self.process}; {self.duration}"
        return {
            **entry, "cpus": self.cpus, "arrival": self.process.entry, "duration": self.duration.entry, "source": told
        }  # fmt: skip


@dataclass(frozen=True)
class _Instance:
    """What one source did on one CPU, or one thread wherever it ran."""

    source: Source
    cpus: tuple[int, ...]
    stretches: tuple[Integers, ...]
    spent: tuple[Integers, ...]
    """Durations (ns) of the arrivals, stretch by stretch."""
    observed_ns: int
    origin_ns: int
    """Since when a phase counts: not since boot, as after many periods their error leaves nothing of it. A whole second
    keeps what is locked to a tick."""

    @property
    def durations(self) -> Integers:
        return np.concatenate(self.spent)

    @property
    def count(self) -> int:
        return sum(map(len, self.stretches))

    def process(self, resolution: int) -> Process:
        return fit_arrivals(self.stretches, self.observed_ns, resolution)

    def part(self, members: Sequence[Booleans]) -> _Instance:
        """Return some of the arrivals, and the durations that belong to them."""
        stretches = tuple(times[chosen] for times, chosen in zip(self.stretches, members, strict=True))
        spent = tuple(own[chosen] for own, chosen in zip(self.spent, members, strict=True))
        return replace(self, stretches=stretches, spent=spent)

    def named(self, name: str) -> _Instance:
        return replace(self, source=self.source._replace(name=name))


def find_sources(timelines: Sequence[Timeline], piece_ns: float = 0.0) -> list[FoundSource]:
    """Return the noise sources that one or several traces of a machine show, classes in the order of `CLASSES`.

    Parameters
    ----------
    piece_ns
        What each stay of a thread on a CPU costs beside its work: the switch to it and the way to the next.
    """
    resolution = max(timeline.resolution_ns for timeline in timelines)
    cpus = tuple(sorted({cpu for timeline in timelines for cpu in timeline.cpus}))
    by_name: dict[tuple[Any, ...], list[_Instance]] = {}
    for instance in _instances(timelines, piece_ns):
        source = instance.source
        by_name.setdefault((source.kind, source.name, source.policy, source.priority), []).append(instance)
    found: list[FoundSource] = []
    for instances in by_name.values():
        found += _of_one_name(instances, cpus, resolution)
    ordered = sorted(found, key=lambda each: (CLASSES.index(each.kind), each.name, each.cpus))
    return list(_named_once(ordered))


def _instances(timelines: Sequence[Timeline], piece_ns: float) -> Iterable[_Instance]:
    begin = min((first for timeline in timelines for first in timeline.first_ns.values()), default=0)
    origin = begin // SECOND_NS * SECOND_NS
    for source in dict.fromkeys(source for timeline in timelines for source in timeline.sources):
        if source.kind == "softirq" and source.name not in get_args(Vector):
            continue
        stretches: list[Integers] = []
        spent: list[Integers] = []
        observed, cpus = 0, set[int]()
        for timeline in timelines:
            seen = timeline.sources.get(source, Occurrences())
            cpus.update(seen.cpus)
            observed += max(_observed_ns(timeline, source), len(seen.begin_ns) * timeline.resolution_ns)
            for times, durations in _stretches(seen, timeline.gaps_ns, piece_ns):
                stretches.append(times)
                spent.append(durations)
        yield _Instance(source, tuple(sorted(cpus)), tuple(stretches), tuple(spent), observed, origin)


def without_switches(durations: Integers, pieces: Integers, piece_ns: float) -> Integers:
    """Return a source's own work (ns): each stay of a thread on a CPU costs `piece_ns` beside it."""
    return np.maximum(np.rint(durations - piece_ns * pieces).astype(np.int64), 0)


def _observed_ns(timeline: Timeline, source: Source) -> int:
    first = timeline.first_ns.get(source.cpu) if source.cpu is not None else None
    return timeline.length_ns if first is None else timeline.last_ns - first


def _stretches(seen: Occurrences, gaps: Sequence[int], piece_ns: float) -> list[tuple[Integers, Integers]]:
    """Return the arrivals in ascending order and their durations, parted where events were lost."""
    begin, own, pieces = (np.array(values, np.int64) for values in (seen.begin_ns, seen.duration_ns, seen.pieces))
    order = np.argsort(begin, kind="stable")
    times, durations = begin[order], without_switches(own, pieces, piece_ns)[order]
    ends = np.searchsorted(times, sorted(gaps), side="right")
    parts = zip(np.split(times, ends), np.split(durations, ends), strict=True)
    return [part for part in parts if len(part[0])]


def _of_one_name(instances: list[_Instance], cpus: tuple[int, ...], resolution: int) -> list[FoundSource]:
    instances.sort(key=lambda each: each.cpus)
    if instances[0].source.kind == "hardware" and len(instances) == len(cpus) > 1 and _at_once(instances):
        groups = _groups(instances[0].source.name, _parts(instances[0], resolution))
        return [_found([each.named(name)], "all", resolution, "machine") for name, group in groups for each in group]
    found: list[FoundSource] = []
    parts = [part for instance in instances for part in _parts(instance, resolution)]
    for name, group in _groups(instances[0].source.name, parts):
        found += _of_one_kind([each.named(name) for each in group], cpus, resolution)
    return found


def _of_one_kind(instances: list[_Instance], cpus: tuple[int, ...], resolution: int) -> list[FoundSource]:
    everywhere = len(instances) == len(cpus) and all(each.source.cpu is not None for each in instances)
    if everywhere and len(cpus) > 1 and _alike(instances, resolution):
        return [_found(instances, "per-cpu", resolution)]
    return [_found([each], format_cpulist(each.cpus), resolution) for each in instances]


# ---- several activities of one name --------------------------------------------------------------------------------

Part = tuple[float | None, _Instance]
"""A train with its period (ns), or with None what is no train."""


def _parts(instance: _Instance, resolution: int) -> list[Part]:
    """Return the periodic trains of what one name did on a CPU and the rest, or all of it where there are none."""
    process = instance.process(resolution)
    if process.period_ns is not None and not _crowded(instance.stretches, process.period_ns):
        return [(None, instance)]
    trains: list[Part] = []
    rest = [np.ones(len(times), np.bool_) for times in instance.stretches]
    missed = 0
    for train in find_trains(instance.stretches, instance.observed_ns, resolution):
        part = instance.part(train.members)
        if part.process(resolution).period_ns is None:
            continue
        trains.append((train.period_ns, part))
        rest = [left & ~taken for left, taken in zip(rest, train.members, strict=True)]
        missed += train.missed
    others = instance.part(rest)
    # what is periodic on the whole holds delayed arrivals of its own: only what is too much is another's
    alone = process.period_ns is not None and len(trains) == 1 and others.count < missed + FEWEST_BESIDE
    if not trains or alone:
        return [(None, instance)]
    return [*trains, (None, others)] if others.count else trains


def _crowded(stretches: Sequence[Integers], period: float) -> bool:
    """Return whether there are arrivals between those that make the whole periodic."""
    return sum(int((np.diff(times) < TOO_CLOSE * period).sum()) for times in stretches) >= FEWEST_BESIDE


def _groups(name: str, parts: Sequence[Part]) -> list[tuple[str, list[_Instance]]]:
    """Return what may be one source on several CPUs: trains of one period, and the rests; each with its name.

    Of several trains of one period on a CPU, the shortest work goes with the shortest on others.
    """
    groups: list[tuple[str, list[_Instance]]] = []
    trains = sorted(((period, part) for period, part in parts if period is not None), key=lambda each: each[0])
    while trains:
        alike = [part for period, part in trains if period <= trains[0][0] * (1 + SAME_PERIOD)]
        ranks: dict[int, list[_Instance]] = {}
        ranked: dict[Source, int] = {}
        for part in sorted(alike, key=lambda each: float(each.durations.mean())):
            rank = ranked.get(part.source, 0)
            ranked[part.source] = rank + 1
            ranks.setdefault(rank, []).append(part)
        label = f"{name}-{_in_name(trains[0][0])}"
        for rank, group in ranks.items():
            own = f"{label}#{rank + 1}" if rank else label
            groups.append((own, sorted(group, key=lambda each: each.cpus)))
        trains = trains[len(alike) :]
    rests = [part for period, part in parts if period is None]
    return [(name, rests), *groups] if rests else groups


def _in_name(period_ns: float) -> str:
    """Return a period as a name has it, to three digits.

    Examples
    --------
    >>> _in_name(2.048e9), _in_name(999_960.0)
    ('2.05s', '1ms')
    """
    for unit, length in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if round(period_ns / length, 3) >= 1:
            return f"{float(f'{period_ns / length:.3g}'):g}{unit}"
    return f"{round(period_ns)}ns"


# ---- alike CPUs ----------------------------------------------------------------------------------------------------


def _at_once(instances: Sequence[_Instance]) -> bool:
    """Return whether the CPUs were struck at the same instants."""
    first = np.concatenate(instances[0].stretches)
    for other in instances[1:]:
        times = np.concatenate(other.stretches)
        after = np.clip(np.searchsorted(times, first), 1, max(len(times) - 1, 1))
        nearest = np.minimum(np.abs(times[after - 1] - first), np.abs(times[np.minimum(after, len(times) - 1)] - first))
        if (nearest <= AT_ONCE_NS).mean() < ONE_MACHINE or abs(len(times) / len(first) - 1) > 1 - ONE_MACHINE:
            return False
    return True


def _alike(instances: Sequence[_Instance], resolution: int) -> bool:
    """Return whether rates and mean durations differ by no more than chance, or than `ALIKE`."""
    kinds = {each.process(resolution).kind for each in instances}
    if len(kinds) > 1:
        return False
    counts = np.array([each.count for each in instances], np.float64)
    observed = np.array([each.observed_ns for each in instances], np.float64)
    expected = counts.sum() * observed / observed.sum()
    limit = chi2.ppf(CERTAIN, len(instances) - 1)
    rates_alike = ((counts - expected) ** 2 / expected).sum() <= limit or _within(counts / observed)
    means = np.array([each.durations.mean() for each in instances])
    errors = np.array([max(each.durations.std(), resolution) / np.sqrt(each.count) for each in instances])
    weighted = np.average(means, weights=errors**-2.0)
    means_alike = (((means - weighted) / errors) ** 2).sum() <= limit or _within(means)
    return bool(rates_alike and means_alike)


def _within(values: npt.NDArray[np.float64]) -> bool:
    return bool(values.max() - values.min() <= ALIKE * values.mean())


def _found(instances: Sequence[_Instance], cpus: str, resolution: int, scope: str = "cpu") -> FoundSource:
    source = instances[0].source
    stretches = [stretch for each in instances for stretch in each.stretches]
    process = fit_arrivals(stretches, sum(each.observed_ns for each in instances), resolution)
    if process.period_ns is not None and process.phase_ns is not None:
        phase = (process.phase_ns - instances[0].origin_ns) % process.period_ns
        process.entry["periodic"]["phase"] = _phase(phase, process.period_ns)
    durations = fit_durations(np.concatenate([each.durations for each in instances]), resolution)
    return FoundSource(source.name, source.kind, cpus, process, durations, source.policy, source.priority, scope)


def _phase(phase: float, period: float) -> str:
    """Return the phase as a profile has it: locked where arrivals are multiples of the period."""
    return "locked" if min(phase, period - phase) <= LOCKED * period else f"{round(phase)} ns"


def _named_once(found: Iterable[FoundSource]) -> Iterable[FoundSource]:
    """Yield the sources with names of their own: a CPU, and where that is not enough the class, is added."""
    every = list(found)
    names = [each.name for each in every]
    used: set[str] = set()
    for each in every:
        name = each.name
        if names.count(name) > 1 and each.cpus not in ("per-cpu", "all"):
            name = f"{each.name}-{each.cpus.replace(',', '+')}"
        if name in used:
            name = f"{name}-{each.kind}"
        number, unused = 2, name
        while unused in used:
            unused, number = f"{name}-{number}", number + 1
        used.add(unused)
        yield FoundSource(
            unused, each.kind, each.cpus, each.process, each.duration, each.policy, each.priority, each.scope
        )
