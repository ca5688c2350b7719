"""A host: topology, kernel and profile, and the configuration of its nova-compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtsim.inputs.errors import InputError
from rtsim.kernel import Isolation, Kernel
from rtsim.nova import ComputeHost, NovaConf
from rtsim.profile import Profile, load_profile
from rtsim.scenario.schema import TOPOLOGY_FILES, HostModel, KernelModel, TopologyModel
from rtsim.topology import Topology, read_capabilities, read_hwloc, read_lscpu, read_sysfs

__all__ = ["Host", "kernel_of"]


@dataclass(frozen=True)
class Host:
    """One compute node."""

    topology: Topology
    kernel: Kernel
    profile: Profile
    compute: ComputeHost

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
        return cls(
            topology=topology,
            kernel=kernel_of(model.kernel, f"{source}: host.kernel"),
            profile=load_profile(model.profile, model.profile_overrides or None, folder=folder),
            compute=ComputeHost.from_topology(topology, conf, None if release is None else str(release)),
        )

    @property
    def isolation(self) -> Isolation:
        """What the kernel's command line isolates on this topology."""
        return self.kernel.isolation(self.topology.cpu_ids)


def kernel_of(model: KernelModel, source: str) -> Kernel:
    """Return the kernel that a scenario describes; raises InputError for impossible settings."""
    return Kernel.of(
        model.release, preempt=model.preempt, hz=model.hz, cmdline=model.cmdline, config=model.config,
        sysctl=model.sysctl, ablate=model.ablate, source=source,
    )  # fmt: skip


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
