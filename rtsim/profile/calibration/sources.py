"""From what struck single CPUs to the noise sources of a profile: alike CPUs become one ``per-cpu`` source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from rtsim.inputs.cpulist import format_cpulist
from rtsim.profile.calibration.arrivals import Process, fit_arrivals
from rtsim.profile.calibration.durations import Fit, fit_durations
from rtsim.profile.calibration.timeline import Occurrences, Source, Timeline
from rtsim.profile.model import CLASSES, Vector

__all__ = ["FoundSource", "find_sources", "without_switches"]

Integers = npt.NDArray[np.int64]

ALIKE = 0.1
"""CPUs whose rates or mean durations differ by less share one source, also where a trace is long enough to tell."""
CERTAIN = 0.999
AT_ONCE_NS = 10_000
"""Stalls of several CPUs that begin within this time are one of the whole machine."""
ONE_MACHINE = 0.9
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
    durations: Integers
    observed_ns: int

    @property
    def count(self) -> int:
        return len(self.durations)


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
    for source in dict.fromkeys(source for timeline in timelines for source in timeline.sources):
        if source.kind == "softirq" and source.name not in get_args(Vector):
            continue
        stretches: list[Integers] = []
        durations, observed, cpus = [], 0, set[int]()
        for timeline in timelines:
            seen = timeline.sources.get(source, Occurrences())
            cpus.update(seen.cpus)
            observed += max(_observed_ns(timeline, source), len(seen.begin_ns) * timeline.resolution_ns)
            stretches += _stretches(seen, timeline.gaps_ns)
            own, pieces = (np.array(values, np.int64) for values in (seen.duration_ns, seen.pieces))
            durations.append(without_switches(own, pieces, piece_ns))
        yield _Instance(source, tuple(sorted(cpus)), tuple(stretches), np.concatenate(durations), observed)


def without_switches(durations: Integers, pieces: Integers, piece_ns: float) -> Integers:
    """Return a source's own work (ns): each stay of a thread on a CPU costs `piece_ns` beside it."""
    return np.maximum(np.rint(durations - piece_ns * pieces).astype(np.int64), 0)


def _observed_ns(timeline: Timeline, source: Source) -> int:
    first = timeline.first_ns.get(source.cpu) if source.cpu is not None else None
    return timeline.length_ns if first is None else timeline.last_ns - first


def _stretches(seen: Occurrences, gaps: Sequence[int]) -> list[Integers]:
    """Return the arrivals in ascending order, parted where events were lost."""
    times = np.sort(np.array(seen.begin_ns, np.int64))
    return [part for part in np.split(times, np.searchsorted(times, sorted(gaps), side="right")) if len(part)]


def _of_one_name(instances: list[_Instance], cpus: tuple[int, ...], resolution: int) -> list[FoundSource]:
    instances.sort(key=lambda each: each.cpus)
    if instances[0].source.kind == "hardware" and len(instances) == len(cpus) > 1 and _at_once(instances):
        return [_found(instances[:1], "all", resolution, scope="machine")]
    everywhere = len(instances) == len(cpus) and all(each.source.cpu is not None for each in instances)
    if everywhere and len(cpus) > 1 and _alike(instances, resolution):
        return [_found(instances, "per-cpu", resolution)]
    return [_found([each], format_cpulist(each.cpus), resolution) for each in instances]


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
    kinds = {fit_arrivals(each.stretches, each.observed_ns, resolution).kind for each in instances}
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
        process.entry["periodic"]["phase"] = _phase(process.phase_ns, process.period_ns)
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
