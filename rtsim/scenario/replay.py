"""A recording that drives the model: where each recorded source strikes under an isolation.

Every arrival keeps its recorded time and duration. What isolation does on this host beyond what it did on the recorded
one takes sources away from the CPUs they were on: the kernel's own per-CPU work is gone then; interrupts of devices,
their softirqs and threads that can move go to the CPUs that are left for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtsim.inputs.cpulist import format_cpulist
from rtsim.inputs.errors import InputError
from rtsim.inputs.units import format_ns
from rtsim.kernel import Isolation, Kernel
from rtsim.kernel.commandline import CommandLine
from rtsim.kernel.devices import is_managed_name
from rtsim.kernel.kthreads import cpus_of_place, thread_named
from rtsim.profile import Profile
from rtsim.profile.calibration.sources import without_switches
from rtsim.profile.recorded import RecordedNoise, RecordedSource, read_recorded
from rtsim.scenario.schema import ReplayModel

__all__ = ["PlacedSource", "Replay"]

Cpus = frozenset[int]

STAYS_AWAY = {"timer": "nohz_full", "hrtimer": "nohz_full", "sched": "isolcpus", "rcu": "rcu_nocbs"}
"""Softirqs that do not move: what keeps the work that raises them off a CPU."""
THREAD_STAYS_AWAY = {"rcuc": ("rcu_nocbs",), "watchdog": ("nohz_full", "nowatchdog", "nosoftlockup")}
"""The same of threads that are bound to a CPU."""


@dataclass(frozen=True, eq=False)
class PlacedSource:
    """A recorded source on CPUs of this host; of several, a thread may use them all.

    ``arrivals`` has shape (arrivals, 2), int64: time since the start and duration, both in ns.
    """

    name: str
    source: str
    """Its name without CPUs; of a softirq, the vector it raises."""
    kind: str
    policy: str | None
    priority: int | None
    cpus: tuple[int, ...]
    arrivals: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Replay:
    """A recording as a host plays it again."""

    noise: RecordedNoise
    model: ReplayModel
    recorded: Isolation
    """What the recorded kernel isolated, in numbers of this host's CPUs."""
    piece_ns: float
    """What each stay of a thread on a CPU costs beside its work: the model adds it again."""

    @classmethod
    def of(cls, model: ReplayModel, folder: Path, host_cpus: tuple[int, ...], kernel: Kernel, profile: Profile,
           source: str) -> Replay:  # fmt: skip
        """Read the recording for a host with `host_cpus`; `source` names the scenario in errors.

        Raises
        ------
        InputError
            The recording cannot be used, or it has CPUs that this host does not have.
        """
        noise = read_recorded(folder / model.trace, model.workload)
        numbers = {cpu for each in noise.sources for cpu in each.cpus}
        mapping = _mapping(model, numbers, host_cpus, source)
        line = model.cmdline if model.cmdline is not None else noise.command_line or ""
        before = Isolation.of(
            CommandLine(line, f"{source}: host.replay.cmdline"), range(max(*host_cpus, *mapping, 0) + 1),
            series=kernel.release.series,
        )  # fmt: skip
        steps = (profile.costs.schedule, profile.costs.context_switch)
        return cls(
            replace(noise, sources=tuple(_mapped(noise.sources, mapping))), model, _translated(before, mapping),
            sum(step.distribution().mean_ns for step in steps),
        )  # fmt: skip

    @property
    def replaced(self) -> tuple[str, ...]:
        """Classes of which the profile's noise is left out; only traces of osnoise show stalls of the hardware."""
        shown = {each.kind for each in self.noise.sources}
        return tuple(kind for kind in self.model.classes if kind != "hardware" or kind in shown)

    @property
    def repeat_ns(self) -> int:
        """After which time the recording begins again, 0 for never."""
        return self.noise.length_ns if self.model.after == "repeat" else 0

    def expect_length(self, needed_ns: int, source: str) -> None:
        """Refuse to simulate longer than was recorded, unless the recording is repeated; raises InputError."""
        if self.repeat_ns == 0 and needed_ns > self.noise.length_ns:
            recorded = f"{format_ns(self.noise.length_ns)} that were recorded"
            raise InputError(
                source, "host.replay",
                f"expected warmup and duration within the {recorded}, or after: repeat, found {format_ns(needed_ns)}",
            )  # fmt: skip

    def placed(self, isolation: Isolation, series: tuple[int, int]) -> list[PlacedSource]:
        """Return what strikes which CPUs under `isolation`, each name once; arrivals of what meets there are merged."""
        found: dict[tuple[object, ...], list[PlacedSource]] = {}
        load = dict.fromkeys(isolation.cpus, 0)
        for source in self.noise.sources:
            cpus = self._cpus(source, isolation, series, load)
            if source.kind not in self.model.classes or not cpus:
                continue
            durations = without_switches(source.arrivals[:, 1], source.pieces, self.piece_ns)
            if source.kind != "thread":
                load[cpus[0]] += int(durations.sum())
            placed = PlacedSource(
                f"{source.name}/{format_cpulist(cpus)}", source.name, source.kind, source.policy, source.priority, cpus,
                np.stack([source.arrivals[:, 0], durations], axis=1),
            )  # fmt: skip
            found.setdefault((source.kind, source.name, source.policy, source.priority, cpus), []).append(placed)
        return list(_named_once(_merged(parts) for parts in found.values()))

    def _cpus(
        self, source: RecordedSource, isolation: Isolation, series: tuple[int, int], load: Mapping[int, int]
    ) -> tuple[int, ...]:
        """Return the CPUs that a source is on under `isolation`; those that take interrupts least come first."""
        allowed = _may_strike(source, isolation, series)
        freed = _may_strike(source, self.recorded, series) - allowed
        left = tuple(cpu for cpu in source.cpus if cpu not in freed)
        if left or not _moves(source):
            return left
        if source.kind == "thread":
            return tuple(sorted(allowed))
        return (min(sorted(allowed), key=lambda cpu: load[cpu]),)


def _moves(source: RecordedSource) -> bool:
    if source.kind == "thread":
        return not source.bound
    return source.kind == "irq" or (source.kind == "softirq" and source.name not in STAYS_AWAY)


def _may_strike(source: RecordedSource, isolation: Isolation, series: tuple[int, int]) -> Cpus:
    """Return the CPUs that isolation leaves to a source."""
    if source.kind == "thread":
        return _may_run(source, isolation, series)
    if source.kind == "softirq" and source.name in STAYS_AWAY:
        return isolation.cpus - isolation.removed_by(STAYS_AWAY[source.name])
    if (source.kind == "irq" and is_managed_name(source.name)) or source.name == "block":
        return isolation.cpus - isolation.managed_irq
    return isolation.irq_affinity if source.kind in ("irq", "softirq") else isolation.cpus


def _may_run(source: RecordedSource, isolation: Isolation, series: tuple[int, int]) -> Cpus:
    if source.bound:
        removing = THREAD_STAYS_AWAY.get(source.name, ())
        return isolation.cpus.difference(*(isolation.removed_by(argument) for argument in removing))
    thread = thread_named(source.name)
    return isolation.task_cpus if thread is None else cpus_of_place(thread.place, isolation, series)


def _merged(parts: list[PlacedSource]) -> PlacedSource:
    if len(parts) == 1:
        return parts[0]
    together = np.concatenate([part.arrivals for part in parts])
    return replace(parts[0], arrivals=together[np.argsort(together[:, 0], kind="stable")])


def _named_once(sources: Iterable[PlacedSource]) -> Iterator[PlacedSource]:
    """Yield the sources, of one class and name the second (of another policy) with a number."""
    used: dict[tuple[str, str], int] = {}
    for source in sources:
        number = used[source.kind, source.name] = used.get((source.kind, source.name), 0) + 1
        yield source if number == 1 else replace(source, name=f"{source.name}-{number}")


# ---- CPUs of the recording and of this host -----------------------------------------------------------------


def _mapping(model: ReplayModel, numbers: set[int], host_cpus: tuple[int, ...], source: str) -> dict[int, int]:
    """Return CPU of the recording -> CPU of this host."""
    place, here = "host.replay.cpus", f"CPUs of this host ({format_cpulist(host_cpus)})"
    mapping = {cpu: cpu for cpu in numbers} if model.cpus is None else dict(model.cpus)
    for recorded, cpu in sorted(mapping.items()):
        if cpu not in host_cpus:
            found = f"found CPU {cpu} for CPU {recorded} of the recording"
            raise InputError(source, place, f"expected {here}, {found}")
    if not numbers & mapping.keys():
        known = format_cpulist(sorted(numbers))
        raise InputError(source, place, f"expected CPUs of the recording ({known}), found none of them")
    return mapping


def _mapped(sources: Iterable[RecordedSource], mapping: Mapping[int, int]) -> Iterator[RecordedSource]:
    """Yield the sources in numbers of this host, those on other CPUs left out."""
    for source in sources:
        cpus = tuple(sorted({mapping[cpu] for cpu in source.cpus if cpu in mapping}))
        if cpus:
            yield replace(source, cpus=cpus)


def _translated(isolation: Isolation, mapping: Mapping[int, int]) -> Isolation:
    """Return the sets of the recorded host in numbers of this one."""

    def here(cpus: Cpus) -> Cpus:
        return frozenset(mapping[cpu] for cpu in cpus if cpu in mapping)

    names = (
        "cpus", "domain", "nohz_full", "rcu_nocbs", "managed_irq", "irq_affinity", "kthread_cpus", "worker_cpus",
        "timers_leave", "task_cpus",
    )  # fmt: skip
    sets: dict[str, Any] = {name: here(getattr(isolation, name)) for name in names}
    return replace(isolation, **sets)
