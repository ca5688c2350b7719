"""The guests of a scenario on its host: placed by Nova one after the other, or pinned as a domain XML says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtsim.kernel import Kernel
from rtsim.nova import Flavor, Image, Placement, host_warnings
from rtsim.scenario.host import Host, kernel_of
from rtsim.scenario.overrides import overridden
from rtsim.scenario.scenario import Scenario
from rtsim.scenario.schema import GuestModel

__all__ = ["Guest", "GuestThread", "guests_of"]


@dataclass(frozen=True)
class GuestThread:
    """A thread of a guest's process on the host."""

    name: str
    """``vcpu0``, ``emulator``, ``iothread1``, ``vhost``, ``worker``."""
    policy: str
    priority: int
    cpus: tuple[int, ...]
    """Host CPUs it may use; none: any."""
    pin: str
    """What pins it in the domain XML."""
    cgroup: str
    """Which of the cgroups that libvirt makes below the guest's it is in."""


@dataclass(frozen=True)
class Guest:
    """One guest on the host."""

    model: GuestModel
    placement: Placement
    kernel: Kernel
    shared_cpus: frozenset[int]
    """Host CPUs that every guest may use (``cpu_shared_set``)."""
    warnings: tuple[str, ...]
    """What will hurt it on this host, in words."""

    @property
    def name(self) -> str:
        """Name in the scenario."""
        return self.model.name

    def schedule(self, vcpu: int) -> tuple[str, int]:
        """Return policy and priority of a vCPU's thread."""
        if vcpu not in self.placement.rt_vcpus or self.model.overrides.vcpusched == "other":
            return "other", 0
        default = (self.placement.rt_policy, self.placement.rt_priority)
        return self.placement.rt_priorities.get(vcpu, default)

    def vcpu_threads(self) -> Iterator[GuestThread]:
        """Yield the threads of the vCPUs in order."""
        for vcpu in range(self.placement.vcpus):
            cpus = self.placement.vcpu_pins.get(vcpu, ())
            yield GuestThread(f"vcpu{vcpu}", *self.schedule(vcpu), cpus, f"vcpupin {vcpu}", f"vcpu{vcpu}")

    def other_threads(self, working: Collection[str]) -> Iterator[GuestThread]:
        """Yield the emulator thread and iothreads, and those of the threads vhost and worker that are `working`.

        The kernel's vhost thread inherits cgroup and affinity of the emulator thread, which opens the device
        (``vhost_worker_create``). So do QEMU's workers and the thread of a migration, which the emulator thread starts.
        """
        placement = self.placement
        emulator = placement.emulator_cpus or placement.floating_cpus or ()
        yield GuestThread("emulator", "other", 0, emulator, "emulatorpin", "emulator")
        for number, cpus in sorted(placement.iothreads.items()):
            name = f"iothread{number}"
            yield GuestThread(name, "other", 0, cpus, f"iothreadpin {number}", name)
        migration = {"migration"} if self.model.migration is not None else set()
        for name in ("vhost", "worker", "migration"):
            if name in {*working, *migration}:
                yield GuestThread(name, "other", 0, emulator, "emulatorpin", "emulator")

    def measured_vcpus(self) -> tuple[int, ...]:
        """Return the vCPUs that measuring programs run on by default: the realtime ones, or all without any."""
        return self.placement.rt_vcpus or tuple(range(self.placement.vcpus))

    def cpus_spent(self) -> int:
        """Return how many host CPUs the guest keeps for itself, one reserved for its emulator included."""
        if not self.placement.pinned:
            return 0
        return len(self.placement.cpus_used | frozenset(self.placement.emulator_cpus) - self.shared_cpus)

    def vcpus_left(self) -> int:
        """Return how many vCPUs the workload has to itself: the realtime ones, or all of a guest without any."""
        return len(self.measured_vcpus())


def guests_of(scenario: Scenario, host: Host) -> tuple[Guest, ...]:
    """Place the scenario's guests in order; each sees the CPUs and memory that those before it use.

    Raises
    ------
    InputError
        A flavor, image or domain is wrong.
    NovaRefusal
        Nova refuses a guest, or has no place for it.
    """
    compute = host.compute
    guests = []
    for number, model in enumerate(scenario.model.guests):
        place = f"guests[{number}]"
        if model.domain is not None:
            placement = Placement.from_domain_xml(scenario.folder / model.domain)
        else:
            assert model.flavor is not None
            flavor = Flavor.from_openstack(_source(model.flavor, scenario.folder))
            placement = compute.place(flavor, Image.from_openstack(_source(model.image, scenario.folder)))
            compute = compute.claim(placement)
        placement = overridden(placement, model.overrides, host.topology.cpu_ids)
        kernel = kernel_of(model.kernel, f"{scenario.source}: {place}.kernel")
        shared = frozenset(compute.conf.shared_cpus() or ())
        warnings = (*placement.warnings, *_host_warnings(placement, host))
        guests.append(Guest(model, placement, kernel, shared, warnings))
    return tuple(guests)


def _host_warnings(placement: Placement, host: Host) -> Iterator[str]:
    throttled = host.kernel.features(len(host.topology.cpu_ids)).guard == "rt_throttling"
    runtime = host.kernel.rt_runtime_ns
    runtime_us = -1 if runtime is None else runtime // 1000
    return host_warnings(placement, host.isolation.domain, runtime_us if throttled else None)


def _source(value: str | dict[str, Any], folder: Path) -> Mapping[str, Any] | Path:
    return folder / value if isinstance(value, str) else value
