"""A host: topology, kernel, isolation and profile, and the configuration of its nova-compute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtsim.inputs.cpulist import format_cpulist
from rtsim.inputs.errors import InputError
from rtsim.kernel import Isolation, Kernel, Masks, partitions_of
from rtsim.kernel.devices import InterruptSource, interrupt_rates, read_interrupts, read_irq_affinity
from rtsim.kernel.hugepages import boot_huge_pages
from rtsim.kernel.tuned import ThreadRule, TunedProfile, read_tuned
from rtsim.nova import ComputeHost, NovaConf
from rtsim.profile import NoiseSource, Profile, load_profile
from rtsim.scenario.measured import is_device, measured_noise
from rtsim.scenario.replay import PlacedSource, Replay
from rtsim.scenario.schema import (
    TOPOLOGY_FILES,
    HostModel,
    InterruptsModel,
    KernelModel,
    MemoryModel,
    TopologyModel,
)
from rtsim.scenario.who import Who, who_can_preempt
from rtsim.topology import (
    SchedDomain,
    Topology,
    read_capabilities,
    read_hwloc,
    read_lscpu,
    read_sysfs,
    scheduling_domains,
)

if TYPE_CHECKING:
    from rtsim.scenario.cpu_sources import HostTask

__all__ = ["Host", "is_of_ticks", "kernel_of"]


@dataclass(frozen=True)
class Host:
    """One compute node."""

    topology: Topology
    kernel: Kernel
    profile: Profile
    compute: ComputeHost
    masks: Masks = field(default_factory=Masks)
    """What is written after boot: by tuned, and as cpusets."""
    thread_rules: tuple[ThreadRule, ...] = ()
    """Kernel threads whose policy tuned changes."""
    interrupts: tuple[InterruptSource, ...] = ()
    """Measured interrupts; empty: not measured."""
    memory: MemoryModel = field(default_factory=MemoryModel)
    frequencies: Mapping[int, float] = field(default_factory=dict)
    """Of CPUs that run at another frequency than work is given for: its share of that."""
    replay: Replay | None = None
    """A recording that takes the place of noise."""

    @classmethod
    def of(cls, model: HostModel, folder: Path, source: str) -> Host:
        """Return the host a scenario describes.

        Raises
        ------
        InputError
            A file it names is wrong, or its parts contradict each other.
        """
        topology = _topology(model.topology, folder)
        options = dict(model.nova)
        release = options.pop("release", None)
        place = f"{source}: host.nova"
        conf = NovaConf.from_mapping(options, place)
        tuned = _tuned(model, folder, topology)
        kernel = kernel_of(_with_tuned(model.kernel, tuned), f"{source}: host.kernel")
        if model.topology.sockets is not None:  # files tell what the machine has reserved
            topology = topology.with_huge_pages(boot_huge_pages(kernel.command_line, len(topology.numa_nodes)))
        masks = tuned.masks if tuned else Masks()
        profile = load_profile(model.profile, model.profile_overrides or None, folder=folder)
        return cls(
            topology=topology,
            kernel=kernel,
            profile=profile,
            compute=ComputeHost.from_topology(topology, conf, None if release is None else str(release)),
            masks=_with_cpusets(masks, model, kernel, topology, f"{source}: host.cpusets"),
            thread_rules=tuned.threads if tuned else (),
            interrupts=_interrupts(model.interrupts, folder) if model.interrupts else (),
            memory=model.memory,
            frequencies=_frequencies(model.frequency, topology, f"{source}: host.frequency"),
            replay=Replay.of(model.replay, folder, topology.cpu_ids, kernel, profile, source) if model.replay else None,
        )

    @property
    def isolation(self) -> Isolation:
        """What the kernel's command line, tuned and cpusets isolate on this topology."""
        return self.kernel.isolation(self.topology.cpu_ids, self.masks)

    def noise_on(self, isolation: Isolation | None = None) -> list[tuple[NoiseSource, tuple[int, ...]]]:
        """Return the sources of noise with the CPUs they strike: the profile's, but measured devices for its own.

        What a replay takes the place of is left out.

        Parameters
        ----------
        isolation
            Another one than the host's.

        Raises
        ------
        InputError
            A source names CPUs that the host does not have.
        """
        where = isolation or self.isolation
        placed = self.profile.noise_on(where, len(self.topology.cpu_ids))
        replaced = self.replay.replaced if self.replay else ()
        found = [
            (source, cpus) for source, cpus in placed
            if self._has(source) and (source.kind not in replaced or is_of_ticks(source, self.kernel))
        ]  # fmt: skip
        if not self.interrupts or "irq" in replaced:
            return found
        kept = [(source, cpus) for source, cpus in found if not is_device(source)]
        return kept + measured_noise(self.interrupts, self.profile, where)

    def recorded_on(self, isolation: Isolation | None = None) -> list[PlacedSource]:
        """Return what is replayed, with the CPUs it strikes; `isolation`: another one than the host's."""
        if self.replay is None:
            return []
        return self.replay.placed(isolation or self.isolation, self.kernel.release.series)

    def _has(self, source: NoiseSource) -> bool:
        there = {
            "preempt_rt": self.kernel.preempt == "rt", "ksm": self.memory.ksm, "reclaim": self.memory.committed > 1,
        }  # fmt: skip
        return all(there[name] for name in source.requires)

    def scheduling_domains(self) -> dict[int, tuple[SchedDomain, ...]]:
        """Return the scheduling domains of each CPU, bottom up; isolated CPUs have none."""
        isolation, series = self.isolation, self.kernel.release.series
        found: dict[int, tuple[SchedDomain, ...]] = dict.fromkeys(self.topology.cpu_ids, ())
        for cpus in isolation.root_domains:
            if not cpus & isolation.domain:
                found.update(scheduling_domains(self.topology, cpus, series=series))
        return found

    def who_can_preempt(self, cpu: int, policy: str = "fifo", priority: int = 1, tasks: Iterable[HostTask] = ()) -> Who:
        """Return who can take `cpu` from a thread of `policy` and `priority`: see `rtsim.scenario.who_can_preempt`."""
        return who_can_preempt(self, cpu, policy, priority, tasks)


def kernel_of(model: KernelModel, source: str) -> Kernel:
    """Return the kernel that a scenario describes; raises InputError for impossible settings."""
    return Kernel.of(
        model.release, preempt=model.preempt, hz=model.hz, cmdline=model.cmdline, config=model.config,
        sysctl=model.sysctl, ablate=model.ablate, source=source,
    )  # fmt: skip


def is_of_ticks(source: NoiseSource, kernel: Kernel) -> bool:
    """Tell whether a source is no noise but what a softirq costs that ticks raise for ksoftirqd."""
    return source.vector == "sched" and kernel.force_irqthreads


def _tuned(model: HostModel, folder: Path, topology: Topology) -> TunedProfile | None:
    if model.tuned is None:
        return None
    variables = {name: str(value) for name, value in model.tuned.variables.items()}
    return read_tuned(folder / model.tuned.profile, topology, variables)


def _with_tuned(model: KernelModel, tuned: TunedProfile | None) -> KernelModel:
    """Return the kernel with what tuned adds: its arguments come last, tunables that are written here win."""
    if tuned is None:
        return model
    changes = {"cmdline": f"{model.cmdline} {tuned.cmdline}".strip(), "sysctl": tuned.kernel_sysctl() | model.sysctl}
    return model.model_copy(update=changes)


def _with_cpusets(masks: Masks, model: HostModel, kernel: Kernel, topology: Topology, source: str) -> Masks:
    if not model.cpusets:
        return masks
    written = {
        path: (None if cpuset.cpus is None else frozenset(cpuset.cpus), cpuset.partition)
        for path, cpuset in model.cpusets.items()
    }
    cpusets = partitions_of(
        written, frozenset(topology.cpu_ids), isolcpus=kernel.isolation(topology.cpu_ids).domain,
        series=kernel.release.series, source=source,
    )  # fmt: skip
    return replace(masks, cpusets=cpusets)


def _frequencies(model: Mapping[tuple[int, ...], float], topology: Topology, place: str) -> dict[int, float]:
    found: dict[int, float] = {}
    for cpus, share in model.items():
        for cpu in cpus:
            if cpu not in topology.cpu_ids:
                raise InputError(place, "", f"expected CPUs of {format_cpulist(topology.cpu_ids)}, found {cpu}")
            if cpu in found:
                raise InputError(place, "", f"expected each CPU once, found {cpu} twice")
            found[cpu] = share
    return found


def _interrupts(model: InterruptsModel, folder: Path) -> tuple[InterruptSource, ...]:
    before, after = (read_interrupts(folder / name) for name in (model.before, model.after))
    affinity = read_irq_affinity(folder / model.affinity) if model.affinity else None
    return interrupt_rates(before, after, model.elapsed, affinity)


READERS: Mapping[str, Any] = {
    "capabilities": read_capabilities,
    "lscpu": read_lscpu,
    "hwloc": read_hwloc,
    "sysfs": read_sysfs,
}


def _topology(model: TopologyModel, folder: Path) -> Topology:
    for form in TOPOLOGY_FILES:
        value = getattr(model, form)
        if value is None:
            continue
        if form == "sysfs":
            if value != "live":
                raise InputError("host.topology", "sysfs", f"expected live, found {value!r}")
            return read_sysfs("/")
        topology: Topology = READERS[form](folder / value)
        return topology
    assert model.sockets is not None
    return Topology.regular(
        model.sockets, model.cores, model.threads, numa_nodes=model.numa_nodes, memory_mib=model.memory_mib,
        numbering=model.numbering,
    )  # fmt: skip
