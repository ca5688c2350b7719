"""Scheduling domains of a host or a guest in the engine's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rtsim.engine.constants import (
    SD_BALANCE_FORK,
    SD_BALANCE_NEWIDLE,
    SD_NUMA,
    SD_PREFER_SIBLING,
    SD_SHARE_CPUCAPACITY,
    SD_SHARE_LLC,
    SD_WAKE_AFFINE,
)
from rtsim.engine.domains import Domain
from rtsim.kernel import Isolation
from rtsim.topology import Topology
from rtsim.topology.domains import SchedDomain, scheduling_domains

__all__ = ["engine_domains", "guest_domains"]

FLAGS = {
    "SD_BALANCE_NEWIDLE": SD_BALANCE_NEWIDLE, "SD_BALANCE_FORK": SD_BALANCE_FORK,
    "SD_WAKE_AFFINE": SD_WAKE_AFFINE, "SD_PREFER_SIBLING": SD_PREFER_SIBLING,
    "SD_SHARE_CPUCAPACITY": SD_SHARE_CPUCAPACITY, "SD_SHARE_LLC": SD_SHARE_LLC,
    "SD_SHARE_PKG_RESOURCES": SD_SHARE_LLC, "SD_NUMA": SD_NUMA,
}  # fmt: skip


def engine_domains(domains: Mapping[int, Sequence[SchedDomain]]) -> dict[int, tuple[Domain, ...]]:
    """Return the domains of each CPU, bottom up, as `rtsim.engine.builder.Builder.domains` takes them."""
    return {cpu: tuple(_converted(domains[cpu])) for cpu in domains}


def _converted(domains: Sequence[SchedDomain]) -> list[Domain]:
    return [
        Domain(
            domain.span, domain.groups, sum({FLAGS[name] for name in domain.flags if name in FLAGS}),
            domain.imbalance_pct, domain.cache_nice_tries, domain.min_interval_ms, domain.max_interval_ms,
            domain.busy_factor, domain.imb_numa_nr,
        )
        for domain in domains
    ]  # fmt: skip


def guest_domains(
    cpu_topology: tuple[int, int, int] | None, vcpus: int, isolation: Isolation, series: tuple[int, int]
) -> dict[int, tuple[Domain, ...]]:
    """Return the domains of a guest: a socket a vCPU, as QEMU has it, unless libvirt is told otherwise.

    libvirt numbers threads of a core, and cores of a socket, one after the other.
    """
    sockets, cores, threads = cpu_topology or (vcpus, 1, 1)
    if sockets * cores * threads != vcpus:
        sockets, cores, threads = vcpus, 1, 1
    topology = Topology.regular(sockets, cores, threads, numbering="adjacent")
    balanced = [cpu for cpu in range(vcpus) if cpu not in isolation.domain]
    return engine_domains(scheduling_domains(topology, balanced, series=series))
